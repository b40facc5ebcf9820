// Package edits tells when files have changed and are stable again: a file that is still being written or copied is not
// a version of anything.
//
// Notifications of the system are only a hint to look. Sometimes the system sends none (for what another machine writes
// to a shared folder, or if there are too many watches). So the files are also looked at from time to time.
package edits

import (
	"log/slog"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/notify"
	"github.com/weir-gateway/weir/internal/base/places"
)

// The default times of a Watcher.
const (
	// settle is how long files must stay unchanged: a state that was found once must be found again after this time.
	settle = 60 * time.Millisecond
	// poll is how often files are looked at without a notification.
	poll = 30 * time.Second
	// pollAlone is how often files are looked at if the system sends no notifications at all.
	pollAlone = 2 * time.Second
)

// Files looks at the files of one user. It returns the paths that lead to them, and a text that differs when any of
// them has changed (State makes such a text). It must be fast, because one goroutine looks at the files of all users of
// a Watcher.
type Files func() (paths []string, state string)

// Options configure a Watcher.
type Options struct {
	What string // what the files belong to, for the log: "functions"
	Log  *slog.Logger
	// Of reports whether a name in a folder that is itself one of the paths is of interest; nil for all names.
	Of func(name string) bool
	// Settle and Poll replace this package's default times; 0 keeps the default.
	Settle, Poll time.Duration
}

// Watcher watches the files of any number of users with one watcher of the system. Between the first Watch and the last
// Close it owns a goroutine. It is safe for concurrent use.
type Watcher struct {
	options Options

	mu    sync.Mutex // held while users are added or removed; the goroutine never takes it
	users int
	tasks chan func(*lookout)
	ended chan struct{}
}

// New makes a Watcher, which does nothing until Watch is called.
func New(o Options) *Watcher {
	if o.Settle <= 0 {
		o.Settle = settle
	}
	if o.Of == nil {
		o.Of = func(string) bool { return true }
	}
	o.Log = o.Log.With("files of", o.What)
	return &Watcher{options: o}
}

// Watch begins to watch files. Their state at this moment is the known one.
func (w *Watcher) Watch(files Files) *Watch {
	watch := &Watch{watcher: w, files: files, changed: make(chan struct{}, 1), watched: places.Watched{Of: w.options.Of}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.users == 0 {
		w.tasks, w.ended = make(chan func(*lookout)), make(chan struct{})
		go w.run()
	}
	w.users++
	w.do(func(l *lookout) {
		l.watches[watch] = true
		watch.known = watch.look(l)
		watch.due = time.Now().Add(w.options.Settle) // for changes before the system's watch was set
	})
	return watch
}

// do runs task on the goroutine, and waits until it is done.
func (w *Watcher) do(task func(*lookout)) {
	done := make(chan struct{})
	w.tasks <- func(l *lookout) {
		defer close(done)
		task(l)
	}
	<-done
}

// Watch is one user's files. Its fields belong to the Watcher's goroutine.
type Watch struct {
	watcher *Watcher
	files   Files
	changed chan struct{}
	watched places.Watched

	known string    // the state reported last
	seen  string    // a different state, found once
	due   time.Time // when the files are looked at next; zero if nothing is pending
}

// Changed returns a channel that receives a value when the files have changed.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Again makes the Watcher look at the files without a notification, because the files may be others than the watched
// ones.
func (w *Watch) Again() {
	w.watcher.do(func(*lookout) { w.due = time.Now() })
}

// Close ends the watch. The last Close ends the Watcher's goroutine.
func (w *Watch) Close() {
	all := w.watcher
	all.mu.Lock()
	defer all.mu.Unlock()
	all.do(func(l *lookout) {
		delete(l.watches, w)
		_ = l.follow(w, nil) // ending a watch cannot fail
	})
	all.users--
	if all.users == 0 {
		close(all.tasks)
		<-all.ended
	}
}

// lookout is the state of a Watcher's goroutine.
type lookout struct {
	*Watcher

	watches map[*Watch]bool
	system  *notify.Watcher // nil if the system sends no notifications
	events  <-chan string
	errors  <-chan error
}

func (w *Watcher) run() {
	defer close(w.ended)
	l := &lookout{Watcher: w, watches: map[*Watch]bool{}}
	l.hear()
	defer l.close()
	again := time.NewTicker(l.interval())
	defer again.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	for {
		select {
		case task, ok := <-w.tasks:
			if !ok {
				return
			}
			task(l)
		case path := <-l.events:
			l.heard(path)
		case err := <-l.errors: // it may have lost events
			l.options.Log.Debug("watching files", "error", err)
			l.lost()
		case <-again.C:
			l.all()
		case <-due.C:
			l.due()
		}
		due.Reset(l.next())
	}
}

// hear asks the system for notifications.
func (l *lookout) hear() {
	system, err := notify.New()
	if err != nil { // the number of watchers is limited
		l.options.Log.Warn("the system does not tell of changed files; they are looked at every few seconds", "error", err)
		return
	}
	l.system, l.events, l.errors = system, system.Events, system.Errors
}

func (l *lookout) close() {
	if l.system != nil {
		_ = l.system.Close() // an error does not matter
	}
}

func (l *lookout) interval() time.Duration {
	switch {
	case l.options.Poll > 0:
		return l.options.Poll
	case l.system == nil:
		return pollAlone
	}
	return poll
}

// follow makes the system report to w changes of what paths lead through, and of nothing else.
func (l *lookout) follow(w *Watch, paths []string) error {
	if l.system == nil {
		return nil
	}
	return w.watched.Follow(l.system, paths)
}

func (l *lookout) heard(path string) {
	for w := range l.watches {
		if w.watched.Concerns(path) {
			w.due = time.Now().Add(l.options.Settle)
		}
	}
}

// lost looks at everything, because anything may have changed.
func (l *lookout) lost() {
	for w := range l.watches {
		w.watched.Lost()
	}
	l.all()
}

// all looks at everything that is not already due to be looked at.
func (l *lookout) all() {
	for w := range l.watches {
		if w.due.IsZero() {
			l.review(w)
		}
	}
}

// due looks at the files that should have settled.
func (l *lookout) due() {
	now := time.Now()
	for w := range l.watches {
		if !w.due.IsZero() && !w.due.After(now) {
			l.review(w)
		}
	}
}

// next returns how long it is until something is due.
func (l *lookout) next() time.Duration {
	wait := time.Hour
	for w := range l.watches {
		if !w.due.IsZero() {
			wait = min(wait, time.Until(w.due))
		}
	}
	return max(wait, 0)
}

// review looks at the files, and reports a change that it has found twice.
func (l *lookout) review(w *Watch) {
	state := w.look(l)
	switch state {
	case w.known: // possibly changed back
		w.due, w.seen = time.Time{}, ""
	case w.seen:
		w.due, w.seen, w.known = time.Time{}, "", state
		select {
		case w.changed <- struct{}{}:
		default: // the previous value was not received yet
		}
	default:
		w.seen, w.due = state, time.Now().Add(l.options.Settle)
	}
}

// look returns the state of the files, and watches the paths that lead to them now.
func (w *Watch) look(l *lookout) string {
	paths, state := w.files()
	if err := l.follow(w, paths); err != nil {
		l.options.Log.Debug("a folder cannot be watched; its files are looked at from time to time", "error", err)
	}
	return state
}

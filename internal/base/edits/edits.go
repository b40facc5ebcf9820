// Package edits tells when files have changed, and have come to rest again: what is
// being written or copied is no version of anything.
//
// What the system tells of files is only taken for a hint to look. Where it tells
// nothing (of what another machine writes to a shared folder, or where there are
// too many watches), they are looked at from time to time.
package edits

import (
	"log/slog"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/notify"
	"github.com/weir-gateway/weir/internal/base/places"
)

// The times of a Watcher, unless told otherwise.
const (
	// settle is how long files must be as they are: what is found once must be
	// found again after it.
	settle = 60 * time.Millisecond
	// poll is how often files are looked at though nothing was told of them.
	poll = 30 * time.Second
	// pollAlone is how often, where the system tells nothing at all.
	pollAlone = 2 * time.Second
)

// Files looks at the files of one user: the paths that lead to them, and a text
// that is another one when any of them was changed (State makes such). It must be fast,
// for those of all users of a Watcher are looked at by one goroutine.
type Files func() (paths []string, state string)

// Options make a Watcher.
type Options struct {
	What string // whose files they are, for its log: "functions"
	Log  *slog.Logger
	// Of tells which names in a folder that is itself one of the paths are of interest; nil: all.
	Of func(name string) bool
	// Settle and Poll replace the times of this package; 0 leaves them.
	Settle, Poll time.Duration
}

// Watcher watches the files of any number of users, with one watch of the
// system's. Between the first Watch and the last Close it owns a goroutine. It is
// safe for concurrent use.
type Watcher struct {
	options Options

	mu    sync.Mutex // held while users come and go; the goroutine never takes it
	users int
	tasks chan func(*lookout)
	ended chan struct{}
}

// New makes a Watcher, which does nothing yet.
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

// Watch begins to watch files, as they are at this moment.
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
		watch.due = time.Now().Add(w.options.Settle) // for what has changed before the system was asked to tell of it
	})
	return watch
}

// do has the goroutine do it, and waits until it is done.
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

	known string    // what was told last
	seen  string    // what was found instead, once
	due   time.Time // when they are looked at next; zero where nothing is waited for
}

// Changed has a value when the files are others than they were.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Again has the files looked at though nothing was told of them, for they may be others than those that were watched.
func (w *Watch) Again() {
	w.watcher.do(func(*lookout) { w.due = time.Now() })
}

// Close ends the watch. The last one ends the Watcher's goroutine.
func (w *Watch) Close() {
	all := w.watcher
	all.mu.Lock()
	defer all.mu.Unlock()
	all.do(func(l *lookout) {
		delete(l.watches, w)
		_ = l.follow(w, nil) // what is not watched cannot fail to be
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
	system  *notify.Watcher // nil where the system tells nothing
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
		case err := <-l.errors: // it may have lost some
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

// hear asks the system to tell of changes.
func (l *lookout) hear() {
	system, err := notify.New()
	if err != nil { // there is a limit on how many there may be
		l.options.Log.Warn("the system does not tell of changed files; they are looked at every few seconds", "error", err)
		return
	}
	l.system, l.events, l.errors = system, system.Events, system.Errors
}

func (l *lookout) close() {
	if l.system != nil {
		_ = l.system.Close() // nothing is lost by it
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

// follow has the system tell of what paths lead through, and of nothing else, to w.
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

// lost looks at everything, for anything may have changed.
func (l *lookout) lost() {
	for w := range l.watches {
		w.watched.Lost()
	}
	l.all()
}

// all looks at everything.
func (l *lookout) all() {
	for w := range l.watches {
		if w.due.IsZero() {
			l.review(w)
		}
	}
}

// due looks at what should have settled.
func (l *lookout) due() {
	now := time.Now()
	for w := range l.watches {
		if !w.due.IsZero() && !w.due.After(now) {
			l.review(w)
		}
	}
}

// next is when something is due.
func (l *lookout) next() time.Duration {
	wait := time.Hour
	for w := range l.watches {
		if !w.due.IsZero() {
			wait = min(wait, time.Until(w.due))
		}
	}
	return max(wait, 0)
}

// review looks, and tells of a change that it has found twice.
func (l *lookout) review(w *Watch) {
	state := w.look(l)
	switch state {
	case w.known: // perhaps again
		w.due, w.seen = time.Time{}, ""
	case w.seen:
		w.due, w.seen, w.known = time.Time{}, "", state
		select {
		case w.changed <- struct{}{}:
		default: // it was not heard yet
		}
	default:
		w.seen, w.due = state, time.Now().Add(l.options.Settle)
	}
}

// look gives the state of the files, and follows them to where they are now.
func (w *Watch) look(l *lookout) string {
	paths, state := w.files()
	if err := l.follow(w, paths); err != nil {
		l.options.Log.Debug("a folder cannot be watched; its files are looked at from time to time", "error", err)
	}
	return state
}

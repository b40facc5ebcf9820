package source

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/weir-gateway/weir/internal/base/notify"
	"github.com/weir-gateway/weir/internal/base/places"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// The default times of a Watcher.
const (
	// settle is how long the files must be quiet before a change is reported: an editor or a copy writes in several
	// steps.
	settle = 100 * time.Millisecond
	// patience bounds how long files that change all the time can delay the report.
	patience = 2 * time.Second
	// poll is how often the files are read even without an event. The system does not report what another machine
	// writes to a shared folder, or that something was mounted over a folder, and it drops events that it cannot queue.
	poll = 30 * time.Second
	// pollAlone is how often the files are read if the system reports no events at all.
	pollAlone = 2 * time.Second
)

// Content is what files hold, by their names: the digest of each file, all zeros for a file that cannot be read.
type Content map[string][sha256.Size]byte

// WatchOptions are the options of a Watcher.
type WatchOptions struct {
	Input Input // a file or a folder
	Log   *slog.Logger
	// Settle and Poll replace the times of this package; 0 keeps them.
	Settle, Poll time.Duration
}

// Watcher reports when the files of an input, or the files that they name, no longer hold what was read from them.
// Events from the system are only hints to look; the content of the files decides. Its methods may be called
// concurrently.
type Watcher struct {
	options WatchOptions
	changed chan struct{}
	follow  chan followed
	stop    chan struct{}
	done    chan struct{}
}

// followed is the content that was read and that is watched for changes.
type followed struct {
	input Content
	named Content
}

// Watch begins to watch. It reports nothing before the first Follow.
func Watch(o WatchOptions) *Watcher {
	if o.Settle <= 0 {
		o.Settle = settle
	}
	w := &Watcher{
		options: o, changed: make(chan struct{}, 1), follow: make(chan followed),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

// Changed has a value when something should be read again.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Follow takes over what was read last: the sources of the input, none if it could not be read, and the files that they
// name. The content of each named file is that from before it was read, so that no change between reading and watching
// is missed.
func (w *Watcher) Follow(sources []config.Source, named Content) {
	f := followed{input: contentOf(w.options.Input.Path, sources), named: maps.Clone(named)}
	select {
	case w.follow <- f:
	case <-w.done:
	}
}

// Close ends the watching. It returns when the goroutine has ended.
func (w *Watcher) Close() {
	close(w.stop)
	<-w.done
}

// contentOf returns what sources hold. No sources at all stand for an input that cannot be read.
func contentOf(path string, sources []config.Source) Content {
	c := Content{}
	for _, s := range sources {
		c[s.Path] = [sha256.Size]byte{}
		if s.Unread == nil {
			c[s.Path] = sha256.Sum256(s.Data)
		}
	}
	if len(sources) == 0 {
		c[path] = [sha256.Size]byte{}
	}
	return c
}

func (w *Watcher) run() {
	defer close(w.done)
	l := &lookout{Watcher: w, settled: stopped(), watched: places.Watched{Of: config.IsName}}
	l.hear()
	defer l.close()
	interval := w.options.Poll
	if interval <= 0 {
		interval = poll
		if l.system == nil {
			interval = pollAlone
		}
	}
	again := time.NewTicker(interval)
	defer again.Stop()
	defer l.settled.Stop()
	for {
		select {
		case <-w.stop:
			return
		case f := <-w.follow:
			l.known = f
			l.look(true)
		case path := <-l.events:
			if l.watched.Concerns(path) {
				l.seen = nil
				l.wait()
			}
		case err := <-l.errors: // some events may be lost
			w.options.Log.Debug("watching the configuration", "error", err)
			l.watched.Lost()
			l.wait()
		case <-l.settled.C:
			l.look(l.seen != nil)
		case <-again.C:
			l.look(true)
		}
	}
}

// lookout is the state of a Watcher's goroutine.
type lookout struct {
	*Watcher

	system  *notify.Watcher // nil if the system reports no events
	events  <-chan string
	errors  <-chan error
	watched places.Watched

	known followed // as it was read
	// seen is what was found if it differs from known and the system has not reported the change, so it may be half
	// written; nil otherwise.
	seen Content
	// settled fires when nothing has happened for a while. waiting is when the wait began, zero if there is none.
	settled *time.Timer
	waiting time.Time
}

// hear asks the system to report changes.
func (l *lookout) hear() {
	system, err := notify.New()
	if err != nil { // the system limits how many watchers there are
		l.options.Log.Warn("the system does not tell of changed files; they are looked at every few seconds", "error", err)
		return
	}
	l.system, l.events, l.errors = system, system.Events, system.Errors
}

func (l *lookout) close() {
	if l.system == nil {
		return
	}
	if err := l.system.Close(); err != nil {
		l.options.Log.Debug("watching the configuration", "error", err)
	}
}

// wait postpones the look until the files have settled, and reports whether it could.
func (l *lookout) wait() bool {
	if l.waiting.IsZero() {
		l.waiting = time.Now()
	}
	if time.Since(l.waiting) > patience {
		return false
	}
	l.settled.Reset(l.options.Settle)
	return true
}

// look reads the files and reports a change. untold means that the system did not report the change. Then it also did
// not report that the files are complete, so the change must be found twice.
func (l *lookout) look(untold bool) {
	if l.known.input == nil { // nothing was read yet
		return
	}
	l.rewatch()
	now := l.scan()
	if maps.Equal(now, l.whole()) { // perhaps changed back
		l.seen, l.waiting = nil, time.Time{}
		return
	}
	if untold && !maps.Equal(now, l.seen) && l.wait() {
		l.seen = now
		return
	}
	l.tell(now)
}

// tell reports a change once. What was found must change again before more is reported, whatever becomes of it.
func (l *lookout) tell(now Content) {
	named := Content{}
	for name := range l.known.named {
		named[name] = now[name]
		delete(now, name)
	}
	l.known, l.seen, l.waiting = followed{now, named}, nil, time.Time{}
	select {
	case l.changed <- struct{}{}:
	default: // the last report was not received yet
	}
}

// whole returns everything that was read.
func (l *lookout) whole() Content {
	all := maps.Clone(l.known.input)
	maps.Copy(all, l.known.named)
	return all
}

// scan reads everything as it is now.
func (l *lookout) scan() Content {
	sources, err := l.options.Input.Read()
	if err != nil {
		sources = nil
	}
	now := contentOf(l.options.Input.Path, sources)
	for name := range l.known.named {
		now[name] = secret.FileDigest(name)
	}
	return now
}

// stopped returns a timer that does not fire until it is reset.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// rewatch moves the watches to where the files are now.
func (l *lookout) rewatch() {
	if l.system == nil {
		return
	}
	names := l.options.Input.places()
	for name := range l.known.input {
		names = append(names, name)
	}
	for name := range l.known.named {
		names = append(names, name)
	}
	err := l.watched.Follow(l.system, names)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.options.Log.Debug("a folder cannot be watched; its files are looked at from time to time", "error", err)
	}
}

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

// How a Watcher waits, unless told otherwise.
const (
	// settle is how long nothing more must happen to the files before a change is
	// told: an editor or a copy writes in several steps.
	settle = 100 * time.Millisecond
	// patience bounds how long files that change all the time put it off.
	patience = 2 * time.Second
	// poll is how often the files are read anyway. The system tells nothing of what
	// another machine writes to a shared folder, nor of a folder that was mounted
	// over, and forgets what it cannot queue.
	poll = 30 * time.Second
	// pollAlone is how often, where the system tells nothing at all.
	pollAlone = 2 * time.Second
)

// Content is what files hold, by their names: the digest of each, nothing but
// zeros for one that cannot be read.
type Content map[string][sha256.Size]byte

// WatchOptions make a Watcher.
type WatchOptions struct {
	Input Input // a file or a folder
	Log   *slog.Logger
	// Settle and Poll replace the times of this package; 0 leaves them.
	Settle, Poll time.Duration
}

// Watcher tells when the files of an input, or those that it names, no longer hold
// what was read from them. What the system tells of them is only taken for a hint
// to look; what they hold decides. Its methods may be called concurrently.
type Watcher struct {
	options WatchOptions
	changed chan struct{}
	follow  chan followed
	stop    chan struct{}
	done    chan struct{}
}

// followed is what was read, so what is waited for to change.
type followed struct {
	input Content
	named Content
}

// Watch begins to watch. Nothing is told before the first Follow.
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

// Follow takes over what was read last: the sources of the input, none where it
// could not be read, and the files that they name, each as it was before it was
// read, so that no change between reading and watching is missed.
func (w *Watcher) Follow(sources []config.Source, named Content) {
	f := followed{input: contentOf(w.options.Input.Path, sources), named: maps.Clone(named)}
	select {
	case w.follow <- f:
	case <-w.done:
	}
}

// Close ends the watching and returns when it has ended.
func (w *Watcher) Close() {
	close(w.stop)
	<-w.done
}

// contentOf is what sources hold; none at all is an input that cannot be read.
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
		case err := <-l.errors: // it may have lost some
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

	system  *notify.Watcher // nil where the system tells nothing
	events  <-chan string
	errors  <-chan error
	watched places.Watched

	known followed // as it was read
	// seen is what was found instead where the system has not told of it, so that
	// it may be half written; nil otherwise.
	seen Content
	// settled fires when nothing has happened for a while; waiting is since when,
	// zero while nobody waits.
	settled *time.Timer
	waiting time.Time
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
	if l.system == nil {
		return
	}
	if err := l.system.Close(); err != nil {
		l.options.Log.Debug("watching the configuration", "error", err)
	}
}

// wait puts the look off until the files have settled, and tells whether it could.
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

// look reads the files and tells of a change. Where the system did not say that
// there is one, it did not say either that it is complete: such a change must be
// found twice.
func (l *lookout) look(untold bool) {
	if l.known.input == nil { // nothing was read yet
		return
	}
	l.rewatch()
	now := l.scan()
	if maps.Equal(now, l.whole()) { // perhaps again
		l.seen, l.waiting = nil, time.Time{}
		return
	}
	if untold && !maps.Equal(now, l.seen) && l.wait() {
		l.seen = now
		return
	}
	l.tell(now)
}

// tell says that there is a change, once: what was found is what must change
// again before more is told, whatever becomes of it.
func (l *lookout) tell(now Content) {
	named := Content{}
	for name := range l.known.named {
		named[name] = now[name]
		delete(now, name)
	}
	l.known, l.seen, l.waiting = followed{now, named}, nil, time.Time{}
	select {
	case l.changed <- struct{}{}:
	default: // it was not heard yet
	}
}

// whole is everything that was read.
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

// stopped is a timer that does not fire until it is reset.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// rewatch follows the files to where they are now.
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

// Package notify has the system say that something in a folder has changed. What
// has changed, and how, it does not say: whoever is told looks.
package notify

import (
	"path/filepath"
	"sync"
)

// Watcher tells of changes in folders. Until it is closed it owns a goroutine. Its
// methods may be called concurrently, and do not wait for who reads its channels.
type Watcher struct {
	// Events are the paths of what was made, written, moved or removed in a folder,
	// or of which something else than the content was changed (its mode): the folder
	// as it was added, joined with the name. It is the folder alone where that was
	// moved, removed or unmounted, or was changed itself: then whoever wants to go on
	// adds it again, for the path may lead elsewhere now, and removes it.
	//
	// A path may be told several times, and once more after its folder was removed.
	Events <-chan string
	// Errors say that something was lost, so that any folder may have changed.
	Errors <-chan error

	events chan string
	errors chan error
	closed chan struct{} // by Close
	ended  chan struct{} // by the goroutine
	close  func() error
	system *system

	mu    sync.Mutex
	added map[string]watched // by folder
}

// watched is what is asked of one folder.
type watched struct {
	times   int  // how often it was added
	content bool // what is written to its files is told too
}

// New makes a Watcher of nothing yet. The system has a limit on how many there may be.
func New() (*Watcher, error) {
	s, err := open()
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		events: make(chan string), errors: make(chan error),
		closed: make(chan struct{}), ended: make(chan struct{}), system: s, added: map[string]watched{},
	}
	w.Events, w.Errors = w.events, w.errors
	w.close = sync.OnceValue(func() error {
		close(w.closed)
		err := s.close()
		<-w.ended
		return err
	})
	go func() {
		defer close(w.ended)
		w.run()
	}()
	return w, nil
}

// Add watches a folder, through a link that leads to it. What was added several times
// is watched until it was removed as often, and is watched as it is at the last time:
// the path may lead to another folder than before.
func (w *Watcher) Add(folder string) error { return w.add(folder, true) }

// AddNames is Add for whoever wants to know which names come and go, and to what, and
// nothing of what is written to files: where a system can, it does not tell of that. A
// folder that was added both ways is told of by both until it was removed as often.
func (w *Watcher) AddNames(folder string) error { return w.add(folder, false) }

func (w *Watcher) add(folder string, content bool) error {
	folder = filepath.Clean(folder)
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.added[folder]
	of.content = of.content || content
	if err := w.system.add(folder, of.content); err != nil {
		return err
	}
	of.times++
	w.added[folder] = of
	return nil
}

// Remove ends what one Add has begun, if there was one, be the folder there or gone.
func (w *Watcher) Remove(folder string) {
	folder = filepath.Clean(folder)
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.added[folder]
	if of.times--; of.times > 0 {
		w.added[folder] = of
		return
	}
	delete(w.added, folder)
	w.system.remove(folder)
}

// Close ends the watching, and returns when it has ended, whoever reads the channels
// or does not. They are not closed. What is added later is refused.
func (w *Watcher) Close() error { return w.close() }

// tell tells of a path; it gives false where the Watcher is closed.
func (w *Watcher) tell(path string) bool {
	select {
	case w.events <- path:
		return true
	case <-w.closed:
		return false
	}
}

// fail tells of an error, as tell does of a path.
func (w *Watcher) fail(err error) bool {
	select {
	case w.errors <- err:
		return true
	case <-w.closed:
		return false
	}
}

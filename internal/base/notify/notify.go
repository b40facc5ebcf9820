// Package notify reports that something in a folder has changed. It does not report what has changed, and how: the
// receiver must look.
package notify

import (
	"path/filepath"
	"sync"
)

// Watcher reports changes in folders. Until it is closed it owns a goroutine. Its methods may be called concurrently,
// and do not wait for the reader of its channels.
type Watcher struct {
	// Events receives the paths of files that were made, written, moved or removed in a folder, or of which something
	// other than the content was changed (the mode). A path is the folder as it was added, joined with the name. It is
	// the folder alone if the folder was moved, removed or unmounted, or was changed itself. To continue watching, add
	// the folder again, because the path may lead elsewhere now, and remove it once.
	//
	// A path may be reported several times, and once more after its folder was removed.
	Events <-chan string
	// Errors receives an error if events were lost, so that any folder may have changed.
	Errors <-chan error

	events chan string
	errors chan error
	closed chan struct{} // closed by Close
	ended  chan struct{} // closed by the goroutine
	close  func() error
	system *system

	mu    sync.Mutex
	added map[string]watched // key: folder
}

// watched is what was requested for one folder.
type watched struct {
	times   int  // how often it was added
	content bool // writes to its files are reported, too
}

// New makes a Watcher that watches nothing yet. The system limits how many there may be.
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

// Add watches a folder; if the path is a link, it watches the folder that the link leads to. A folder that was added
// several times is watched until it was removed as often. Each Add watches the folder that the path leads to at that
// time, which may differ from the one before.
func (w *Watcher) Add(folder string) error { return w.add(folder, true) }

// AddNames is like Add, but only for names that appear, disappear or change what they stand for. If the system supports
// it, writes to files are not reported. A folder that was added with both methods is watched in both ways until it was
// removed as often as it was added.
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

// Remove undoes one Add, if there was one, whether the folder still exists or not.
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

// Close ends the watching, and returns when it has ended. It does not need a reader of the channels, and does not close
// them. After Close, Add fails.
func (w *Watcher) Close() error { return w.close() }

// tell reports a path. It returns false if the Watcher is closed.
func (w *Watcher) tell(path string) bool {
	select {
	case w.events <- path:
		return true
	case <-w.closed:
		return false
	}
}

// fail reports an error. It returns false if the Watcher is closed.
func (w *Watcher) fail(err error) bool {
	select {
	case w.errors <- err:
		return true
	case <-w.closed:
		return false
	}
}

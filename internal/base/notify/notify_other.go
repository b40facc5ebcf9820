//go:build !linux

package notify

import (
	"os"

	"github.com/fsnotify/fsnotify"
)

// system is fsnotify on other systems. add and remove must not be called concurrently.
type system struct {
	watcher *fsnotify.Watcher
	folders map[string]os.FileInfo // as they were when added
}

func open() (*system, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what could not be done
	}
	return &system{w, map[string]os.FileInfo{}}, nil
}

func (s *system) close() error { return s.watcher.Close() } //nolint:wrapcheck // as above

// add watches a folder. fsnotify keeps watching the folder that it knows by the path if it has not noticed that there
// is another one by now. It always reports writes to files.
func (s *system) add(folder string, _ bool) error {
	now, err := os.Stat(folder)
	if err != nil {
		return err //nolint:wrapcheck // as above
	}
	if before := s.folders[folder]; before != nil && !os.SameFile(before, now) {
		s.remove(folder)
	}
	if err := s.watcher.Add(folder); err != nil {
		return err //nolint:wrapcheck // as above
	}
	s.folders[folder] = now
	return nil
}

// remove ends the watch of a folder, if there is one.
func (s *system) remove(folder string) {
	delete(s.folders, folder)
	_ = s.watcher.Remove(folder) // a folder that is gone is no longer watched
}

// run reports events until the Watcher is closed.
func (w *Watcher) run() {
	for {
		select {
		case e, ok := <-w.system.watcher.Events:
			if !ok || !w.tell(e.Name) {
				return
			}
		case err, ok := <-w.system.watcher.Errors:
			if !ok || !w.fail(err) {
				return
			}
		case <-w.closed:
			return
		}
	}
}

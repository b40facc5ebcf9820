//go:build !linux

package notify

import (
	"os"

	"github.com/fsnotify/fsnotify"
)

// system is what fsnotify makes of the others. add and remove are not called
// concurrently.
type system struct {
	watcher *fsnotify.Watcher
	folders map[string]os.FileInfo // as they were when they were added
}

func open() (*system, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what could not be done
	}
	return &system{w, map[string]os.FileInfo{}}, nil
}

func (s *system) close() error { return s.watcher.Close() } //nolint:wrapcheck // as above

// add watches a folder. fsnotify goes on with the one that it knows by the path,
// where it has not heard that there is another one by now, and tells of content
// always.
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
	_ = s.watcher.Remove(folder) // a folder that is gone is watched no more
}

// run tells of events until the Watcher is closed.
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

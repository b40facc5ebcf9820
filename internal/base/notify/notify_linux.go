package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What is requested for a folder (inotify(7)): changes of its names, and writes to its files. IN_UNMOUNT, IN_IGNORED
// and IN_Q_OVERFLOW come without a request.
const (
	ofNames = unix.IN_CREATE | unix.IN_ATTRIB | unix.IN_DELETE | unix.IN_DELETE_SELF |
		unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MOVE_SELF
	ofContent = unix.IN_MODIFY
)

// atOnce is how many bytes of events are read at once: fifteen events with the longest possible names, and far more
// with usual names.
const atOnce = 4096

// The errors that Errors receives.
var (
	errOverflow = errors.New("more has changed than the system remembers (fs.inotify.max_queued_events)")
	errGarbled  = errors.New("the system told of changes in a form that is not known")
)

// system is inotify. The kernel watches inodes, and numbers their watches. Several paths may lead to one inode, and a
// path may lead to another inode later.
type system struct {
	file *os.File // non-blocking, so that Go's poller waits for it, and Close ends the wait
	// buffer is here and not on the stack of run. Go starts each goroutine with the average stack size of all
	// goroutines, so a large stack would enlarge that of every connection.
	buffer []byte

	mu      sync.Mutex
	numbers map[string]int32   // by folder
	folders map[int32][]string // by number
}

func open() (*system, error) {
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	file := os.NewFile(uintptr(descriptor), "inotify")
	// Waiting for a file is impossible if the poller has not accepted it. SetReadDeadline reports that.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &system{file: file, buffer: make([]byte, atOnce), numbers: map[string]int32{}, folders: map[int32][]string{}}, nil
}

func (s *system) close() error { return s.file.Close() }

// add watches a folder. If the path is watched already but now leads to another folder, that folder is watched instead.
func (s *system) add(folder string, content bool) error {
	// Adding to the mask keeps what was requested by another path to the same inode.
	mask := uint32(ofNames | unix.IN_MASK_ADD)
	if content {
		mask |= ofContent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	number, err := s.call(func(descriptor int) (int, error) { return unix.InotifyAddWatch(descriptor, folder, mask) })
	if err != nil {
		return &os.PathError{Op: "watch", Path: folder, Err: err}
	}
	if before, watched := s.numbers[folder]; watched {
		if before == number {
			return nil
		}
		s.leave(folder)
	}
	s.numbers[folder] = number
	s.folders[number] = append(s.folders[number], folder)
	return nil
}

// remove ends the watch of a folder, if there is one.
func (s *system) remove(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave(folder)
}

// leave ends the watch of a folder. The watch of its inode ends with the last path to it.
func (s *system) leave(folder string) {
	number, watched := s.numbers[folder]
	if !watched {
		return
	}
	delete(s.numbers, folder)
	s.folders[number] = slices.DeleteFunc(s.folders[number], func(other string) bool { return other == folder })
	if len(s.folders[number]) > 0 {
		return
	}
	delete(s.folders, number)
	// This fails if the inode is gone, and its watch with it.
	_, _ = s.call(func(descriptor int) (int, error) { return unix.InotifyRmWatch(descriptor, uint32(number)) })
}

// call calls do with a descriptor that cannot be closed meanwhile.
func (s *system) call(do func(descriptor int) (int, error)) (number int32, err error) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	closed := raw.Control(func(descriptor uintptr) {
		var n int
		n, err = do(int(descriptor))
		number = int32(n)
	})
	if closed != nil {
		return 0, os.ErrClosed
	}
	return number, err
}

// run reports events until the Watcher is closed.
func (w *Watcher) run() {
	for {
		n, err := w.system.file.Read(w.system.buffer)
		if err != nil { // by Close; any other error would be unexpected
			if !errors.Is(err, os.ErrClosed) {
				w.fail(fmt.Errorf("nothing is told of changed files any more: %w", err))
			}
			return
		}
		if !w.hear(w.system.buffer[:n]) {
			return
		}
	}
}

// hear reports the events that were read. It returns false if the Watcher is closed.
func (w *Watcher) hear(events []byte) bool {
	for len(events) > 0 {
		e, rest, ok := parse(events)
		if !ok {
			return w.fail(errGarbled)
		}
		events = rest
		if e.mask&unix.IN_Q_OVERFLOW != 0 && !w.fail(errOverflow) {
			return false
		}
		for _, path := range w.system.concerned(e) {
			if !w.tell(path) {
				return false
			}
		}
	}
	return true
}

// concerned returns the paths that are to be reported for an event. A folder that was moved stays watched until it is
// removed, because it may already be watched by its new path.
func (s *system) concerned(e event) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	folders := s.folders[e.number] // none if it was removed: numbers are not reused
	if e.mask&unix.IN_IGNORED != 0 {
		delete(s.folders, e.number)
		for _, folder := range folders {
			delete(s.numbers, folder)
		}
		return nil // the event that ended the watch was reported before
	}
	paths := make([]string, 0, len(folders))
	for _, folder := range folders {
		paths = append(paths, filepath.Join(folder, e.name))
	}
	return paths
}

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

// What is told of a folder (inotify(7)): of its names, and what is written to its
// files. IN_UNMOUNT, IN_IGNORED and IN_Q_OVERFLOW come unasked.
const (
	ofNames = unix.IN_CREATE | unix.IN_ATTRIB | unix.IN_DELETE | unix.IN_DELETE_SELF |
		unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_MOVE_SELF
	ofContent = unix.IN_MODIFY
)

// atOnce is how many bytes of events are read at once: fifteen with the longest
// names that there are, far more of usual ones.
const atOnce = 4096

// What is told by Errors.
var (
	errOverflow = errors.New("more has changed than the system remembers (fs.inotify.max_queued_events)")
	errGarbled  = errors.New("the system told of changes in a form that is not known")
)

// system is inotify. The kernel watches inodes, which it numbers: several paths may
// lead to one, and a path may lead to another one later.
type system struct {
	file *os.File // does not block, so that Go's poller waits for it, and Close ends that
	// buffer stands here, not in run: Go begins each goroutine with as much stack as
	// all use on average, and one of 64 KiB makes that of every connection larger.
	buffer []byte

	mu      sync.Mutex
	numbers map[string]int32   // of folders
	folders map[int32][]string // by their numbers
}

func open() (*system, error) {
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	file := os.NewFile(uintptr(descriptor), "inotify")
	// A file that the poller has not taken cannot be waited for; this says so.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &system{file: file, buffer: make([]byte, atOnce), numbers: map[string]int32{}, folders: map[int32][]string{}}, nil
}

func (s *system) close() error { return s.file.Close() }

// add watches a folder. One that is watched already, and is another one by now, is
// watched as it is now.
func (s *system) add(folder string, content bool) error {
	// What is asked for by this path does not end what was by another that leads here.
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

// leave ends the watch of a folder. That of its inode ends with the last path to it.
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
	// It fails where the inode is gone, and its watch with it.
	_, _ = s.call(func(descriptor int) (int, error) { return unix.InotifyRmWatch(descriptor, uint32(number)) })
}

// call calls the kernel with a descriptor that is not closed meanwhile.
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

// run tells of events until the Watcher is closed.
func (w *Watcher) run() {
	for {
		n, err := w.system.file.Read(w.system.buffer)
		if err != nil { // by Close; for another reason only where the kernel breaks its word
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

// hear tells of the events that were read; it gives false where the Watcher is closed.
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

// concerned gives the paths that are told of an event. A folder that was moved is
// watched until it is removed: it may be watched by its new path already.
func (s *system) concerned(e event) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	folders := s.folders[e.number] // none where it was removed: its number is not given again
	if e.mask&unix.IN_IGNORED != 0 {
		delete(s.folders, e.number)
		for _, folder := range folders {
			delete(s.numbers, folder)
		}
		return nil // what has ended it was told before
	}
	paths := make([]string, 0, len(folders))
	for _, folder := range folders {
		paths = append(paths, filepath.Join(folder, e.name))
	}
	return paths
}

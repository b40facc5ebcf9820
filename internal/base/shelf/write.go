package shelf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

// The longest pauses between two rounds if nothing wakes the goroutine. It then looks for values that have become too
// old, and retries failed writes.
const (
	usualPause = time.Hour
	retryPause = time.Minute
)

// write writes and removes files until the end.
func (s *Shelf) write() {
	defer close(s.done)
	told := "" // the last error that was logged
	for ended := false; !ended; {
		pause := usualPause
		if told != "" {
			pause = retryPause
		}
		if ended = s.pause(pause, s.wake); !ended {
			ended = s.pause(settle, nil)
		}
		err := s.round(ended)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != "" && text != told {
			s.log.Error(unkept, "error", err)
		}
		told = text
	}
}

// pause waits for d, for wake or for the end, and reports whether the end has come.
func (s *Shelf) pause(d time.Duration, wake <-chan struct{}) (ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.end:
		return true
	case <-timer.C:
	case <-wake:
	}
	return false
}

// round brings the folder up to date. The last round removes no old or unknown files.
func (s *Shelf) round(last bool) error {
	var failed error
	for _, name := range s.unwritten() {
		if err := s.bring(name); err != nil && failed == nil {
			failed = err // the other errors are much the same
		}
	}
	if !last {
		s.removeOld()
		s.removeUnknown()
	}
	return failed
}

// unwritten returns the names of the files that are not up to date, sorted.
func (s *Shelf) unwritten() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		if s.entries[name].next != nil {
			names = append(names, name)
		}
	}
	return names
}

// bring writes a file, or removes it if it is to hold nothing. Failures are retried.
func (s *Shelf) bring(name string) error {
	s.disk.Lock()
	defer s.disk.Unlock()
	s.mu.Lock()
	e := s.entries[name]
	if e == nil || e.next == nil {
		s.mu.Unlock()
		return nil
	}
	next, room := e.next, largestInAll-s.bytes+e.stored.size
	s.mu.Unlock()

	now, err := s.put(name, e, *next, room)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[name] != e {
		return err // the place is no longer in use
	}
	s.bytes += now.size - e.stored.size
	e.stored = now
	if err == nil && (e.next == next || e.next != nil && !now.differs(*e.next, e.maxAge/refreshes)) {
		e.next = nil
	}
	return err
}

// put makes a file hold w, and returns what it then holds. If w is too large, put removes the file, because its old
// content is outdated.
func (s *Shelf) put(name string, e *entry, w word, room int64) (stored, error) {
	path := filepath.Join(s.folder, name)
	if w.value == nil {
		return e.stored.without(os.Remove(path))
	}
	raw, err := format(e.kind, e.of, w)
	if err == nil && int64(len(raw)) > room {
		err = fmt.Errorf("all that is kept has more than %d bytes", largestInAll)
	}
	if err != nil {
		now, removed := e.stored.without(os.Remove(path))
		return now, errors.Join(fmt.Errorf("%s of %s: %w", e.kind, e.of, err), removed)
	}
	if err = statefile.Make(s.folder); err == nil {
		err = statefile.Replace(path, raw)
	}
	if err != nil {
		return e.stored, err
	}
	return stored{true, sha256.Sum256(w.value), w.confirmed, int64(len(raw))}, nil
}

// without returns what is known of a file after an attempt to remove it.
func (f stored) without(err error) (stored, error) {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return stored{}, nil
	}
	return f, err
}

// removeOld removes files that are too old. An open place does not use them either.
func (s *Shelf) removeOld() {
	s.disk.Lock()
	defer s.disk.Unlock()
	for name, e := range s.old() {
		now, err := stored{}.without(os.Remove(filepath.Join(s.folder, name)))
		if err != nil {
			continue // retried next time
		}
		s.mu.Lock()
		if s.entries[name] == e {
			s.bytes -= e.stored.size
			e.stored = now
		}
		s.mu.Unlock()
	}
}

// old returns the entries whose files are too old.
func (s *Shelf) old() map[string]*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := maps.Clone(s.entries)
	maps.DeleteFunc(list, func(_ string, e *entry) bool {
		return !e.stored.there || e.next != nil || time.Since(e.stored.confirmed) <= e.maxAge
	})
	return list
}

// removeUnknown removes files that belong to no open place, and files that a crash left behind, if Tidy has asked for
// it. Files that cannot be removed do no harm.
func (s *Shelf) removeUnknown() {
	if !s.mayTidy() {
		return
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	files, err := os.ReadDir(s.folder)
	if err != nil {
		return
	}
	for _, f := range files {
		if !s.isKnown(f.Name()) && !underWay(f) {
			_ = os.Remove(filepath.Join(s.folder, f.Name()))
		}
	}
}

// mayTidy reports whether Tidy was called since the last call of mayTidy.
func (s *Shelf) mayTidy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	may := s.tidying
	s.tidying = false
	return may
}

func (s *Shelf) isKnown(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entries[name] != nil
}

// underWay reports whether another process may be writing the file at this moment: the process before this one, or the
// next one.
func underWay(f fs.DirEntry) bool {
	if !statefile.Unfinished(f.Name()) {
		return false
	}
	info, err := f.Info()
	return err == nil && time.Since(info.ModTime()) < retryPause
}

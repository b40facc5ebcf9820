// Package statefile reads and writes the files of the state folder: for nobody but
// this user, bounded, and there whole or not at all, also after a crash of the
// machine. What is read there decides what serves, so what others could have written
// is not read.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrOthers says that what lies there could be somebody else's.
var ErrOthers = errors.New("others than this user may write to it")

// Check refuses a folder in which others than this user could leave something. One
// that is not there yet is fine.
func Check(folder string) error {
	info, err := os.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("state folder: %w", err)
	case !info.IsDir():
		return fmt.Errorf("state folder: %s is no folder", folder)
	case !ours(info):
		return fmt.Errorf("state folder: %s: %w", folder, ErrOthers)
	}
	return nil
}

// Make makes a folder for nobody but this user, and those above it, where they are
// missing, and checks it.
func Make(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	return Check(folder)
}

// Read gives what a plain file of this user's holds, at most limit bytes. It follows
// no link. The error is fs.ErrNotExist where there is none.
func Read(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|plainly, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no plain file", path)
	case !ours(info):
		return nil, fmt.Errorf("%s: %w", path, ErrOthers)
	}
	raw, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return raw, err
}

// tolerance is how far in the future a time that is kept may lie. It is a promise: docs
// name it.
const tolerance = 5 * time.Minute

// Past gives a time that was kept, or now where it lies a little in the future: the clock
// was put right meanwhile. The error says that it lies further there. Such a time comes
// of a broken clock, and what it belongs to would count for ever.
func Past(at time.Time) (time.Time, error) {
	now := time.Now()
	switch {
	case at.After(now.Add(tolerance)):
		return time.Time{}, fmt.Errorf("its time lies in the future: %s", at.Format(time.RFC3339))
	case at.After(now):
		return now, nil
	}
	return at, nil
}

// unfinished begins the names of files that Replace has not renamed yet.
const unfinished = ".new-"

// Unfinished tells whether a file of that name is one that Replace is writing, or
// that a crash left.
func Unfinished(name string) bool { return strings.HasPrefix(name, unfinished) }

// Replace writes a file, mode 0600, so that it is there whole or not at all. Its errors
// are the same each time.
func Replace(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), unfinished+"*") // mode 0600
	if err != nil {
		return about(path, err)
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return about(path, err)
}

// about is err without the name that a file has while it is written.
func about(path string, err error) error {
	if on, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("write %s: %w", path, on.Err)
	}
	if between, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("write %s: %w", path, between.Err)
	}
	return err
}

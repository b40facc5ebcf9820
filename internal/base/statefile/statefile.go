// Package statefile reads and writes the files of the state folder. They are accessible only to this user, bounded in
// size, and written whole or not at all, even if the machine crashes. These files decide what serves, so files that
// others could have written are not read.
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

// ErrOthers says that what is there may have been written by somebody else.
var ErrOthers = errors.New("others than this user may write to it")

// Check rejects a folder that others than this user could write to. A folder that does not exist is accepted.
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

// Make makes a folder that is accessible only to this user, and its parents, if they are missing. It then checks the
// folder.
func Make(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	return Check(folder)
}

// Read returns the content of a regular file of this user's, at most limit bytes. It does not follow links. The error
// is fs.ErrNotExist if there is no file.
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

// tolerance is how far a stored time may lie in the future. It is a documented promise.
const tolerance = 5 * time.Minute

// Past returns a stored time, or now if that time lies slightly in the future because the clock was corrected in the
// meantime. The error says that the time lies further in the future. Such a time comes from a wrong clock, and the data
// it belongs to would be valid forever.
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

// unfinished begins the names of the files that Replace has not renamed yet.
const unfinished = ".new-"

// Unfinished reports whether the name is that of a file that Replace is writing, or that a crash left behind.
func Unfinished(name string) bool { return strings.HasPrefix(name, unfinished) }

// Replace writes a file, mode 0600, so that it is there whole or not at all. The same failure always gives the same
// error text.
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

// about removes the temporary file name from err.
func about(path string, err error) error {
	if on, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("write %s: %w", path, on.Err)
	}
	if between, ok := errors.AsType[*os.LinkError](err); ok {
		return fmt.Errorf("write %s: %w", path, between.Err)
	}
	return err
}

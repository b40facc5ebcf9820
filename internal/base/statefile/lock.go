package statefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// lockName is a file in a folder that is held. The file stays there. What counts is the system's lock on it, which ends
// with the process, however that ends.
const lockName = "lock"

// HeldError says that another process holds a folder.
type HeldError struct {
	Folder string
	By     string // what that process wrote about itself; "" if nothing
}

func (e *HeldError) Error() string {
	by := "another process"
	if e.By != "" {
		by = e.By
	}
	return fmt.Sprintf("state folder: %s is in the hands of %s", e.Folder, by)
}

// Lock is a folder that is held by this process and by the processes that it is handed to. Their writes do not
// conflict. A nil *Lock holds nothing.
type Lock struct{ file *os.File }

// Hold takes a folder, and makes it if it is missing. The error is a *HeldError if another process has it, or
// errors.ErrUnsupported if this file system does not support locks.
func Hold(folder string) (*Lock, error) {
	if err := Make(folder); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(folder, lockName), os.O_RDWR|os.O_CREATE|plainly, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	switch err := lock(file); {
	case errors.Is(err, errHeld):
		held := &HeldError{folder, holder(file)}
		return nil, errors.Join(held, file.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("state folder: lock %s: %w", file.Name(), err), file.Close())
	}
	l := &Lock{file}
	l.sign()
	return l, nil
}

// Adopt is like Hold for the file that the previous process has handed over: its Lock's File. If the file is nil or
// belongs to another folder, it is closed and the folder is taken as by Hold.
func Adopt(folder string, file *os.File) (*Lock, error) {
	if file == nil {
		return Hold(folder)
	}
	there, err := os.Stat(filepath.Join(folder, lockName))
	if err == nil {
		given, statErr := file.Stat()
		if statErr == nil && os.SameFile(there, given) {
			l := &Lock{file}
			l.sign()
			return l, nil
		}
	}
	_ = file.Close() // of another folder
	return Hold(folder)
}

// File returns the file that a process that takes over is started with, or nil if there is none. The Lock still owns
// it.
func (l *Lock) File() *os.File {
	if l == nil {
		return nil
	}
	return l.file
}

// Release lets go of the folder, unless another process has been handed the lock, too.
func (l *Lock) Release() {
	if l != nil {
		_ = l.file.Close() // the lock ends when its last descriptor is closed
	}
}

// sign writes who holds the folder, for other processes that want it. Nothing depends on it.
func (l *Lock) sign() {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	text := fmt.Sprintf("the process %d on %s since %s\n", os.Getpid(), host, time.Now().Format(time.DateTime))
	if l.file.Truncate(0) == nil {
		_, _ = l.file.WriteAt([]byte(text), 0)
	}
}

// longestSign bounds what is read of a file that may contain anything.
const longestSign = 400

func holder(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(file, longestSign))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text)), "")
}

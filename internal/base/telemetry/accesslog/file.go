package accesslog

import (
	"fmt"
	"os"
	"time"
)

// file is an output by path. A program that rotates logs renames or removes the file, and need not tell the gateway.
type file struct {
	path    string
	open    *os.File
	checked time.Time
}

const (
	fileMode  = 0o640 // the group may read: log shippers
	lookAgain = time.Second
)

func openFile(path string) (*file, error) {
	opened, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	return &file{path: path, open: opened, checked: time.Now()}, nil
}

func (f *file) Write(p []byte) (int, error) { return f.open.Write(p) }

func (f *file) close() error { return f.open.Close() }

// refresh opens the file again if the path no longer leads to it, or if anew is set. If that fails, the old file stays
// in use.
func (f *file) refresh(anew bool) error {
	if !anew && (time.Since(f.checked) < lookAgain || f.current()) {
		return nil
	}
	opened, err := openFile(f.path)
	if err != nil {
		return err
	}
	_ = f.open.Close() // each write has returned its own error
	*f = *opened
	return nil
}

// current reports whether the path still leads to the open file.
func (f *file) current() bool {
	f.checked = time.Now()
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	here, err := f.open.Stat()
	return err == nil && os.SameFile(there, here)
}

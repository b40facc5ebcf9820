//go:build unix

package process

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Read reads the pipe. It takes data out and clears idle under one lock, so that an observer never sees an empty pipe
// with an idle reader while data is being processed.
func (t *tap) Read(p []byte) (n int, err error) {
	raw, err := t.file.SyscallConn()
	if err != nil {
		t.ends()
		return 0, fmt.Errorf("output of a process: %w", err)
	}
	var failed error
	err = raw.Read(func(fd uintptr) (done bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		for n, failed = -1, unix.EINTR; failed == unix.EINTR; {
			n, failed = unix.Read(int(fd), p)
		}
		if failed == unix.EAGAIN {
			t.waits()
			return false
		}
		t.idle = false
		return true
	})
	switch {
	case err == nil && failed == nil && n > 0:
		return n, nil
	case err == nil && failed == nil:
		err = io.EOF
	case err == nil:
		err = failed
	}
	t.ends()
	return 0, err //nolint:wrapcheck // an end is all that the caller looks for
}

// isEmpty reports whether the pipe has nothing to read.
func isEmpty(pipe *os.File) bool {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return true // it was closed
	}
	ready := 0
	err = raw.Control(func(fd uintptr) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return err != nil || ready <= 0
}

//go:build unix

package statefile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

var errHeld = unix.EWOULDBLOCK

// lock takes the lock on an open file (flock(2)). It belongs to the open file and not to the process, so a process that
// is started with the file has it as well.
func lock(file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
			return errors.Join(err, errors.ErrUnsupported)
		default:
			return err
		}
	}
}

package statefile

import (
	"os"

	"golang.org/x/sys/windows"
)

var errHeld = windows.ERROR_LOCK_VIOLATION

// farBehind is the offset of the locked byte. Other processes cannot read a locked range, so it is far behind the
// text.
const farBehind = 1 << 30

// lock takes the lock on an open file (LockFileEx).
func lock(file *os.File) error {
	return windows.LockFileEx(windows.Handle(file.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: farBehind})
}

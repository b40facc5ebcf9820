//go:build !windows

package listen

import (
	"math"
	"syscall"
)

// openFiles is how many files the process may open, 0 where that is not known.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur)
}

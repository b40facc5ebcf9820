//go:build !linux

package http1

import (
	"errors"
	"syscall"
)

// parks tells whether this system can have a porter.
const parks = false

// porter is a stub: only Linux has one.
type porter struct{}

func newPorter() (*porter, error) { return nil, errors.ErrUnsupported }

func takeNow(syscall.RawConn, []byte) (n int, goesOn bool) { return 0, false }

func (*porter) watch(syscall.RawConn) (int32, error) { return 0, errors.ErrUnsupported }
func (*porter) run(func(fds []int32))                {}
func (*porter) close()                               {}

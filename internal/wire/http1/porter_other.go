//go:build !linux

package http1

import (
	"errors"
	"syscall"
)

// parks tells whether there can be a porter.
const parks = false

// porter is for systems whose calls we use ourselves.
type porter struct{}

func newPorter() (*porter, error) { return nil, errors.ErrUnsupported }

func takeNow(syscall.RawConn, []byte) (n int, goesOn bool) { return 0, false }

func (*porter) watch(syscall.RawConn) (int32, error) { return 0, errors.ErrUnsupported }
func (*porter) run(func(fds []int32))                {}
func (*porter) close()                               {}

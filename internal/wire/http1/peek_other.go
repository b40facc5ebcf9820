//go:build !unix

package http1

import "syscall"

// peek would ask a socket whether anything has come, which cannot be done here: no
// connection is used twice.
type peek struct{ socket syscall.RawConn }

func (*peek) isQuiet() bool { return false }

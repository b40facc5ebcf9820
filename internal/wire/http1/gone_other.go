//go:build !unix

package http1

import "syscall"

const asksSockets = false

func hasLeft(syscall.RawConn, bool) bool { return false }

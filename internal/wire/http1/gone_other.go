//go:build !unix

package http1

import "syscall"

const asksSockets = false

func isEnding(syscall.RawConn) bool { return true }

func hasLeft(syscall.RawConn, bool) bool { return false }

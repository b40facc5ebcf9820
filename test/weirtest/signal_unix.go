//go:build !windows

package weirtest

import "syscall"

const terminate = syscall.SIGTERM

//go:build !linux

package main

import (
	"fmt"
	"io"
)

// run says why there is nothing to be measured.
func run(_ []string, out io.Writer) int {
	fmt.Fprintln(out, "bench: processor time, system calls and memory of other processes are read from Linux's /proc; on other systems there is nothing to be measured")
	return 1
}

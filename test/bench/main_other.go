//go:build !linux

package main

import (
	"fmt"
	"io"
)

// run says why nothing can be measured here.
func run(_ []string, out io.Writer) int {
	fmt.Fprintln(out, "bench: processor time, system calls and memory of other processes are read from Linux's /proc; on other systems there is nothing to be measured")
	return 1
}

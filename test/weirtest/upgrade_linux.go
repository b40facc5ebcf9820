package weirtest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// serves matches the log line with which one process hands everything over to another.
var serves = regexp.MustCompile(`the new process serves; this one ends" pid=(\d+)`)

// Upgrade makes another process take over, waits until that serves, and returns the id of the previous process. The
// previous process may still be ending; see Gone.
func (g *Gateway) Upgrade(tb testing.TB) (before int) {
	tb.Helper()
	before = g.now.Pid
	had := len(serves.FindAllString(g.Log(), -1))
	if err := g.now.Signal(syscall.SIGUSR2); err != nil {
		tb.Fatal(err)
	}
	for deadline := time.Now().Add(startLimit); ; {
		if told := serves.FindAllStringSubmatch(g.Log(), -1); len(told) > had {
			pid, err := strconv.Atoi(told[had][1])
			if err == nil {
				g.now, err = os.FindProcess(pid)
			}
			if err != nil {
				tb.Fatal(err)
			}
			return before
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no other process took over:\n%s", g.log)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// PID is the id of the process that serves.
func (g *Gateway) PID() int { return g.now.Pid }

// Gone reports whether a process has ended, whether or not it was waited for.
func Gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	at := bytes.LastIndexByte(stat, ')') // after the name, which may contain anything
	return at > 0 && len(stat) > at+2 && stat[at+2] == 'Z'
}

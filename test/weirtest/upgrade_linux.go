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

// serves is the line with which one process leaves everything to another.
var serves = regexp.MustCompile(`the new process serves; this one ends" pid=(\d+)`)

// Upgrade makes another process take over and waits until it serves. The process
// before may still be ending; see Gone. It gives that one's id.
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

// Gone tells whether a process has ended, waited for or not.
func Gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	at := bytes.LastIndexByte(stat, ')') // behind the name, which may hold anything
	return at > 0 && len(stat) > at+2 && stat[at+2] == 'Z'
}

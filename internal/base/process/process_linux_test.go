package process_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/process"
)

func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// alive tells whether pid runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest != "" && rest[0] != 'Z' && rest[0] != 'X'
}

func killPID(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("killing %d would reach beyond a process", pid)
	}
	must(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestAProcessThatUsesTooMuchMemoryIsKilled(t *testing.T) {
	host := open(t)
	p, err := host.Start(t.Context(), process.Spec{
		Path: self(), Args: []string{"eat"}, Memory: 64 << 20,
		Env:  func(string) []string { return nil },
		Line: func(l process.Line) { t.Errorf("it says %q", l.Text) },
	})
	must(t, err)
	await.From(t, "it is killed", p.Done())
	if got := p.Exit(); !strings.HasPrefix(got, "killed for its memory: it used ") || !strings.Contains(got, "64 MiB") {
		t.Errorf("its end is %q", got)
	}
}

func TestMemoryIsThatOfAllThatStandBesideEachOther(t *testing.T) {
	host := open(t)
	spec := func(beside *process.Process, args ...string) process.Spec {
		return process.Spec{Path: self(), Args: args, Memory: 64 << 20, Beside: beside, Env: func(string) []string { return nil }, Line: func(process.Line) {}}
	}
	first, err := host.Start(t.Context(), spec(nil, "function"))
	must(t, err)
	eater, err := host.Start(t.Context(), spec(first, "eat"))
	must(t, err)
	killed := first // by the first look, of either's, at what both use
	select {
	case <-first.Done():
		eater.Kill()
	case <-eater.Done():
		killed = eater
		first.Kill()
	case <-time.After(time.Minute):
		t.Fatal("nobody is killed")
	}
	<-first.Done()
	<-eater.Done()
	if got := killed.Exit(); !strings.HasPrefix(got, "killed for its memory: it used ") || !strings.Contains(got, "64 MiB") {
		t.Errorf("its end is %q", got)
	}
}

// guardOf finds the guard among the children of a gateway, 0 where there is none.
func guardOf(t *testing.T, gateway int) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(cmdline, []byte(process.GuardArgument)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		must(t, err)
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest) // its state, which may be any, and its parent
		if err == nil && alive(pid) && len(fields) > 1 && fields[1] == strconv.Itoa(gateway) {
			return pid
		}
	}
	return 0
}

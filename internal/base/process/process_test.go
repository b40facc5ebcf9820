package process_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/process"
)

// The test binary plays several parts besides running tests: the guard, a
// function with children and a gateway that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case process.GuardArgument:
			if err := process.GuardMain(os.Args[2:], os.Stdin, os.Stdout); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "gateway":
			gateway()
		case "function":
			function(os.Args[2:])
		case "eat":
			eat()
		}
	}
	goleak.VerifyTestMain(m)
}

// gateway starts a function that starts children, says who they are, and waits
// to be killed.
func gateway() {
	host := process.NewHost(guardCommand())
	if err := host.Open(slog.New(slog.DiscardHandler)); err != nil {
		panic(err)
	}
	_, err := host.Start(context.Background(), process.Spec{
		Path: self(), Args: []string{"function", "tree"},
		Env:  func(temp string) []string { return []string{"TMPDIR=" + temp} },
		Line: func(l process.Line) { fmt.Fprintf(os.Stdout, "%s\n", l.Text) },
	})
	if err != nil {
		panic(err)
	}
	select {}
}

// function prints its pid and sleeps; "tree" starts a child in its group and one
// that leaves it, "listen" prints an address at which it listens, and "apart" has one that leaves
// its group do so.
func function(args []string) {
	fmt.Fprintln(os.Stdout, "pid", os.Getpid())
	if len(args) > 0 && args[0] == "listen" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(os.Stdout, "at", l.Addr())
	}
	if len(args) > 0 && args[0] == "apart" {
		cmd := exec.Command(self(), "function", "listen")
		cmd.Stdout, cmd.SysProcAttr = os.Stdout, ownSession()
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	if len(args) > 0 && args[0] == "tree" {
		for _, leaves := range []bool{false, true} {
			cmd := exec.Command(self(), "function")
			cmd.Stdout = os.Stdout
			if leaves {
				cmd.SysProcAttr = ownSession()
			}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
		}
	}
	<-time.After(time.Minute) // select {} is a deadlock to the runtime, which would end the process itself
}

// eat takes more and more memory until it is ended: half of it itself, half of it
// by a child.
func eat() {
	if len(os.Args) < 3 {
		cmd := exec.Command(self(), "eat", "child")
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	const piece = 1 << 20
	var eaten [][]byte
	for len(eaten) < 256 { // whoever is to end it may come late, on a busy machine
		one := make([]byte, piece)
		for at := 0; at < piece; at += os.Getpagesize() {
			one[at] = 1
		}
		eaten = append(eaten, one)
		<-time.After(2 * time.Millisecond)
	}
	<-time.After(time.Minute)
	fmt.Fprintln(os.Stdout, "nobody ended it with", len(eaten))
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// guardCommand starts this program as a guard. The race detector would let each
// one wait for a second before it ends.
func guardCommand() []string {
	return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", self(), process.GuardArgument}
}

func TestAKilledGatewayLeavesNoProcessBehind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the escaped child is only found on Linux")
	}
	gateway := exec.Command(self(), "gateway")
	out, err := gateway.StdoutPipe()
	must(t, err)
	must(t, gateway.Start())
	t.Cleanup(func() {
		_ = gateway.Process.Kill() // where the test has not done it
		_ = gateway.Wait()
	})
	pids := readPIDs(t, out, 3)
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatalf("process %d should run before the gateway is killed", pid)
		}
	}
	must(t, gateway.Process.Kill())
	killed := time.Now()
	await.That(t, "the processes end after their gateway was killed", func() bool {
		return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2])
	})
	t.Logf("all gone after %v", time.Since(killed))
}

func TestStopEndsTheWholeTree(t *testing.T) {
	host := open(t)
	var out pidLines
	p, err := host.Start(t.Context(), process.Spec{Path: self(), Args: []string{"function", "tree"}, Env: noEnv, Line: out.take})
	must(t, err)
	await.That(t, "the tree has started", func() bool { return len(out.pids()) == 3 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Stop(ctx)
	if runtime.GOOS == "linux" {
		if alive(p.PID()) {
			t.Errorf("process %d is alive after Stop", p.PID())
		}
		// The others are killed; when the system gets to that is its own matter.
		await.That(t, "the whole tree ends", func() bool { return !slices.ContainsFunc(out.pids(), alive) })
	}
	if !strings.Contains(p.Exit(), "killed") && runtime.GOOS != "windows" {
		t.Errorf("exit is %q, want one by the kill signal", p.Exit())
	}
}

func TestAKilledGuardIsReplacedAndKnowsAllGroups(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the guard is found by /proc")
	}
	gateway := exec.Command(self(), "gateway")
	out, err := gateway.StdoutPipe()
	must(t, err)
	must(t, gateway.Start())
	t.Cleanup(func() {
		_ = gateway.Process.Kill() // where the test has not done it
		_ = gateway.Wait()
	})
	pids := readPIDs(t, out, 3)
	var first int
	await.That(t, "the guard runs", func() bool { first = guardOf(t, gateway.Process.Pid); return first != 0 })
	killPID(t, first)
	await.That(t, "the guard is replaced", func() bool {
		second := guardOf(t, gateway.Process.Pid)
		return second != 0 && second != first
	})
	// The new guard may still be on its way to being told; a gateway that dies
	// only now is the case that matters.
	must(t, gateway.Process.Kill())
	await.That(t, "all processes end", func() bool { return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2]) })
}

// Whoever started it may be gone before it says that it listens. Then nobody hears it, and it has its work to do.
func TestAGuardThatNobodyHearsDoesItsWork(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what is marked is only found on Linux")
	}
	token := fmt.Sprint("test", os.Getpid())
	folder := filepath.Join(t.TempDir(), "weir-functions-"+token)
	must(t, os.Mkdir(folder, 0o700))
	left := exec.Command(self(), "function")
	left.Env = []string{process.InstanceVariable + "=" + token + ".1"}
	must(t, left.Start())
	ended := make(chan error, 1)
	go func() { ended <- left.Wait() }()
	t.Cleanup(func() { _ = left.Process.Kill() }) // where the guard has not done it
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	defer w.Close()
	command := append(guardCommand(), token, folder)
	guard := exec.Command(command[0], command[1:]...)
	guard.Stdout = w
	if err := guard.Run(); err != nil { // its input has ended from the first
		t.Errorf("the guard ended with %v", err)
	}
	if err := await.From(t, "the end of the process that was left", ended); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process that was left ended with %v", err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestLinesAreCutAndCounted(t *testing.T) {
	host := open(t)
	var mu sync.Mutex
	var lines []process.Line
	p, err := host.Start(t.Context(), process.Spec{
		Path: "/bin/sh", Args: []string{"-c", `echo one; head -c 1000000 /dev/zero | tr '\0' x; echo; printf last`}, Env: noEnvWithPath,
		Line: func(l process.Line) {
			mu.Lock()
			defer mu.Unlock()
			l.Text = bytes.Clone(l.Text)
			lines = append(lines, l)
		},
	})
	must(t, err)
	<-p.Done()
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	if got := lines[1]; len(got.Text) != process.MaxLine || got.Cut != 1000000-process.MaxLine {
		t.Errorf("the long line has %d bytes and %d cut, want %d and %d", len(got.Text), got.Cut, process.MaxLine, 1000000-process.MaxLine)
	}
	if string(lines[0].Text) != "one" || string(lines[2].Text) != "last" {
		t.Errorf("lines are %q and %q", lines[0].Text, lines[2].Text)
	}
}

func TestTheEnvironmentIsWhatWasSaidAndNoMore(t *testing.T) {
	t.Setenv("GATEWAY_SECRET", "do not leak")
	host := open(t)
	var mu sync.Mutex
	var names []string
	p, err := host.Start(t.Context(), process.Spec{
		Path: "/usr/bin/env", Env: func(temp string) []string { return []string{"A=1", "TMPDIR=" + temp} },
		Line: func(l process.Line) {
			mu.Lock()
			defer mu.Unlock()
			name, _, _ := strings.Cut(string(l.Text), "=")
			names = append(names, name)
		},
	})
	must(t, err)
	<-p.Done()
	if got := strings.Join(names, " "); got != "A TMPDIR "+process.InstanceVariable {
		t.Errorf("the environment has %s", got)
	}
}

func TestTheTemporaryFolderGoesWithItsInstance(t *testing.T) {
	host := open(t)
	var dir string
	p, err := host.Start(t.Context(), process.Spec{
		Path: self(), Args: []string{"function"}, Line: func(process.Line) {},
		Env: func(temp string) []string { dir = temp; return nil },
	})
	must(t, err)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("no temporary folder: %v", err)
	}
	p.Kill()
	<-p.Done()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
}

func TestProcessesBesideEachOtherHaveOneHome(t *testing.T) {
	host := open(t)
	var folders []string
	spec := func(beside *process.Process, args ...string) process.Spec {
		return process.Spec{
			Path: self(), Args: args, Line: func(process.Line) {}, Memory: 256 << 20, Beside: beside,
			Env: func(temp string) []string { folders = append(folders, temp); return nil },
		}
	}
	first, err := host.Start(t.Context(), spec(nil, "function"))
	must(t, err)
	second, err := host.Start(t.Context(), spec(first, "function"))
	must(t, err)
	if folders[0] != folders[1] || first.Serial != second.Serial {
		t.Errorf("they have the folders %q and the serials %s and %s", folders, first.Serial, second.Serial)
	}
	first.Kill()
	await.From(t, "the end of the first", first.Done())
	if _, err := os.Stat(folders[0]); err != nil || second.Ended() {
		t.Errorf("the second has lost its folder (%v), or has ended: %v", err, second.Ended())
	}
	third, err := host.Start(t.Context(), spec(first, "function")) // the home is there as long as somebody is
	must(t, err)
	for _, p := range []*process.Process{second, third} {
		p.Kill()
		await.From(t, "the end", p.Done())
	}
	if _, err := os.Stat(folders[0]); !os.IsNotExist(err) {
		t.Errorf("the folder is still there (%v)", err)
	}
	if p, err := host.Start(t.Context(), spec(first, "function")); err == nil {
		p.Kill()
		<-p.Done()
		t.Error("a process was started beside nobody")
	}
}

// Systems remove what is old in the folder of temporary files.
func TestTemporaryFoldersThatWereRemovedAreMadeAgain(t *testing.T) {
	host := open(t)
	var temp string
	spec := process.Spec{
		Path: self(), Args: []string{"function"}, Line: func(process.Line) {},
		Env: func(own string) []string { temp = own; return nil },
	}
	for range 2 {
		p, err := host.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(temp); err != nil || info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
			t.Errorf("the instance's folder is %v, %v", info, err)
		}
		p.Stop(t.Context())
		if err := os.RemoveAll(filepath.Dir(temp)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMissingProgramIsToldByName(t *testing.T) {
	host := open(t)
	path := filepath.Join(t.TempDir(), "nothing")
	_, err := host.Start(t.Context(), process.Spec{Path: path, Env: noEnv})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one that names %s", err, path)
	}
}

// A program that is still being written holds up no other start, and its own ends with ctx.
func TestAProgramThatIsBeingWrittenHoldsUpNoOther(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems start what is open for writing")
	}
	host := open(t)
	busy := filepath.Join(t.TempDir(), "busy")
	file, err := os.OpenFile(busy, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("#!/bin/sh\n"); err != nil {
		t.Fatal(err)
	}
	ctx, giveUp := context.WithCancelCause(t.Context())
	begin := time.Now()
	told, enough := make(chan error, 1), errors.New("enough")
	go func() {
		_, err := host.Start(ctx, process.Spec{Path: busy, Env: noEnv})
		told <- err
	}()
	p, err := host.Start(t.Context(), process.Spec{Path: self(), Args: []string{"function"}, Env: noEnv, Line: func(process.Line) {}})
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(t.Context())
	giveUp(enough)
	// On a machine that is slow enough the patience has ended before.
	if err := <-told; err == nil || time.Since(begin) < time.Second && !errors.Is(err, enough) {
		t.Errorf("it was given up with %v", err)
	}
}

func TestGuardRefusesStrangeArguments(t *testing.T) {
	for _, args := range [][]string{nil, {"token"}, {"token", "/"}, {"", "/tmp/weir-functions-"}, {"a", "/tmp/weir-functions-b"}} {
		if err := process.GuardMain(args, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("GuardMain(%q) ran", args)
		}
	}
}

func open(t *testing.T) *process.Host {
	t.Helper()
	host := process.NewHost(guardCommand())
	must(t, host.Open(slog.New(slog.DiscardHandler)))
	t.Cleanup(host.Close)
	return host
}

func noEnv(string) []string         { return nil }
func noEnvWithPath(string) []string { return []string{"PATH=/usr/bin:/bin"} }

type pidLines struct {
	mu   sync.Mutex
	list []int
}

func (p *pidLines) take(l process.Line) {
	if text, ok := strings.CutPrefix(string(l.Text), "pid "); ok {
		pid, _ := strconv.Atoi(text)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.list = append(p.list, pid)
	}
}

func (p *pidLines) pids() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]int(nil), p.list...)
}

func readPIDs(t *testing.T, out io.Reader, n int) []int {
	t.Helper()
	var p pidLines
	lines := bufio.NewScanner(out)
	for len(p.pids()) < n && lines.Scan() {
		p.take(process.Line{Text: lines.Bytes()})
	}
	if len(p.pids()) < n {
		t.Fatal("the gateway did not tell its processes")
	}
	return p.pids()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

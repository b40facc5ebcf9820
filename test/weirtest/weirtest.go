// Package weirtest runs the real weir binary for tests. The binary is built once per test run (with the race detector
// if the tests have it), listens on loopback ports that the system chooses, and is stopped with the test. Tests only
// know what a user knows of weir: its command line, its output and its sockets.
package weirtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// startLimit is how long a start may take on a busy machine; building a function's program is part of it.
const startLimit = 2 * time.Minute

// Binary returns the path of the weir binary: WEIR_BINARY, or one that is built from this tree.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// build runs once per process. Go's build cache makes it fast in the next process.
var build = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one build a process
	if path := os.Getenv("WEIR_BINARY"); path != "" {
		return path, nil
	}
	folder, err := os.MkdirTemp("", "weir-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "weir")
	arguments := []string{"build", "-o", path}
	if RaceEnabled {
		arguments = append(arguments, "-race")
	}
	command := exec.Command("go", append(arguments, "./cmd/weir")...) //nolint:noctx // it ends
	command.Dir = Root()
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// Root returns the root of the repository, for tests in modules of their own too.
func Root() string {
	_, file, _, _ := runtime.Caller(0) //nolint:dogsled // only the file is asked for
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Cleanup removes what Binary built; call it from TestMain after m.Run.
func Cleanup() {
	if path, err := build(); err == nil && os.Getenv("WEIR_BINARY") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
}

// Engine returns the engine, named by WEIR_ENGINE, with which the binary speaks HTTP/1.x with clients and services;
// "" means what the configs say.
func Engine() string { return os.Getenv("WEIR_ENGINE") }

// Gateway is a running weir.
type Gateway struct {
	Address string   // host:port of its first socket, or of the Lambda API if there is no other
	Sockets []string // host:port of each socket, in the order of their names in the config
	Admin   string   // host:port of the admin API
	Lambda  string   // host:port of the Lambda API, "" if there is none
	// Registry is host:port of the registry, "" if there is none.
	Registry string
	process  *exec.Cmd
	now      *os.Process // the process that serves: the first one, or one that took over
	log      *logFile
	exited   chan struct{}
	killed   bool
}

// UsualState is an argument of Start that lets the gateway keep its state in its default place. Without it the
// gateway keeps none.
const UsualState = "usual state"

// Start runs `weir run config` with further arguments and waits until it serves. At the end of the test the gateway
// is stopped with SIGTERM (Interrupt on Windows: killed), and then must have exited with 0.
func Start(tb testing.TB, config string, arguments ...string) *Gateway {
	tb.Helper()
	command := []string{"run", config, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	if usual := slices.Index(arguments, UsualState); usual >= 0 {
		arguments = slices.Delete(slices.Clone(arguments), usual, usual+1)
	} else {
		command = append(command, "--state", "off")
	}
	command = append(command, arguments...)
	if engine := Engine(); engine != "" {
		command = append(command, "--engine", engine)
	}
	g := &Gateway{process: exec.Command(Binary(tb), command...), log: newLog(tb), exited: make(chan struct{})} //nolint:noctx // stopped in Cleanup
	g.process.Stderr = g.log.file
	out, err := g.process.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := g.process.Start(); err != nil {
		tb.Fatal(err)
	}
	g.now = g.process.Process
	started := make(chan struct{})
	go func() {
		defer close(g.exited) // once all processes that took over have ended too, because they share its output
		g.readAddresses(out, started)
		_ = g.process.Wait() // stop checks the exit code
	}()
	tb.Cleanup(func() { g.Stop(tb) })
	select {
	case <-started:
	case <-g.exited:
		tb.Fatalf("weir ended before it served:\n%s", g.log)
	case <-time.After(startLimit):
		tb.Fatalf("weir did not serve within %s:\n%s", startLimit, g.log)
	}
	return g
}

// readAddresses reads the addresses from weir's output, and closes started once both are there. Processes that take
// over later have the same addresses.
func (g *Gateway) readAddresses(out io.Reader, started chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if g.Admin != "" {
			continue
		}
		text := strings.Replace(lines.Text(), "serving on https://", "serving on http://", 1)
		if address, ok := strings.CutPrefix(text, "serving on http://"); ok {
			g.Sockets = append(g.Sockets, address)
			g.Address = g.Sockets[0]
		}
		if address, ok := strings.CutPrefix(text, "Lambda API on http://"); ok {
			g.Lambda = address
		}
		if address, ok := strings.CutPrefix(text, "registry on http://"); ok {
			g.Registry = address
		}
		if address, ok := strings.CutPrefix(text, "admin on http://"); ok {
			if g.Address == "" {
				g.Address = g.Lambda
			}
			g.Admin = address
			close(started)
		}
	}
}

// Stop ends weir as its operator would and checks that it exited successfully. The end of the test does it anyway.
func (g *Gateway) Stop(tb testing.TB) {
	tb.Helper()
	_ = g.now.Signal(terminate) // it may have ended already
	select {
	case <-g.exited:
	case <-time.After(time.Minute):
		_ = g.process.Process.Kill()
		_ = g.now.Kill()
		<-g.exited
		tb.Errorf("weir did not end within a minute of SIGTERM:\n%s", g.log)
		return
	}
	if state := g.process.ProcessState; state != nil && !state.Success() && !g.killed && !tb.Failed() {
		tb.Errorf("weir: %s\n%s", state, g.log)
	}
	if strings.Contains(g.log.String(), "DATA RACE") {
		tb.Errorf("weir:\n%s", g.log)
	}
}

// Kill ends weir with SIGKILL and waits for it.
func (g *Gateway) Kill() {
	g.killed = true
	_ = g.now.Kill() // it may have ended already
	<-g.exited
}

// Pid returns the id of the process that Start has started.
func (g *Gateway) Pid() int { return g.process.Process.Pid }

// Log returns everything that weir has written to its standard error so far, because that is a file. Output that goes
// through a pipe is only here once it has been read.
func (g *Gateway) Log() string { return g.log.String() }

// logFile is a file that exists as long as its test, and its content after that.
type logFile struct {
	file *os.File
	held *string // nil while the file is open
}

func newLog(tb testing.TB) *logFile {
	tb.Helper()
	file, err := os.CreateTemp(tb.TempDir(), "log")
	if err != nil {
		tb.Fatal(err)
	}
	l := &logFile{file: file}
	tb.Cleanup(func() {
		held := l.String()
		l.held = &held
		_ = l.file.Close() // this file handle was only used for reading
	})
	return l
}

// String returns its content.
func (l *logFile) String() string {
	if l.held != nil {
		return *l.held
	}
	info, err := l.file.Stat()
	if err != nil {
		return err.Error()
	}
	text := make([]byte, info.Size())
	n, err := l.file.ReadAt(text, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(text[:n])
}

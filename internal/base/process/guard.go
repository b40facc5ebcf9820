package process

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GuardArgument is the first argument with which this program is the guard.
const GuardArgument = "__function-guard"

// The guard's side of the pipe is a text: a line "+PGID" for a group to watch
// and "-PGID" for one that has ended. guardReady is the line it answers with
// once it listens.
const guardReady = "ready"

// GuardMain is the guard: args are those after GuardArgument (the token of the
// host and its temporary folder). It reads in until its end, which comes when
// the program that started it is gone, and then ends what is left.
func GuardMain(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 || args[0] == "" || filepath.Base(args[1]) != dirPrefix+args[0] {
		return errors.New("the guard of function processes is started by weir itself, not by hand")
	}
	ignoreSignals()
	_, _ = fmt.Fprintln(out, guardReady) // where nobody hears it, the program that started it is gone already
	groups := map[int]bool{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		note(groups, lines.Text())
	}
	for id := range groups {
		killGroup(id)
	}
	sweep(args[0] + ".")
	if err := os.RemoveAll(args[1]); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}

// note keeps the set of groups by one line of the pipe. Half a line, of a
// program that was killed while it wrote, says nothing.
func note(groups map[int]bool, line string) {
	if line == "" {
		return
	}
	id, err := strconv.Atoi(line[1:])
	switch {
	case err != nil || id <= 1:
	case line[0] == '+':
		groups[id] = true
	case line[0] == '-':
		delete(groups, id)
	}
}

// guard is the host's side. It starts the guard again if that ends before its time.
type guard struct {
	command []string
	log     *slog.Logger
	ended   chan struct{} // closed when the owner goroutine has returned

	mu     sync.Mutex
	groups map[int]bool
	pipe   io.WriteCloser // nil while the guard is being replaced
	closed bool
}

// guardPatience bounds the guard's start.
const guardPatience = 5 * time.Second

func startGuard(command []string, token, dir string, log *slog.Logger) (*guard, error) {
	g := &guard{
		command: append(append([]string(nil), command...), token, dir),
		log:     log, ended: make(chan struct{}), groups: map[int]bool{},
	}
	cmd, err := g.launch()
	if err != nil {
		return nil, err
	}
	go g.keep(cmd)
	return g, nil
}

// launch starts the guard's process and waits until it listens.
func (g *guard) launch() (*exec.Cmd, error) {
	cmd := exec.Command(g.command[0], g.command[1:]...) //nolint:noctx // our own program; it ends with the pipe
	cmd.Env = []string{}
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = guardAttributes()
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	impatient := time.AfterFunc(guardPatience, func() { _ = cmd.Process.Kill() })
	answer, _ := bufio.NewReader(out).ReadString('\n') // an error leaves the answer incomplete
	if !impatient.Stop() || strings.TrimSpace(answer) != guardReady {
		_ = cmd.Process.Kill() // before its input ends, which it would take for our end
		_ = pipe.Close()
		_ = cmd.Wait() // whatever it says: it was not a guard
		return nil, fmt.Errorf("%s did not answer as a guard", g.command[0])
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pipe = pipe
	for id := range g.groups {
		g.send("+", id)
	}
	return cmd, nil
}

// keep owns the guard's process: it replaces one that ends too early, for
// somebody may have killed it.
func (g *guard) keep(cmd *exec.Cmd) {
	defer close(g.ended)
	for {
		err := cmd.Wait()
		g.mu.Lock()
		g.pipe = nil
		closed := g.closed
		g.mu.Unlock()
		if closed {
			return
		}
		g.log.Warn("the guard of function processes ended and is replaced", "error", err)
		if cmd, err = g.launch(); err != nil {
			g.log.Error("function processes have no guard: they may outlive a killed gateway", "error", err)
			return
		}
	}
}

func (g *guard) watch(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups[id] = true
	g.send("+", id)
}

func (g *guard) forget(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.groups, id)
	g.send("-", id)
}

// send is called with the lock held. A failure means that the guard has ended,
// which keep notices; the next one is told all groups anew.
func (g *guard) send(op string, id int) {
	if g.pipe != nil {
		_, _ = io.WriteString(g.pipe, op+strconv.Itoa(id)+"\n")
	}
}

func (g *guard) close() {
	g.mu.Lock()
	g.closed = true
	if g.pipe != nil {
		_ = g.pipe.Close()
	}
	g.mu.Unlock()
	<-g.ended
}

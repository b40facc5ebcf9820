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

// GuardArgument is the first argument that makes this program run as the guard.
const GuardArgument = "__function-guard"

// The protocol on the guard's pipe is text: a line "+PGID" for a group to watch and "-PGID" for a group that has ended.
// guardReady is the line that the guard answers with once it listens.
const guardReady = "ready"

// GuardMain runs the guard. args are the arguments after GuardArgument: the host's token and its temporary folder.
// GuardMain reads in until its end, which comes when the program that started the guard is gone. Then it kills the
// processes that are left.
func GuardMain(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 || args[0] == "" || filepath.Base(args[1]) != dirPrefix+args[0] {
		return errors.New("the guard of function processes is started by weir itself, not by hand")
	}
	ignoreSignals()
	_, _ = fmt.Fprintln(out, guardReady) // if nobody reads it, the program that started the guard is gone already
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

// note updates the set of groups with one line from the pipe. It ignores a partial line, which a program leaves that
// was killed while writing.
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

// guard is the host's side. It restarts the guard process if that ends too early.
type guard struct {
	command []string
	log     *slog.Logger
	ended   chan struct{} // closed when the owner goroutine has returned

	mu     sync.Mutex
	groups map[int]bool
	pipe   io.WriteCloser // nil while the guard is being replaced
	closed bool
}

// guardPatience bounds the start of the guard.
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

// launch starts the guard process and waits until it listens.
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
	answer, _ := bufio.NewReader(out).ReadString('\n') // after an error, the answer is incomplete
	if !impatient.Stop() || strings.TrimSpace(answer) != guardReady {
		_ = cmd.Process.Kill() // before closing its input, whose end the guard would take for our end
		_ = pipe.Close()
		_ = cmd.Wait() // the result does not matter: it was not a guard
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

// keep owns the guard process. It replaces one that ends too early, for example because somebody killed it.
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

// send must be called with the lock held. A failure means that the guard has ended. keep notices that, and the next
// guard is told all groups again.
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

//go:build unix

package cluster

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// Process is one part of the control plane, which can be ended and started again.
type Process struct {
	tb        testing.TB
	name      string
	program   string
	arguments []string
	command   *exec.Cmd
	log       *await.Text
	ended     chan struct{}
}

// Start runs it.
func (p *Process) Start() {
	p.tb.Helper()
	p.log, p.ended = &await.Text{}, make(chan struct{})
	p.command = exec.Command(p.program, p.arguments...) //nolint:noctx // it is ended by Kill
	p.command.Stderr, p.command.Stdout = p.log, p.log
	if err := p.command.Start(); err != nil {
		p.tb.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // its exit status does not matter
	}()
}

// Kill ends it as if its machine failed.
func (p *Process) Kill() {
	p.tb.Helper()
	if p.command == nil {
		return
	}
	p.Signal(syscall.SIGKILL)
	<-p.ended
	if p.tb.Failed() {
		text := p.log.String()
		p.tb.Logf("%s:\n%s", p.name, text[max(0, len(text)-3000):])
	}
	p.command = nil
}

// End tells it to end. If that takes too long, as it does while watches are open, it is killed.
func (p *Process) End() {
	p.tb.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
	}
	p.Kill()
}

// Pause stops it from doing anything, until Resume.
func (p *Process) Pause() { p.Signal(syscall.SIGSTOP) }

// Resume lets it continue.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.tb.Helper()
	select {
	case <-p.ended:
	default:
		if err := p.command.Process.Signal(s); err != nil {
			p.tb.Errorf("%s: %v", p.name, err)
		}
	}
}

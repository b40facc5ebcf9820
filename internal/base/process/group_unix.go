//go:build unix

package process

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

const needsGuard = true

// group is a process group, identified by its leader.
type group struct{ leader int }

func newGroup(leader *os.Process) group { return group{leader.Pid} }

func (g group) id() int { return g.leader }

// ask sends SIGTERM, or SIGINT if interrupt is set, and reports whether the group still had a process.
func (g group) ask(interrupt bool) bool {
	with := syscall.SIGTERM
	if interrupt {
		with = syscall.SIGINT
	}
	return syscall.Kill(-g.leader, with) == nil
}

func (g group) kill() { killGroup(g.leader) }

func (group) close() {}

// killGroup kills every process in the group. An error means that no process is left.
func killGroup(id int) { _ = syscall.Kill(-id, syscall.SIGKILL) }

// guardAttributes puts the guard into its own session, so that signals that a terminal or a shell sends to the
// gateway's group do not reach it.
func guardAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func ignoreSignals() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
}

// code returns the exit code as a shell reports it.
func code(s *os.ProcessState) int {
	const ofSignals = 128
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return ofSignals + int(status.Signal())
	}
	return s.ExitCode()
}

func isTextBusy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }

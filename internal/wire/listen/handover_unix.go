//go:build unix

package listen

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Parcel is a set of listening sockets on their way to another process, which takes them with Inherit. It belongs to
// one goroutine.
//
// File descriptors are copied by hand: an os.File would make the socket a blocking one in both processes, because they
// share its flags.
type Parcel struct {
	names []string
	fds   []int
	token *os.File
}

// Add puts a copy of l into the parcel, under the key that the other process asks with.
func (p *Parcel) Add(key string, l net.Listener) error {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("hand over %s: a listener of type %T has no file descriptor", l.Addr(), l)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("hand over %s: %w", l.Addr(), err)
	}
	var fd int
	controlErr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, controlErr); err != nil {
		return fmt.Errorf("hand over %s: %w", l.Addr(), err)
	}
	name := url.QueryEscape(key)
	if _, ok := l.(managed); ok {
		name += managedMark
	}
	p.names, p.fds = append(p.names, name), append(p.fds, fd)
	return nil
}

// Token also passes f to the other process, which gets it from Inherited.Token: both processes then hold what an open
// file holds. f stays the caller's.
func (p *Parcel) Token(f *os.File) { p.token = f }

// Close closes the copies.
func (p *Parcel) Close() {
	for _, fd := range p.fds {
		_ = unix.Close(fd) // nothing is lost with it
	}
	p.fds, p.names = nil, nil
}

// Successor is the process that was started with a Parcel.
type Successor struct {
	process *os.Process
	ready   *os.File
}

// Send starts program with what is in the parcel, the arguments after its name,
// and this process's environment, standard input, output and error.
func (p *Parcel) Send(program string, arguments []string) (*Successor, error) {
	ready, theirs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	defer func() { _ = theirs.Close() }() // the process has it
	files := []uintptr{0, 1, 2}
	for _, fd := range p.fds {
		files = append(files, uintptr(fd))
	}
	files = append(files, theirs.Fd())
	env := append(os.Environ(), handoverNames+"="+strings.Join(append(p.names, ""), ","))
	if p.token != nil { // an older program does not know it and leaves it open
		files = append(files, p.token.Fd())
		env = append(env, handoverToken+"=1")
	}
	pid, _, err := syscall.StartProcess(program, append([]string{program}, arguments...), &syscall.ProcAttr{Env: env, Files: files})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), ready.Close())
	}
	process, err := os.FindProcess(pid)
	if err != nil { // not on Unix
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), ready.Close())
	}
	return &Successor{process, ready}, nil
}

// PID returns the process's id.
func (s *Successor) PID() int { return s.process.Pid }

// Await waits until the process serves, and returns nil. If the process ends before that, or Abandon is called, Await
// returns an error, and the process is gone. One goroutine calls it, once.
func (s *Successor) Await() error {
	word, err := io.ReadAll(io.LimitReader(s.ready, int64(len(readyWord))))
	_ = s.ready.Close() // nothing more is said on it
	if string(word) == readyWord {
		return nil
	}
	_ = s.process.Kill() // it has ended most likely
	state, waitErr := s.process.Wait()
	if waitErr != nil {
		return errors.Join(err, waitErr)
	}
	return fmt.Errorf("the new process ended before it served: %s", state)
}

// Abandon ends the process; Await then returns an error. Any goroutine may call it.
func (s *Successor) Abandon() {
	_ = s.process.Kill() // an error: it has ended
	// Children of the process hold their end of the pipe and may live on: our end does not wait for them.
	_ = s.ready.SetReadDeadline(past) // an error: Await has read all there was
}

func keepFromChildren(f *os.File) {
	if f != nil {
		unix.CloseOnExec(int(f.Fd()))
	}
}

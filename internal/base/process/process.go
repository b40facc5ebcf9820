package process

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Spec says what to start.
type Spec struct {
	Path string   // absolute
	Args []string // without the program's own name
	Dir  string   // the working folder
	// Memory is how many bytes the process and all that it starts may use
	// together; 0 for no bound. One that uses more is killed, and Exit says so.
	Memory int64
	// Beside is a process that has not ended, of the same instance: this one has its serial, its
	// temporary folder and its bound of memory, for both together. nil: it has its own.
	Beside *Process
	// Interrupt has the process asked to end with SIGINT, as by a terminal, for one that tidies up
	// after that alone.
	Interrupt bool
	// Env is the whole environment as NAME=value; temp is a folder that is the
	// instance's own and is removed after its end.
	Env func(temp string) []string
	// Line takes each line of output, without its end. It is called by two
	// goroutines, one for each stream, and may not keep the slice.
	Line func(l Line)
	// Output are what the process writes to itself, in place of Line: standard output and
	// standard error. nil: there are lines.
	Output *[2]*os.File
}

// Process is a started function with all the processes that it starts itself.
type Process struct {
	// Serial is a short number, unique within the Host but for processes that stand beside each other.
	Serial string

	id        string // the mark in the environment
	home      *home
	held      bool // by home's cgroup
	interrupt bool // in place of SIGTERM
	cmd       *exec.Cmd
	group     group
	readers   sync.WaitGroup
	output    [2]*os.File
	taps      [2]*tap // of output
	done      chan struct{}

	leaderGone chan struct{}  // closed when the leader has ended
	watcher    sync.WaitGroup // the goroutine of watch, where there is one

	mu      sync.Mutex
	reaped  bool   // the leader is gone: its number may soon belong to a stranger
	tooMuch string // that it was killed for its memory
	exit    error  // how the leader ended; to be read after done
}

// Start starts a process, which may outlive ctx; that only ends the wait for a program that is
// still being written. Its end must be waited for (Done) before the host is closed.
func (h *Host) Start(ctx context.Context, spec Spec) (*Process, error) {
	o, err := h.current()
	if err != nil {
		return nil, err
	}
	p := &Process{done: make(chan struct{}), leaderGone: make(chan struct{}), interrupt: spec.Interrupt}
	if p.home, p.Serial, p.id, err = o.lodge(spec); err != nil {
		return nil, err
	}
	if err := p.launch(ctx, o, spec); err != nil {
		p.home.leave(p)
		return nil, err
	}
	p.home.moveIn(p)
	if spec.Memory > 0 && !p.held && looks {
		p.watcher.Go(func() { p.watch(spec.Memory) })
	}
	if o.guard != nil {
		o.guard.watch(p.group.id())
	}
	go p.wait(o, spec.Memory)
	return p, nil
}

// leaveHome notes whether the process was killed for its memory, and leaves what it has shared.
func (p *Process) leaveHome(limit int64) {
	if p.held && p.home.cgroup.outOfMemory() {
		p.tooMuch = "killed for its memory: it used more than the " + mebibytes(limit) + " that `memory` allows"
	}
	p.home.leave(p)
}

func (p *Process) launch(ctx context.Context, o *opened, spec Spec) error {
	var write [2]*os.File
	output := write
	for i := range write {
		if spec.Output != nil {
			output[i] = spec.Output[i]
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(p.output[:]...)
			closeAll(write[:]...)
			return fmt.Errorf("pipe for output: %w", err)
		}
		p.output[i], write[i], output[i] = r, w, w
	}
	defer closeAll(write[:]...)
	env := append(spec.Env(p.home.temp), InstanceVariable+"="+p.id)
	command := func() *exec.Cmd {
		start := attributes()
		if p.held {
			p.home.cgroup.admit(start)
		}
		return &exec.Cmd{
			Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Dir: spec.Dir,
			Env: env, Stdout: output[0], Stderr: output[1], SysProcAttr: start,
		}
	}
	p.held = p.home.cgroup != nil
	var err error
	p.cmd, err = o.startPatiently(ctx, command)
	if err != nil && p.held && ctx.Err() == nil { // a sandbox may forbid a start into a group
		o.log.Warn("the kernel does not hold the memory of an instance; it is watched instead", "error", err)
		p.held = false
		p.cmd, err = o.startPatiently(ctx, command)
	}
	if err != nil {
		closeAll(p.output[:]...)
		return fmt.Errorf("start %s: %w", spec.Path, err)
	}
	p.group = newGroup(p.cmd.Process)
	for i, r := range p.output {
		if r == nil {
			continue
		}
		t := &tap{file: r}
		p.taps[i] = t
		p.readers.Go(func() { readLines(t, p.Serial, Stream(i), spec.Line) })
	}
	return nil
}

// startPatiently tries again while the file is "busy": another thread may just
// have forked while the program was being written, and its child holds the
// file open until its own exec (golang.org/issue/22315). Others start meanwhile.
func (o *opened) startPatiently(ctx context.Context, command func() *exec.Cmd) (*exec.Cmd, error) {
	const longest = 2 * time.Second
	for wait := time.Millisecond; ; wait *= 2 {
		cmd := command()
		err := o.onThread(cmd.Start)
		if err == nil || !isTextBusy(err) || wait > longest {
			return cmd, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return cmd, context.Cause(ctx)
		}
	}
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a pipe's end: nothing can be lost by it
		}
	}
}

// strayOutput is how long output is read after the group was killed: a process
// that escaped the group may hold the pipe open.
const strayOutput = time.Second

// wait is the goroutine that owns the process's end.
func (p *Process) wait(o *opened, limit int64) {
	p.exit = p.cmd.Wait()
	close(p.leaderGone)
	p.mu.Lock()
	p.reaped = true
	p.group.kill() // the number is not given anew while anyone is left in the group
	p.mu.Unlock()
	sweep(p.id)
	p.watcher.Wait()
	p.leaveHome(limit)
	if o.guard != nil {
		o.guard.forget(p.group.id())
	}
	p.group.close()
	late := time.AfterFunc(strayOutput, func() { closeAll(p.output[:]...) })
	p.readers.Wait()
	late.Stop()
	closeAll(p.output[:]...)
	close(p.done)
}

// Done is closed when nothing of the process is left and its output was read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the leader has ended, which is a little before Done.
func (p *Process) Ended() bool {
	select {
	case <-p.leaderGone:
		return true
	default:
		return false
	}
}

// PID is the leader's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Memory is the most that the leader has used so far, in bytes, 0 where the system
// does not tell or it has ended.
func (p *Process) Memory() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return 0
	}
	return peak(p.PID())
}

// Listens tells whether it is the process, or one that it has started, which takes connections to an
// address of this machine; known is false where the system does not tell. One that has ended takes none.
func (p *Process) Listens(at netip.AddrPort) (own, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return false, true
	}
	return listens(p.PID(), p.id, at)
}

// Exit says how the leader ended: "exit status 2", "signal: killed", or that it was
// killed for its memory. It waits for Done.
func (p *Process) Exit() string {
	<-p.done
	switch {
	case p.tooMuch != "":
		return p.tooMuch
	case p.exit == nil:
		return "exit status 0"
	default:
		return p.exit.Error()
	}
}

// Code is the exit code of the leader as a shell has it: 128 and the signal that ended it. It
// waits for Done.
func (p *Process) Code() int {
	<-p.done
	return code(p.cmd.ProcessState)
}

// Kill kills the whole group at once; it does not wait.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.group.kill()
	}
}

// Stop asks the group to end (SIGTERM, or as Spec.Interrupt has it; there is no such thing on Windows),
// kills it when ctx ends, and returns once nothing is left.
func (p *Process) Stop(ctx context.Context) {
	if ctx.Err() == nil && p.ask() {
		select {
		case <-p.done:
			return
		case <-ctx.Done():
		}
	}
	p.Kill()
	<-p.done
}

func (p *Process) ask() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped || p.group.ask(p.interrupt)
}

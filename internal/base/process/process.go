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
	// Memory is how many bytes the process and all processes that it starts may use together; 0 for no bound. If they
	// use more, they are killed, and Exit says so.
	Memory int64
	// Beside is a running process of the same instance. The new process shares its serial, its temporary folder and its
	// memory bound, which then holds for both together. If Beside is nil, the process has its own.
	Beside *Process
	// Interrupt makes Stop ask the process to end with SIGINT, as a terminal does. It is for programs that clean up
	// only after that signal.
	Interrupt bool
	// Env returns the whole environment as NAME=value. temp is a folder that belongs to the instance and is removed
	// after its end.
	Env func(temp string) []string
	// Line receives each line of output, without its end. It is called from two goroutines, one for each stream, and
	// must not retain the slice.
	Line func(l Line)
	// Output holds the files for standard output and standard error that the process writes to directly, in place of
	// Line. If it is nil, output goes to Line.
	Output *[2]*os.File
}

// Process is a started program together with all the processes that it starts itself.
type Process struct {
	// Serial is a short number, unique within the Host, except that processes beside each other share it.
	Serial string

	id        string // the mark in the environment
	home      *home
	held      bool // limited by home's cgroup
	interrupt bool // use SIGINT in place of SIGTERM
	cmd       *exec.Cmd
	group     group
	readers   sync.WaitGroup
	output    [2]*os.File
	taps      [2]*tap // the readers of output
	done      chan struct{}

	leaderGone chan struct{}  // closed when the leader has ended
	watcher    sync.WaitGroup // the goroutine of watch, if there is one

	mu      sync.Mutex
	reaped  bool   // the leader is gone: its number may soon belong to another process
	tooMuch string // says that it was killed for its memory; else empty
	exit    error  // how the leader ended; may be read after done is closed
}

// Start starts a process, which may outlive ctx. The end of ctx only ends the wait for a program file that is still
// being written. The caller must wait for the process to end (Done) before it closes the host.
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

// leaveHome records whether the process was killed for its memory, and leaves its home.
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
	if err != nil && p.held && ctx.Err() == nil { // a sandbox may forbid starting a process in a group
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

// startPatiently retries while the file is "busy". Another thread may have forked while the program file was being
// written, and its child holds the file open until its own exec (golang.org/issue/22315). Other processes can start
// between the attempts.
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
			_ = f.Close() // an error does not matter: closing the end of a pipe loses nothing
		}
	}
}

// strayOutput is how long output is still read after the group was killed. A process that escaped the group may hold
// the pipe open.
const strayOutput = time.Second

// wait runs in the goroutine that handles the end of the process.
func (p *Process) wait(o *opened, limit int64) {
	p.exit = p.cmd.Wait()
	close(p.leaderGone)
	p.mu.Lock()
	p.reaped = true
	p.group.kill() // the group's number is not reused while a process is left in it
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

// Done returns a channel that is closed when no process is left and the output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended reports whether the leader has ended, which is shortly before Done.
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

// Memory returns the most memory that the leader has used so far, in bytes. It returns 0 if the system does not tell or
// the leader has ended.
func (p *Process) Memory() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return 0
	}
	return peak(p.PID())
}

// Listens reports whether the process, or one that it has started, accepts connections to an address of this machine.
// known is false if the system does not tell. A process that has ended accepts none.
func (p *Process) Listens(at netip.AddrPort) (own, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return false, true
	}
	return listens(p.PID(), p.id, at)
}

// Exit says how the leader ended: "exit status 2", "signal: killed", or that it was killed for its memory. It waits for
// Done.
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

// Code returns the exit code of the leader as a shell reports it: after a signal, 128 plus the number of the signal. It
// waits for Done.
func (p *Process) Code() int {
	<-p.done
	return code(p.cmd.ProcessState)
}

// Kill kills the whole group at once. It does not wait.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.group.kill()
	}
}

// Stop asks the group to end with SIGTERM, or with SIGINT if Spec.Interrupt is set. On Windows it cannot ask. It kills
// the group when ctx ends or if it cannot ask, and returns once no process is left.
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

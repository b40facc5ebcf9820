package process

import (
	"context"
	"errors"
	"fmt"
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
	// Env is the whole environment as NAME=value; temp is a folder that is the
	// instance's own and is removed after its end.
	Env func(temp string) []string
	// Line takes each line of output, without its end. It is called by two
	// goroutines, one for each stream, and may not keep the slice.
	Line func(l Line)
}

// Process is a started function with all the processes that it starts itself.
type Process struct {
	// Serial is a short number, unique within the Host.
	Serial string

	id      string // the mark in the environment
	temp    string
	cmd     *exec.Cmd
	group   group
	readers sync.WaitGroup
	output  [2]*os.File
	taps    [2]*tap // of output
	done    chan struct{}
	mu      sync.Mutex
	reaped  bool  // the leader is gone: its number may soon belong to a stranger
	exit    error // how the leader ended; to be read after done
}

// Start starts a process. Its end must be waited for (Done) before the host is closed.
func (h *Host) Start(spec Spec) (*Process, error) {
	o, err := h.current()
	if err != nil {
		return nil, err
	}
	p := &Process{done: make(chan struct{})}
	p.id, p.Serial = o.newID()
	if p.temp, err = o.tempFor(p.Serial); err != nil {
		return nil, fmt.Errorf("temporary folder of an instance: %w", err)
	}
	if err := p.launch(o, spec); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.temp))
	}
	if o.guard != nil {
		o.guard.watch(p.group.id())
	}
	go p.wait(o)
	return p, nil
}

func (p *Process) launch(o *opened, spec Spec) error {
	var write [2]*os.File
	for i := range write {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(p.output[:]...)
			closeAll(write[:]...)
			return fmt.Errorf("pipe for output: %w", err)
		}
		p.output[i], write[i] = r, w
	}
	defer closeAll(write[:]...)
	env := append(spec.Env(p.temp), InstanceVariable+"="+p.id)
	command := func() *exec.Cmd {
		return &exec.Cmd{
			Path: spec.Path, Args: append([]string{spec.Path}, spec.Args...), Dir: spec.Dir,
			Env: env, Stdout: write[0], Stderr: write[1], SysProcAttr: attributes(),
		}
	}
	err := o.onThread(func() (err error) {
		p.cmd, err = startPatiently(command)
		return err
	})
	if err != nil {
		closeAll(p.output[:]...)
		return fmt.Errorf("start %s: %w", spec.Path, err)
	}
	p.group = newGroup(p.cmd.Process)
	for i, r := range p.output {
		t := &tap{file: r}
		p.taps[i] = t
		p.readers.Go(func() { readLines(t, p.Serial, Stream(i), spec.Line) })
	}
	return nil
}

// startPatiently tries again while the file is "busy": another thread may just
// have forked while the program was being written, and its child holds the
// file open until its own exec (golang.org/issue/22315).
func startPatiently(command func() *exec.Cmd) (*exec.Cmd, error) {
	const longest = 500 * time.Millisecond
	for wait := time.Millisecond; ; wait *= 2 {
		cmd := command()
		err := cmd.Start()
		if err == nil || !isTextBusy(err) || wait > longest {
			return cmd, err //nolint:wrapcheck // launch names the file
		}
		<-time.After(wait)
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
func (p *Process) wait(o *opened) {
	p.exit = p.cmd.Wait()
	p.mu.Lock()
	p.reaped = true
	p.group.kill() // the number is not given anew while anyone is left in the group
	p.mu.Unlock()
	sweep(p.id)
	if o.guard != nil {
		o.guard.forget(p.group.id())
	}
	p.group.close()
	late := time.AfterFunc(strayOutput, func() { closeAll(p.output[:]...) })
	p.readers.Wait()
	late.Stop()
	closeAll(p.output[:]...)
	_ = os.RemoveAll(p.temp) // the host removes the folder around it, and reports
	close(p.done)
}

// Done is closed when nothing of the process is left and its output was read.
func (p *Process) Done() <-chan struct{} { return p.done }

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

// Exit says how the leader ended: "exit status 2", "signal: killed". It waits for Done.
func (p *Process) Exit() string {
	<-p.done
	if p.exit == nil {
		return "exit status 0"
	}
	return p.exit.Error()
}

// Kill kills the whole group at once; it does not wait.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.group.kill()
	}
}

// Stop asks the group to end (SIGTERM; there is no such thing on Windows),
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
	return p.reaped || p.group.ask()
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of times in /proc/PID/stat, on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// patience bounds what a busy machine may take for anything.
const patience = 5 * time.Minute

// process is a server that runs, with all that it has started: they are one session.
type process struct {
	command *exec.Cmd
	log     string
	exited  chan struct{}
}

// start runs a program on these processors, all where there are none. What it says is
// appended to a log.
func start(log string, processors []int, argv ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{command: exec.Command(argv[0], argv[1:]...), log: log, exited: make(chan struct{})} //nolint:noctx // it is ended by stop
	p.command.Stdout, p.command.Stderr = out, out
	p.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := onProcessors(processors, p.command.Start); err != nil {
		return nil, err
	}
	go func() {
		_ = p.command.Wait() // why it ended is in its log
		close(p.exited)
	}()
	return p, nil
}

// onProcessors runs f on a thread that has these processors, which what it starts inherits.
func onProcessors(processors []int, f func() error) error {
	if len(processors) == 0 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	wanted := setOf(processors)
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return err
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}

func setOf(processors []int) (s unix.CPUSet) {
	for _, n := range processors {
		s.Set(n)
	}
	return s
}

// stayOn keeps this process on these processors.
func stayOn(processors []int) error {
	wanted := setOf(processors)
	for range 2 { // a thread may have come from one that was not moved yet
		threads, err := filepath.Glob("/proc/self/task/*")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(filepath.Base(thread))
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &wanted); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// stop ends all of the session, without leave: nobody waits for what they have to say.
func (p *process) stop() {
	for left := p.members(); len(left) > 0; left = p.members() {
		for _, m := range left {
			_ = syscall.Kill(m.pid, syscall.SIGKILL) // it may have ended
		}
		<-time.After(10 * time.Millisecond)
	}
	<-p.exited
}

// ended tells whether the program that was started is gone, with what it said last.
func (p *process) ended() error {
	select {
	case <-p.exited:
		text, _ := os.ReadFile(p.log) // only to tell
		return fmt.Errorf("%s has ended: %s", filepath.Base(p.command.Path), text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// member is one process of a session.
type member struct {
	pid      int
	children time.Duration // processor time of those that it has waited for
	ticks    modes         // its own processor time and theirs
}

// modes are ticks of processor time, in user space and in the kernel.
type modes struct{ user, kernel int }

func (p *process) members() (found []member) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // a name may hold anything
		if session, _ := strconv.Atoi(fields[3]); session != p.command.Process.Pid || fields[0] == "Z" {
			continue
		}
		m := member{}
		m.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(name)))
		var took [4]int // of the process in user space and in the kernel, and of its children
		for i, field := range fields[11:15] {
			took[i], _ = strconv.Atoi(field)
		}
		m.children = time.Duration(took[2]+took[3]) * tick
		m.ticks = modes{user: took[0] + took[2], kernel: took[1] + took[3]}
		found = append(found, m)
	}
	return found
}

// cpu is the processor time of the session, in user space and in the kernel, of processes
// that have ended too.
func (p *process) cpu() (sum time.Duration) {
	for _, m := range p.members() {
		sum += cpuOf(m.pid) + m.children
	}
	return sum
}

// ticks is the same, coarsely, with where it was spent.
func (p *process) ticks() (sum modes) {
	for _, m := range p.members() {
		sum.user, sum.kernel = sum.user+m.ticks.user, sum.kernel+m.ticks.kernel
	}
	return sum
}

// since is the share of what came after before that was spent in user space.
func (m modes) since(before modes) float64 {
	user, kernel := m.user-before.user, m.kernel-before.kernel
	return float64(user) / float64(max(1, user+kernel))
}

// cpuOf reads the clock of a process, which counts nanoseconds where /proc has ticks.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // CPUCLOCK_SCHED
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &now); err != nil { // that is how the kernel numbers them
		return 0 // it has ended
	}
	return time.Duration(now.Nano())
}

// memory is what the session has in memory, in bytes; pages that it shares with others
// count in part.
func (p *process) memory() (sum int) {
	for _, m := range p.members() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", m.pid))
		if err != nil {
			continue // it has ended
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			if fields := strings.Fields(lines.Text()); fields[0] == "Pss:" {
				kilobytes, _ := strconv.Atoi(fields[1])
				sum += kilobytes << 10
			}
		}
	}
	return sum
}

// machine is the processor time that everything on this machine has taken.
func machine() (sum time.Duration) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const idle, wait = 4, 5
	for i, field := range strings.Fields(line) {
		if n, err := strconv.Atoi(field); err == nil && i != idle && i != wait && i <= 8 {
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

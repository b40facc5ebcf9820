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

// patience is the most time that a busy machine may take for anything.
const patience = 5 * time.Minute

// process is a server that runs, with all processes that it has started: they form one session.
type process struct {
	command *exec.Cmd
	log     string
	exited  chan struct{}
}

// start runs a program on these processors, or on all if there are none. Its output is appended to a log.
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
		_ = p.command.Wait() // the log says why it ended
		close(p.exited)
	}()
	return p, nil
}

// onProcessors runs f on a thread that is bound to these processors. Processes that f starts inherit that.
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

// stayOn binds this process to these processors.
func stayOn(processors []int) error {
	wanted := setOf(processors)
	for range 2 { // a thread may have been created by one that was not bound yet
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

// stop kills all processes of the session at once, because nobody needs their last output.
func (p *process) stop() {
	for left := p.members(); len(left) > 0; left = p.members() {
		for _, m := range left {
			_ = syscall.Kill(m.pid, syscall.SIGKILL) // it may have ended
		}
		<-time.After(10 * time.Millisecond)
	}
	<-p.exited
}

// ended returns an error with the last output of the program if the program has ended.
func (p *process) ended() error {
	select {
	case <-p.exited:
		text, _ := os.ReadFile(p.log) // only for the error message
		return fmt.Errorf("%s has ended: %s", filepath.Base(p.command.Path), text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// member is one process of a session.
type member struct {
	pid      int
	children time.Duration // processor time of children that it has waited for
	ticks    modes         // its own processor time and that of these children
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
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // a process name may contain anything
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

// cpu returns the processor time of the session in user space and in the kernel, including processes that have ended.
func (p *process) cpu() (sum time.Duration) {
	for _, m := range p.members() {
		sum += cpuOf(m.pid) + m.children
	}
	return sum
}

// ticks returns the same with less precision, split by where it was spent.
func (p *process) ticks() (sum modes) {
	for _, m := range p.members() {
		sum.user, sum.kernel = sum.user+m.ticks.user, sum.kernel+m.ticks.kernel
	}
	return sum
}

// since returns the share of the time after before that was spent in user space.
func (m modes) since(before modes) float64 {
	user, kernel := m.user-before.user, m.kernel-before.kernel
	return float64(user) / float64(max(1, user+kernel))
}

// cpuOf reads the clock of a process, which counts nanoseconds; /proc only has ticks.
func cpuOf(pid int) time.Duration {
	const scheduled = 2 // CPUCLOCK_SCHED
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &now); err != nil { // this is how the kernel numbers the clocks of processes
		return 0 // it has ended
	}
	return time.Duration(now.Nano())
}

// memory returns the memory of the session, in bytes. Pages that are shared with others count in part.
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

// machine returns the processor time that everything on this machine has used.
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

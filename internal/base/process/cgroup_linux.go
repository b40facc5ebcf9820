package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroups makes a control group (version 2) for each instance, below the group that this program was started in. The
// kernel enables controllers for the groups below a group only if no process is in that group itself. So this program
// moves into a sibling of the instances' groups (https://docs.kernel.org/admin-guide/cgroup-v2.html, "No Internal
// Process Constraint"). It does so only if all processes in the group are its own. In that case the group was delegated
// to it, as systemd does with Delegate=.
type cgroups struct {
	root  string // absolute path
	token string // the host's token
}

const (
	gatewayGroup  = "weir-gateway"
	instanceGroup = "weir-function-"
)

// openCgroups prepares the groups. The error says why there are none.
func openCgroups(token string) (*cgroups, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	root, ok := groupFolder(own, mounts)
	if !ok {
		return nil, errors.New("there are no control groups of version 2 here")
	}
	if filepath.Base(root) == gatewayGroup { // the previous process moved there
		root = filepath.Dir(root)
	}
	c := &cgroups{root, token}
	if err := c.prepare(os.Getpid()); err != nil {
		return nil, err
	}
	return c, nil
}

// groupFolder finds the folder of the group that a process is in, from its /proc/PID/cgroup and /proc/PID/mountinfo.
func groupFolder(own, mounts []byte) (string, bool) {
	for line := range bytes.Lines(own) {
		path, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("0::"))
		if !ok || len(path) == 0 || path[0] != '/' || bytes.HasPrefix(path, []byte("/..")) { // a group outside our namespace
			continue
		}
		for line := range bytes.Lines(mounts) {
			if root, at, ok := parseMount(line); ok {
				below, err := filepath.Rel(root, string(path))
				if err == nil && filepath.IsLocal(below) {
					return filepath.Join(at, below), true
				}
			}
		}
	}
	return "", false
}

// parseMount reads a line of mountinfo (proc_pid_mountinfo(5)). For a mount of control groups it returns which folder
// of the file system is mounted (root) and where (at).
func parseMount(line []byte) (root, at string, ok bool) {
	before, after, ok := strings.Cut(string(line), " - ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") || fields[3][0] != '/' || fields[4][0] != '/' {
		return "", "", false
	}
	return fields[3], fields[4], true
}

// prepare moves this program into its own group and makes the kernel account for memory in the groups below root.
func (c *cgroups) prepare(self int) error {
	controllers, err := os.ReadFile(filepath.Join(c.root, "cgroup.controllers"))
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	if !slices.Contains(strings.Fields(string(controllers)), "memory") {
		return fmt.Errorf("%s has no controller of memory", c.root)
	}
	inside, err := c.processes()
	if err != nil {
		return err
	}
	for _, pid := range inside {
		if pid != self {
			return fmt.Errorf("%s is not this program's alone: process %d is in it too", c.root, pid)
		}
	}
	if len(inside) > 0 {
		if err := os.Mkdir(filepath.Join(c.root, gatewayGroup), 0o750); err != nil && !errors.Is(err, os.ErrExist) {
			return err //nolint:wrapcheck // it names the folder
		}
		if err := write(filepath.Join(c.root, gatewayGroup, "cgroup.procs"), strconv.Itoa(self)); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(c.root, "cgroup.subtree_control"), "+memory"); err != nil {
		return err
	}
	c.tidy()
	return nil
}

func (c *cgroups) processes() ([]int, error) {
	text, err := os.ReadFile(filepath.Join(c.root, "cgroup.procs"))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("cgroup.procs: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// tidy removes groups that a killed gateway has left behind. A group that still has processes stays.
func (c *cgroups) tidy() {
	old, _ := filepath.Glob(filepath.Join(c.root, instanceGroup+"*")) // groups that are not found are not removed
	for _, folder := range old {
		_ = os.Remove(folder)
	}
}

// write writes to an existing file of the kernel's file systems.
func write(file, text string) error {
	out, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err //nolint:wrapcheck // it names the file
	}
	_, err = out.WriteString(text)
	return errors.Join(err, out.Close())
}

// cgroup is the control group of one instance.
type cgroup struct {
	folder string
	dir    *os.File
}

// make makes the group of an instance that may use up to limit bytes.
func (c *cgroups) make(serial string, limit int64) (*cgroup, error) {
	g := &cgroup{folder: filepath.Join(c.root, instanceGroup+c.token+"."+serial)}
	if err := os.Mkdir(g.folder, 0o750); err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	err := write(filepath.Join(g.folder, "memory.max"), strconv.FormatInt(limit, 10))
	if err == nil {
		_ = write(filepath.Join(g.folder, "memory.swap.max"), "0")  // a kernel without swap has no such file
		_ = write(filepath.Join(g.folder, "memory.oom.group"), "1") // an old kernel kills only one of several processes
		g.dir, err = os.Open(g.folder)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("control group: %w", err), os.Remove(g.folder))
	}
	return g, nil
}

// admit makes a process that is started with the attributes a begin in the group.
func (g *cgroup) admit(a *syscall.SysProcAttr) { a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd()) }

// outOfMemory reports whether the kernel has killed a process of the group for its memory use.
func (g *cgroup) outOfMemory() bool {
	text, err := os.ReadFile(filepath.Join(g.folder, "memory.events"))
	return err == nil && parseEvents(text) > 0
}

// parseEvents returns the counter oom_kill from memory.events.
func parseEvents(text []byte) int64 {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 2 || string(fields[0]) != "oom_kill" {
			continue
		}
		if n, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
			return n
		}
	}
	return 0
}

// emptyTime bounds how long close waits for the processes of a killed group to be gone.
const emptyTime = time.Second

// close kills all processes that are left in the group, and removes the group.
func (g *cgroup) close() {
	_ = write(filepath.Join(g.folder, "cgroup.kill"), "1") // old kernels have no such file; the process group is dead anyway
	_ = g.dir.Close()                                      // an error does not matter: it was never read
	for pause := time.Millisecond; pause < emptyTime; pause *= 2 {
		if err := os.Remove(g.folder); !errors.Is(err, syscall.EBUSY) {
			return
		}
		<-time.After(pause) // the kernel has not yet removed the last process
	}
}

package process

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestAGroupsFolderIsFound(t *testing.T) {
	const v2 = "29 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	tests := map[string]struct{ own, mounts, want string }{
		"alone":                {"0::/system.slice/weir.service\n", v2, "/sys/fs/cgroup/system.slice/weir.service"},
		"the root":             {"0::/\n", v2, "/sys/fs/cgroup"},
		"beside version 1":     {"4:memory:/a\n0::/b\n", "30 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 24 0:28 / /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/unified/b"},
		"part of it is there":  {"0::/docker/abc/x\n", "29 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n", "/sys/fs/cgroup/x"},
		"another part":         {"0::/docker/def\n", "29 24 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n", ""},
		"out of its namespace": {"0::/../x\n", v2, ""},
		"version 1":            {"4:memory:/a\n", v2, ""},
		"not mounted":          {"0::/a\n", "", ""},
	}
	for name, test := range tests {
		if got, ok := groupFolder([]byte(test.own), []byte(test.mounts)); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, ok, test.want)
		}
	}
}

func FuzzGroupFolder(f *testing.F) {
	f.Add([]byte("0::/a/b\n"), []byte("29 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"))
	f.Add([]byte("0::/../../etc"), []byte("1 1 0:1 /x /y rw - cgroup2 a b"))
	f.Fuzz(func(t *testing.T, own, mounts []byte) {
		if got, ok := groupFolder(own, mounts); ok && (!filepath.IsAbs(got) || filepath.Clean(got) != got) {
			t.Errorf("got %q", got)
		}
	})
}

func FuzzFilesOfTheKernel(f *testing.F) {
	f.Add([]byte("12345 678 90 1 0 2 0\n"))
	f.Add([]byte("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n"))
	f.Add([]byte("00400000-7fff ---p 0 0:0 0 [rollup]\nRss: 5 kB\nPss_Anon:       1234 kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, ok := parseStatm(text); ok && n < 0 {
			t.Errorf("%q: %d of statm", text, n)
		}
		if n, ok := parseRollup(text); ok && n < 0 {
			t.Errorf("%q: %d of smaps_rollup", text, n)
		}
		_ = parseEvents(text)
	})
}

func TestFilesOfTheKernelAreRead(t *testing.T) {
	page := int64(os.Getpagesize())
	if n, ok := parseStatm([]byte("12345 678 90 1 0 2 0\n")); !ok || n != 588*page {
		t.Errorf("statm: %d, %v", n, ok)
	}
	if n, ok := parseRollup([]byte("0-1 ---p 0 0:0 0 [rollup]\nPss_Anon:       1234 kB\n")); !ok || n != 1234<<10 {
		t.Errorf("smaps_rollup: %d, %v", n, ok)
	}
	if n := parseEvents([]byte("low 0\noom 7\noom_kill 3\n")); n != 3 {
		t.Errorf("memory.events: %d", n)
	}
	if own, ok := memoryOf(os.Getpid(), 0); !ok || own < 1<<16 || own > 1<<34 {
		t.Errorf("this test uses %d, %v", own, ok)
	}
}

// folders stands for the kernel's file system of control groups: what is written
// stays, and nothing else happens.
func folders(t *testing.T, controllers string, inside ...int) *cgroups {
	t.Helper()
	root := t.TempDir()
	var procs []string
	for _, pid := range inside {
		procs = append(procs, strconv.Itoa(pid))
	}
	for name, text := range map[string]string{
		"cgroup.controllers": controllers, "cgroup.procs": strings.Join(procs, "\n"), "cgroup.subtree_control": "",
		gatewayGroup + "/cgroup.procs": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &cgroups{root, "token"}
}

func (c *cgroups) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheGatewayMovesAsideWhereTheGroupIsItsAlone(t *testing.T) {
	c := folders(t, "cpu memory pids", 42)
	left := filepath.Join(c.root, instanceGroup+"old.1")
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.prepare(42); err != nil {
		t.Fatal(err)
	}
	if moved, control := c.file(t, gatewayGroup+"/cgroup.procs"), c.file(t, "cgroup.subtree_control"); moved != "42" || control != "+memory" {
		t.Errorf("moved %q, enabled %q", moved, control)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("a group of a gateway that was killed is still there")
	}
	again := folders(t, "memory") // a second process, after the first one has moved
	if err := again.prepare(43); err != nil || again.file(t, gatewayGroup+"/cgroup.procs") != "" {
		t.Errorf("it moved again, or %v", err)
	}
}

func TestAGroupThatIsSharedIsLeftAlone(t *testing.T) {
	for want, c := range map[string]*cgroups{
		"process 7 is in it too":      folders(t, "memory", 42, 7),
		"has no controller of memory": folders(t, "cpu pids", 42),
	} {
		if err := c.prepare(42); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
		if moved := c.file(t, gatewayGroup+"/cgroup.procs"); moved != "" {
			t.Errorf("%s: it has moved", want)
		}
	}
}

// TestAProcessBeginsInItsGroup is played on the kernel's own groups, where there is
// a hierarchy of version 2 that this user may write to, whatever controllers it has.
func TestAProcessBeginsInItsGroup(t *testing.T) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Skip(err)
	}
	root, ok := groupFolder(own, mounts)
	if !ok {
		t.Skip("no control groups of version 2")
	}
	g := &cgroup{folder: filepath.Join(root, instanceGroup+"test."+strconv.Itoa(os.Getpid()))}
	if err := os.Mkdir(g.folder, 0o755); err != nil {
		t.Skip(err)
	}
	if g.dir, err = os.Open(g.folder); err != nil {
		t.Fatal(err)
	}
	attributes := attributes()
	g.admit(attributes)
	sleep, err := os.StartProcess("/bin/sleep", []string{"sleep", "60"}, &os.ProcAttr{Sys: attributes})
	if err != nil {
		g.close()
		t.Skipf("no process can be started into a group here: %v", err)
	}
	c := &cgroups{root: g.folder}
	if inside, err := c.processes(); err != nil || !slices.Contains(inside, sleep.Pid) {
		t.Errorf("in the group are %v, %v; want %d", inside, err, sleep.Pid)
	}
	_ = sleep.Signal(syscall.SIGKILL)
	_, _ = sleep.Wait()
	g.close()
	if _, err := os.Stat(g.folder); err == nil {
		t.Error("the group is still there")
	}
}

package listen

import (
	"math"
	"testing"
	"testing/fstest"
	"time"
)

func TestCgroupLimitIsTheSmallestOnTheWayUp(t *testing.T) {
	const (
		v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n"
		v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
			"36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
		inContainer = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n"
		none        = "9223372036854771712\n" // how cgroup v1 says it
	)
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no cgroups": {map[string]string{}, 0},
		"version 2, own group": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "max\n",
		}, 1000},
		"version 2, a parent's": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "500\n",
		}, 500},
		"version 2, memory.high": {map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/memory.high": "800\n",
		}, 800},
		"version 2 in a namespace": {map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/memory.max": "700\n",
		}, 700},
		"version 1": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n1:cpu,cpuacct:/x\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "300\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": none,
		}, 300},
		"version 1, unlimited": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": none,
		}, 0},
		"version 1 in a container": {map[string]string{
			"proc/self/cgroup": "4:memory:/docker/abc\n", "proc/self/mountinfo": inContainer,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "200\n",
		}, 200},
		"both versions": {map[string]string{
			"proc/self/cgroup": "4:memory:/a\n0::/\n", "proc/self/mountinfo": v1 + "40 31 0:40 / /sys/fs/cgroup/unified rw - cgroup2 cgroup rw\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "300\n", "sys/fs/cgroup/unified/memory.max": "max\n",
		}, 300},
		"nonsense": {map[string]string{
			"proc/self/cgroup": "x\n::\n0::/../..\n", "proc/self/mountinfo": "a - b\n" + v2, "sys/fs/cgroup/memory.max": "-\n",
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, content := range test.files {
				root[path] = &fstest.MapFile{Data: []byte(content)}
			}
			if got := readCgroupLimit(root); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// process stands in for the Go runtime.
type process struct {
	soft  int64
	usage usage
	reads int
	now   time.Time
}

func (p *process) setLimit(n int64) int64 {
	before := p.soft
	if n >= 0 {
		p.soft = n
	}
	return before
}

func (p *process) read() usage {
	p.reads++
	return p.usage
}

func (p *process) clock() time.Time { return p.now }

func TestMemoryLeavesTheRuntimeATenthOfTheLimit(t *testing.T) {
	for name, test := range map[string]struct {
		limit, environment  int64
		wantLimit, wantSoft int64
	}{
		"a limit":                   {limit: 1000, wantLimit: 1000, wantSoft: 900},
		"none":                      {},
		"GOMEMLIMIT within a limit": {limit: 1000, environment: 500, wantLimit: 1000, wantSoft: 500},
		"GOMEMLIMIT alone":          {environment: 900, wantLimit: 1000, wantSoft: 900},
	} {
		p := &process{soft: math.MaxInt64}
		if test.environment > 0 {
			p.soft = test.environment
		}
		m := newMemory(test.limit, test.environment > 0, p.setLimit, p.read, p.clock)
		if m.limit != test.wantLimit || m.soft != test.wantSoft {
			t.Errorf("%s: %d and %d, want %d and %d", name, m.limit, m.soft, test.wantLimit, test.wantSoft)
		}
	}
}

func TestMemoryIsExhaustedWhenTheCollectorHasNoRoom(t *testing.T) {
	p := &process{soft: math.MaxInt64, now: time.Unix(1, 0)}
	m := newMemory(1000, false, p.setLimit, p.read, p.clock)
	for _, test := range []struct {
		usage usage
		want  bool
	}{
		{usage{live: 100, total: 900}, false}, // garbage up to the soft limit is normal
		{usage{live: 700, total: 900}, false},
		{usage{live: 800, total: 900}, true},
		{usage{live: 100, total: 990}, true},
		{usage{live: 100, total: 500}, false},
	} {
		p.usage, p.now = test.usage, p.now.Add(sampleEvery)
		if got := m.Exhausted(); got != test.want {
			t.Errorf("%+v: %v, want %v", test.usage, got, test.want)
		}
	}
}

func TestMemoryLooksTenTimesASecondAtMost(t *testing.T) {
	p := &process{soft: math.MaxInt64, now: time.Unix(1, 0)}
	m := newMemory(1000, false, p.setLimit, p.read, p.clock)
	for range 1000 { // one second, in milliseconds
		m.Exhausted()
		p.now = p.now.Add(time.Millisecond)
	}
	if p.reads != 10 {
		t.Errorf("it looked %d times, want 10", p.reads)
	}
}

func TestMemoryWithoutALimitIsNeverExhausted(t *testing.T) {
	p := &process{soft: math.MaxInt64, usage: usage{live: 1 << 50, total: 1 << 50}}
	if m := newMemory(0, false, p.setLimit, p.read, p.clock); m.Exhausted() || p.reads > 0 {
		t.Error("it is exhausted, or looked for nothing")
	}
}

func TestRuntimeTellsItsUsage(t *testing.T) {
	if u := runtimeUsage()(); u.total <= 0 || u.live > u.total {
		t.Errorf("%+v makes no sense", u)
	}
}

func BenchmarkMemoryExhausted(b *testing.B) {
	m := newMemory(1<<40, true, func(int64) int64 { return 1 << 39 }, runtimeUsage(), time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if m.Exhausted() {
			b.Fatal("exhausted")
		}
	}
}

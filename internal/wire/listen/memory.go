package listen

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Memory detects when the process is so short of memory that a new request would endanger those that are being served.
// It is safe for concurrent use and owns no goroutine.
type Memory struct {
	limit, soft int64
	usage       func() usage
	now         func() time.Time

	exhausted atomic.Bool
	next      atomic.Int64 // when to look again, Unix nanoseconds
}

// usage is what the process uses, in bytes.
type usage struct {
	live  int64 // heap that the last collection found reachable
	total int64 // all of the system's memory that the runtime holds
}

const (
	sampleEvery   = 100 * time.Millisecond
	softPercent   = 90 // of the limit: what the runtime aims for
	livePercent   = 85 // of the soft limit: above this the collector runs without end
	excessPercent = 50 // of the room between soft and limit: above this it has lost
)

// NewMemory sets the soft memory limit of the Go runtime to nine tenths of the smaller of limit (bytes; 0: none) and
// what the cgroup allows, so that the garbage collector works harder before the kernel kills the process. If the
// environment has GOMEMLIMIT, that stays the soft limit. NewMemory changes the whole process. It is called when the
// process starts and when a config changes the limit.
func NewMemory(limit int64) *Memory {
	return newMemory(smaller(limit, cgroupLimit()), os.Getenv("GOMEMLIMIT") != "", debug.SetMemoryLimit, runtimeUsage(), time.Now)
}

func newMemory(limit int64, hasSoft bool, setLimit func(int64) int64, read func() usage, now func() time.Time) *Memory {
	if limit > 0 && !hasSoft {
		setLimit(limit / 100 * softPercent)
	}
	m := &Memory{limit: limit, usage: read, now: now}
	if soft := setLimit(-1); soft < math.MaxInt64 {
		m.soft = soft
	}
	if m.limit <= m.soft {
		m.limit = m.soft / softPercent * 100
	}
	return m
}

// smaller returns the smaller of two limits, of which 0 is none.
func smaller(a, b int64) int64 {
	if a <= 0 || b > 0 && b < a {
		return max(b, 0)
	}
	return a
}

// Exhausted reports whether a new request should be refused: the live heap leaves the collector no room, or the
// collector cannot keep up. It checks ten times a second at most, however often it is called; otherwise it costs
// reading the clock.
func (m *Memory) Exhausted() bool {
	if m.soft == 0 {
		return false
	}
	now := m.now().UnixNano()
	if next := m.next.Load(); now >= next && m.next.CompareAndSwap(next, now+int64(sampleEvery)) {
		u := m.usage()
		m.exhausted.Store(u.live > m.soft/100*livePercent || u.total > m.soft+(m.limit-m.soft)/100*excessPercent)
	}
	return m.exhausted.Load()
}

// runtimeUsage returns a function that asks the runtime, without stopping it.
func runtimeUsage() func() usage {
	const live, total, released = 0, 1, 2
	samples := []metrics.Sample{
		live:     {Name: "/gc/heap/live:bytes"},
		total:    {Name: "/memory/classes/total:bytes"},
		released: {Name: "/memory/classes/heap/released:bytes"},
	}
	var mu sync.Mutex // two callers may be a sample apart
	return func() usage {
		mu.Lock()
		defer mu.Unlock()
		metrics.Read(samples)
		value := func(i int) int64 {
			if samples[i].Value.Kind() != metrics.KindUint64 {
				return 0 // a runtime without this metric
			}
			return int64(min(samples[i].Value.Uint64(), math.MaxInt64))
		}
		return usage{live: value(live), total: value(total) - value(released)}
	}
}

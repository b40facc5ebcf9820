package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// By default the collector runs when as much garbage has gathered as there is live memory. A gateway has little live
// memory, so it would run for every few megabytes, many times a second. leastGarbage is the least garbage that gathers
// before it runs (decision 0081).
const (
	leastGarbage = 8 << 20
	usualPercent = 100
	mostPercent  = 400
)

// garbage sets how much garbage may gather. It changes the whole process, from begin until end. It has no goroutine:
// the runtime calls it after each collection. The zero value is ready to use.
type garbage struct {
	mu      sync.Mutex
	begun   bool
	alive   func() uint64 // nil: asks the runtime
	percent int           // the last value that was set
	before  int           // the value before begin
}

// begin does nothing if GOGC is set in the environment, or if it was called before.
func (g *garbage) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.begun || os.Getenv("GOGC") != "" {
		return
	}
	if g.alive == nil {
		g.alive = alive
	}
	g.begun, g.percent = true, percentFor(g.alive())
	g.before = debug.SetGCPercent(g.percent)
	g.await()
}

// await arranges for follow to be called after the next collection, which finds that nothing references the beacon.
func (g *garbage) await() { runtime.AddCleanup(new(beacon), func(g *garbage) { g.follow() }, g) }

// beacon is too large for the runtime to allocate it in one block with an object that lives on.
type beacon [32]byte

// follow adapts to the memory that is live now. It ignores small changes, because each call to SetGCPercent stops the
// process for a moment.
func (g *garbage) follow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun {
		return
	}
	if want := percentFor(g.alive()); want > g.percent*5/4 || want < g.percent*4/5 {
		g.percent = want
		debug.SetGCPercent(want)
	}
	g.await()
}

// end restores the setting from before begin.
func (g *garbage) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.begun {
		g.begun = false
		debug.SetGCPercent(g.before)
	}
}

// percentFor returns how much garbage may gather, in percent of live memory.
func percentFor(live uint64) int {
	if live >= leastGarbage {
		return usualPercent
	}
	return int(min(leastGarbage*usualPercent/max(live, 1), mostPercent))
}

// alive returns how many bytes the last collection found reachable.
func alive() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return leastGarbage // a runtime without this metric
	}
	return sample[0].Value.Uint64()
}

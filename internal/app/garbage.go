package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// The collector comes when as much garbage has gathered as is alive. In a gateway little is, so
// that it would come for every few megabytes, many times a second. leastGarbage is how much
// gathers at least (decision 0081).
const (
	leastGarbage = 8 << 20
	usualPercent = 100
	mostPercent  = 400
)

// garbage says how much of it may gather. It changes the whole process, once begun and until it is
// ended, and has no goroutine: the runtime tells it of each collection. The zero value is ready.
type garbage struct {
	mu      sync.Mutex
	begun   bool
	alive   func() uint64 // nil: what the runtime says
	percent int           // that the runtime was told last
	before  int           // what it had been told by others
}

// begin does nothing where GOGC in the environment says how much, or it was begun already.
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

// await has follow called after the next collection, which finds that nobody has the beacon.
func (g *garbage) await() { runtime.AddCleanup(new(beacon), func(g *garbage) { g.follow() }, g) }

// beacon is too large to share its place in memory with anything that lives on.
type beacon [32]byte

// follow adapts to what is alive now. Small changes are let be, for each stops the process for a moment.
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

// end gives the process back as it was.
func (g *garbage) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.begun {
		g.begun = false
		debug.SetGCPercent(g.before)
	}
}

// percentFor is how much garbage may gather, in percent of what is alive.
func percentFor(live uint64) int {
	if live >= leastGarbage {
		return usualPercent
	}
	return int(min(leastGarbage*usualPercent/max(live, 1), mostPercent))
}

// alive is what the last collection found reachable, in bytes.
func alive() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return leastGarbage // a runtime without this metric
	}
	return sample[0].Value.Uint64()
}

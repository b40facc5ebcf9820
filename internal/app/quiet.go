package app

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// lookEvery is how often quiet.look is called.
const lookEvery = 10 * time.Second

const (
	quietShare = 32       // a quiet process allocates less than 1/quietShare of its memory between two looks
	worthwhile = 16 << 20 // bytes that must have been allocated before collecting is worth its cost
)

// quiet gives memory back to the system when a busy time is over. The runtime lets the heap grow to twice of what was
// live at the last collection and keeps that. If nothing is allocated, it collects again only after two minutes. Until
// then the memory that a crowd has left would be held, and the larger half of it until the next crowd comes. One
// goroutine uses it.
type quiet struct {
	read  func() allocation
	give  func()
	seen  uint64 // bytes allocated in total at the last look
	given uint64 // the same when memory was last given back
}

// allocation is the memory that the process uses, in bytes.
type allocation struct {
	ever uint64 // allocated since the start
	held uint64 // held by the runtime
}

func newQuiet() *quiet { return &quiet{read: readAllocation(), give: giveBack} }

// giveBack collects twice, because only the second collection empties pools.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}

// look is called regularly. It gives memory back if the process was busy since it last did so, and is quiet now.
func (q *quiet) look() {
	a := q.read()
	since := a.ever - q.seen
	q.seen = a.ever
	if since > a.held/quietShare || a.ever-q.given < max(worthwhile, a.held/2) {
		return
	}
	q.give()
	q.given = q.seen
}

// readAllocation returns a function that asks the runtime without stopping it.
func readAllocation() func() allocation {
	const ever, total, released = 0, 1, 2
	samples := []metrics.Sample{
		ever:     {Name: "/gc/heap/allocs:bytes"},
		total:    {Name: "/memory/classes/total:bytes"},
		released: {Name: "/memory/classes/heap/released:bytes"},
	}
	return func() allocation {
		metrics.Read(samples)
		return allocation{samples[ever].Value.Uint64(), samples[total].Value.Uint64() - samples[released].Value.Uint64()}
	}
}

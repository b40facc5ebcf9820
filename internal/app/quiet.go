package app

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// lookEvery is how often it is looked whether the process has become quiet.
const lookEvery = 10 * time.Second

const (
	quietShare = 32       // a quiet process allocates less than this part of its memory between two looks
	worthwhile = 16 << 20 // bytes: so much was allocated before it is worth the collector's time
)

// quiet gives memory back to the system when a busy time is over. The runtime lets the heap
// grow to twice of what lived when it last looked, keeps that, and looks again after two
// minutes only where nobody allocates: what a crowd has left would be held until then, and
// the larger half of it until the next crowd comes. It is for one goroutine.
type quiet struct {
	read  func() allocation
	give  func()
	seen  uint64 // bytes that had been allocated when it was last looked
	given uint64 // when memory was last given back
}

// allocation is what the process uses of memory, in bytes.
type allocation struct {
	ever uint64 // that was allocated since the start
	held uint64 // that the runtime has of the system
}

func newQuiet() *quiet { return &quiet{read: readAllocation(), give: giveBack} }

// giveBack collects twice, for pools are emptied by the second collection.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
}

// look is called every now and then. It gives back where the process was busy since it last did,
// and is not any more.
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

// readAllocation gives a function that asks the runtime, without stopping it.
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

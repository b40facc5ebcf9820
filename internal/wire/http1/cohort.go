package http1

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// A request runs through more code than the processor's first cache has room for, and the system's own code between: where
// each goes from its begin to its end by itself, most of that is fetched anew for each. So where many are ready at the same time
// they go stage by stage instead: who has come to the end of one waits until the others have come there too, and the code of a stage,
// and of the system's call that it ends with, is fetched once for them all (cohort scheduling: Larus and Parkes, "Using
// Cohort Scheduling to Enhance Server Performance", USENIX 2002). To wait is to go behind everybody who is ready, in the runtime's
// queue, which costs less than what it saves, but where there is nobody to wait for, or they do more than that themselves.

// cohort is what tells whether to wait; there is one in a process, as there is one such queue.
type cohort struct {
	forms atomic.Bool  // requests wait for each other
	due   atomic.Int64 // when the queue is looked at next, on its own clock
	start time.Time    // of that

	mu    sync.Mutex    // guards what follows
	asked time.Duration // when the queue was looked at last
	ready float64       // how many goroutines were in it of late
	long  float64       // in what share of the looks who stood in it had to wait for long
}

func newCohort() *cohort { return &cohort{start: time.Now()} }

// cohorts is that of this process.
var cohorts = newCohort()

// joinCohort lets those who are ready come to where the caller is, if that pays. No lock may be held.
func joinCohort() {
	if cohorts.forms.Load() || poison.On { // then the tests do, whatever pays
		runtime.Gosched()
	}
}

// A look costs little more than a microsecond, and they are so far from each other. Every sweep and patrol has one made, and every
// connection after some requests, so that it is soon found out when many come.
const (
	lookEvery  = 10 * time.Millisecond
	looksAfter = 8 // requests
)

// look finds out whether it pays to wait, unless that was done just now or is being done.
func (c *cohort) look() {
	if !c.isDue(c.now()) || !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	begun := c.now()
	if !c.isDue(begun) { // any more
		return
	}
	ready := readyGoroutines()
	runtime.Gosched()
	c.judge(ready, c.now()-begun, runtime.GOMAXPROCS(0), begun-c.asked)
	c.asked = begun
	c.due.Store(int64(begun + lookEvery))
}

func (c *cohort) now() time.Duration { return time.Since(c.start) }

func (c *cohort) isDue(at time.Duration) bool { return int64(at) >= c.due.Load() }

// What a goroutine may do until it waits, on average, so that waiting for it pays; in what share of the looks more is done at the most, for
// once it may be that another process had the processor; and how much of what was seen still counts a tick later.
const (
	longestStage = 50 * time.Microsecond
	mostLong     = 0.4
	memory       = 0.75
)

// judge heeds that so many goroutines were ready, so long after it was done before, and that it took so long until each had
// its turn. Where some of them work for long, as one does that shakes hands for TLS, who has little to do would wait for them
// again and again.
func (c *cohort) judge(ready int, took time.Duration, processors int, since time.Duration) {
	stays := math.Pow(memory, min(1, since.Seconds()/tick.Seconds())) // one look does not say all, however long nobody looked
	c.ready = stays*c.ready + (1-stays)*float64(ready)
	c.long *= stays
	if stages := took * time.Duration(processors) / longestStage; int(stages) > max(1, ready) { // that would have fitted in
		c.long += 1 - stays
	}
	least := 2 * float64(processors)
	if c.forms.Load() {
		least /= 2 // what is so by a hair does not change with each look
	}
	c.forms.Store(c.ready >= least && c.long < mostLong)
}

// readyGoroutines is how many goroutines wait for a processor.
func readyGoroutines() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

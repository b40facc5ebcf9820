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

// A request runs through more code than fits into the processor's first-level cache, with code of the kernel in
// between. If each goroutine takes its request from beginning to end by itself, most of that code is fetched anew for
// each request. So when many requests are ready at the same time they go stage by stage instead. A goroutine at the end
// of a stage waits until the others have reached it too. The code of a stage, and of the system call that it ends with,
// is then fetched once for all of them (cohort scheduling: Larus and Parkes, "Using Cohort Scheduling to Enhance Server
// Performance", USENIX 2002). To wait, a goroutine goes to the end of the runtime's queue, behind all goroutines that
// are ready. This costs less than it saves, unless no other goroutine is ready, or the others run for longer than it
// saves.

// cohort decides whether to wait. A process has one, because it has one such queue.
type cohort struct {
	forms atomic.Bool  // whether requests wait for each other
	due   atomic.Int64 // when to look at the queue next, on the cohort's clock
	start time.Time    // of that clock

	mu    sync.Mutex    // guards what follows
	asked time.Duration // when it was last looked at
	ready float64       // moving average of the number of goroutines in the queue
	long  float64       // moving average of the share of looks that found a long wait
}

func newCohort() *cohort { return &cohort{start: time.Now()} }

// cohorts is the cohort of this process.
var cohorts = newCohort()

// cohortForms reports whether requests wait for each other.
func cohortForms() bool { return cohorts.forms.Load() || poison.On } // always with the build tag poison

// joinCohort lets the goroutines that are ready catch up with the caller, if that pays. The caller must hold no lock.
func joinCohort() {
	if cohortForms() {
		runtime.Gosched()
	}
}

// A look costs little more than a microsecond, hence this interval. Each sweep and patrol triggers a look, and so does
// each connection after a few requests, so that a rise in load is soon noticed.
const (
	lookEvery  = 10 * time.Millisecond
	looksAfter = 8 // requests
)

// look finds out whether waiting pays, unless this was just done or is being done.
func (c *cohort) look() {
	if !c.isDue(c.now()) || !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	begun := c.now()
	if !c.isDue(begun) { // another goroutine has just looked
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

// longestStage is how long a goroutine may run on average, until it waits, for it to pay to wait for it. Only in less
// than the share mostLong of the looks may goroutines run for longer: in a single look, another process may have had
// the processor. memory is the weight that past looks still have one tick later.
const (
	longestStage = 50 * time.Microsecond
	mostLong     = 0.4
	memory       = 0.75
)

// judge updates the decision after a look at the queue: ready is how many goroutines were in it, took how long it was
// until each had had its turn, and since the time since the previous look. If some goroutines run for long, as in a TLS
// handshake, goroutines with little work would wait for them again and again.
func (c *cohort) judge(ready int, took time.Duration, processors int, since time.Duration) {
	stays := math.Pow(memory, min(1, since.Seconds()/tick.Seconds())) // one look never decides alone
	c.ready = stays*c.ready + (1-stays)*float64(ready)
	c.long *= stays
	if stages := took * time.Duration(processors) / longestStage; int(stages) > max(1, ready) { // more would fit
		c.long += 1 - stays
	}
	least := 2 * float64(processors)
	if c.forms.Load() {
		least /= 2 // hysteresis
	}
	c.forms.Store(c.ready >= least && c.long < mostLong)
}

// readyGoroutines returns how many goroutines wait for a processor.
func readyGoroutines() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

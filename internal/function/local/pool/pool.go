package pool

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Instance is one running copy of a function.
type Instance interface {
	// Done is closed once its process has ended, for whatever reason.
	Done() <-chan struct{}
	// Failure says why it ended; it is asked after Done.
	Failure() error
	// Places is how many requests it takes at once, at most; 0 for as many as the
	// bounds say. It is asked once.
	Places() int
	// Stop ends it: politely until ctx ends, then for sure; one that hangs is not asked.
	// It returns once nothing of it is left.
	Stop(ctx context.Context, hangs bool)
}

// Start makes an instance and returns when it takes requests; it gives up when its
// context ends.
type Start[I Instance] func(ctx context.Context) (I, error)

// Meter is told what happens. Its methods are called under the pool's lock: they
// must not wait.
type Meter interface {
	// Crashed counts an instance that has ended by itself.
	Crashed()
	// Lent counts a request that was given an instance; cold is the instance's first.
	Lent(cold bool)
	// Waited notes for how long a request waited, whether it was given an instance or not.
	Waited(d time.Duration)
	// Worked notes for how long an instance had at least one request without a pause.
	Worked(d time.Duration)
}

// Bounds are what may be changed while the pool runs.
type Bounds struct {
	Min         int           // instances that are kept warm
	Max         int           // instances that may be alive at once, at least 1
	Starts      int           // instances that may be starting at once, at least 1
	Concurrency int           // requests that one instance takes at once, at least 1
	Idle        time.Duration // how long an unused instance lives
	Queue       int           // requests that may wait beyond those for whom an instance is coming
	Wait        time.Duration // how long each of them may
	Preparation time.Duration // how much longer they may while that is prepared which no instance can be started without
	Grace       time.Duration // how long a poisoned instance may go on with its other requests
}

// Pool is the instances of one function, whose version may be replaced while it
// runs. It is safe for concurrent use.
type Pool[I Instance] struct {
	meter Meter
	log   *slog.Logger
	// preparing is what is done once before the version that serves can be started, "" where
	// nothing is.
	preparing func() string
	ctx       context.Context //nolint:containedctx // the life of the pool; ended by Close
	cancel    context.CancelFunc

	mu        sync.Mutex
	start     Start[I] // of the version that serves
	version   int      // counts them
	bounds    Bounds
	members   map[*member[I]]struct{} // all that are not dead
	room      []*member[I]            // a stack of those that can take a request
	count     [states]int
	queue     queue[I]
	finishing int     // busy members that have answered and will be free in a moment
	backoff   backoff // of the version that serves
	demand    demand
	pace      pace
	held      bool        // a newer version could not be started: what serves must not end unused
	refill    *time.Timer // runs fill again when a pause is over; nil where none waits
	hurry     *time.Timer // gives up on finishing members; nil where none is relied on
	closed    bool
	forced    bool
	empty     chan struct{} // closed when the pool is closed and no member is left
}

// New makes a pool and starts its warm instances. preparing tells what is done at the time before any
// instance of the version that serves can be started, as "it is being built", "" for nothing; it must not wait.
func New[I Instance](start Start[I], preparing func() string, meter Meter, bounds Bounds, log *slog.Logger) *Pool[I] {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	p := &Pool[I]{
		start: start, preparing: preparing, meter: meter, log: log, ctx: ctx, cancel: cancel, bounds: bounds,
		members: map[*member[I]]struct{}{}, empty: make(chan struct{}), demand: newDemand(bounds.Idle, time.Now()),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill(time.Now())
	return p
}

// Tune changes the bounds in place. Instances beyond a lower Max end when they
// become idle.
func (p *Pool[I]) Tune(bounds Bounds) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bounds.Concurrency = p.bounds.Concurrency // part of the function's identity
	if bounds.Idle != p.bounds.Idle {
		p.demand = newDemand(bounds.Idle, time.Now())
		p.demand.note(p.count[busy])
	}
	p.bounds = bounds
	p.fill(time.Now())
	for m := range p.members {
		m.nudge() // to look at the new idle time
	}
}

// Status is how a pool is doing.
type Status struct {
	Instances int   // of any state
	Busy      int   // answering
	Starting  int   // not ready yet
	Draining  int   // get no new request, and end
	Queued    int   // requests that wait
	Wanted    int   // instances that are kept or made ready, because recent requests needed so many at once
	Problem   error // why no instance can be had, nil where all is well
}

// Status tells how the pool is doing.
func (p *Pool[I]) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Instances: len(p.members), Busy: p.count[busy], Starting: p.count[starting], Draining: p.count[draining],
		Queued: p.queue.len(), Wanted: p.wanted(time.Now()),
	}
	if p.count[idle]+p.count[busy] == 0 {
		s.Problem = p.backoff.reason
	}
	return s
}

// Acquire gives an instance with room for one request, waiting for one if it
// must. Its errors are *fault.Fault or ctx's own. The lease must be released.
func (p *Pool[I]) Acquire(ctx context.Context) (*Lease[I], error) {
	p.mu.Lock()
	now := time.Now()
	if len(p.room) > 0 {
		lease := p.lend(p.room[len(p.room)-1], now)
		p.mu.Unlock()
		return lease, nil
	}
	deadline := now.Add(p.bounds.Wait)
	if own, ok := ctx.Deadline(); ok && own.Before(deadline) {
		deadline = own
	}
	if f := p.refusal(now, deadline); f != nil {
		p.mu.Unlock()
		return nil, f
	}
	w := p.queue.push(deadline)
	p.fill(now)
	p.mu.Unlock()
	return p.await(ctx, w, now)
}

// await waits until w was served, its time is over or its client has gone. The time does not run while that is prepared which no
// instance can be started without: whoever changed a function is answered by it, and not that it is being built.
func (p *Pool[I]) await(ctx context.Context, w *waiter[I], since time.Time) (*Lease[I], error) {
	defer func() { p.meter.Waited(time.Since(since)) }()
	c := clock{over: w.deadline, looked: since, prepares: p.preparing() != "", left: p.forgives()}
	look := time.NewTimer(c.next())
	defer look.Stop()
	for {
		select {
		case r := <-w.got:
			return r.lease, r.err
		case <-ctx.Done():
			return p.leave(ctx, w, context.Cause(ctx))
		case <-look.C:
		}
		c.left = min(c.left, p.forgives())
		if c.look(time.Now(), p.preparing() != "") {
			return p.leave(ctx, w, fault.FunctionQueueTime.New("", fault.RetryAfter(time.Second),
				fault.Internal("waited %v; %s", time.Since(since).Round(time.Millisecond), p.shortage())))
		}
		look.Reset(c.next())
	}
}

// forgives is how long a preparation may take which nobody's time runs for. A pool that ends has no patience with any.
func (p *Pool[I]) forgives() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	return p.bounds.Preparation
}

// clock is how long one still waits. It stands while something is prepared.
type clock struct {
	over     time.Time     // when he has waited for long enough, as far as is known
	looked   time.Time     // when it was looked last
	prepares bool          // whether something was being prepared then
	left     time.Duration // how long it may stand yet
}

// lookEvery is how often it is looked whether something is still being prepared.
const lookEvery = time.Second

// next is how long after the last look the next one is due.
func (c *clock) next() time.Duration {
	if c.prepares && c.left > 0 {
		return lookEvery
	}
	return c.over.Sub(c.looked)
}

// look tells whether the time is over. What has begun or ended to be prepared since the last look is taken for all the time since then.
func (c *clock) look(now time.Time, prepares bool) (over bool) {
	if c.prepares || prepares {
		stood := min(now.Sub(c.looked), c.left)
		c.over, c.left = c.over.Add(stood), c.left-stood
	}
	c.looked, c.prepares = now, prepares
	return !now.Before(c.over)
}

// leave ends the waiting of w for that reason, unless it is served at the same moment.
func (p *Pool[I]) leave(ctx context.Context, w *waiter[I], reason error) (*Lease[I], error) {
	p.mu.Lock()
	waiting := p.queue.remove(w)
	if waiting {
		p.settle() // a closing pool may have waited for this one
	}
	p.mu.Unlock()
	if waiting {
		return nil, reason
	}
	r := <-w.got
	if r.err == nil && ctx.Err() != nil {
		r.lease.Release(Unused)
		return nil, reason
	}
	return r.lease, r.err
}

// shortage says what the instances were doing that nobody became free.
func (p *Pool[I]) shortage() string {
	coming := "still starting"
	if what := p.preparing(); what != "" {
		coming = "not started yet, for " + what
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("instances: %d busy, %d %s, at most %d", p.count[busy], p.count[starting], coming, p.bounds.Max)
}

// refusal tells why a request may not even wait, nil where it may.
func (p *Pool[I]) refusal(now, deadline time.Time) *fault.Fault {
	switch {
	case p.closed:
		return fault.ShuttingDown.New("", fault.RetryAfter(time.Second), fault.Internal("the function's pool is closed"))
	case p.alive() == 0 && p.backoff.active(now):
		return p.backoff.fault(now)
	}
	coming := p.count[starting]
	if !p.backoff.active(now) {
		coming += max(0, p.bounds.Max-p.alive())
	}
	if p.queue.len()-p.finishing-coming*p.bounds.Concurrency >= p.bounds.Queue {
		return fault.FunctionBusy.New("", fault.RetryAfter(time.Second),
			fault.Internal("%d instances busy, %d requests waiting", p.count[busy], p.queue.len()))
	}
	before := p.queue.before(deadline)
	least, left := p.pace.wait(before, p.bounds.Max*p.bounds.Concurrency), deadline.Sub(now)
	if least <= left {
		return nil
	}
	return fault.FunctionQueueTime.New("", fault.RetryAfter(max(time.Second, least-left)), fault.Internal(
		"it would have to wait for %v at the least and may for %v: %d wait before it, and requests take %v on average",
		least.Round(time.Millisecond), left.Round(time.Millisecond), before, p.pace.mean.Round(time.Microsecond)))
}

// wanted is how many instances there should be though nobody waits: the minimum,
// and as many as were busy at once within the last bounds.Idle.
func (p *Pool[I]) wanted(now time.Time) int {
	if p.closed {
		return 0
	}
	p.demand.turn(now, p.alive())
	recent := max(p.demand.peak(), p.count[busy])
	return max(p.bounds.Min, min(recent, p.bounds.Max))
}

// fill starts the instances that the waiters ask for, and those that are wanted.
func (p *Pool[I]) fill(now time.Time) {
	if p.forced {
		return
	}
	if p.queue.len() > 0 && p.finishing > 0 {
		p.relyOnFinishing()
	}
	want := p.missing(now)
	if want <= 0 {
		return
	}
	if p.backoff.active(now) {
		p.fillAfter(p.backoff.until.Sub(now))
		return
	}
	for range want {
		p.spawn()
	}
}

// missing is how many instances are to be started now.
func (p *Pool[I]) missing(now time.Time) int {
	unserved := p.queue.len() - p.finishing
	want := (unserved+p.bounds.Concurrency-1)/p.bounds.Concurrency - p.count[starting]
	switch {
	case p.closed:
	case p.backoff.failures > 0: // nothing is made ready that may fail again
		want = max(want, p.bounds.Min-p.alive())
	default:
		want = max(want, p.wanted(now)-p.alive())
	}
	return min(want, p.bounds.Max-p.alive(), p.bounds.Starts-p.count[starting])
}

func (p *Pool[I]) fillAfter(pause time.Duration) {
	if p.refill != nil {
		return
	}
	p.refill = time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.refill = nil
		p.fill(time.Now())
	})
}

// finishTime is how long an instance that has answered is expected to need
// until it is free; it spares a second instance for one client that asks again at once.
const finishTime = 5 * time.Millisecond

func (p *Pool[I]) relyOnFinishing() {
	if p.hurry != nil {
		return
	}
	p.hurry = time.AfterFunc(finishTime, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.hurry = nil
		for m := range p.members {
			p.unfinish(m)
		}
		p.fill(time.Now())
	})
}

// settle brings the pool to order after something became free or ended.
func (p *Pool[I]) settle() {
	now := time.Now()
	for len(p.room) > 0 && p.queue.len() > 0 {
		lease := p.lend(p.room[len(p.room)-1], now)
		p.queue.pop().got <- result[I]{lease: lease}
	}
	p.fill(now)
	if !p.closed || p.queue.len() > 0 {
		return
	}
	for m := range p.members { // closed, and nobody waits
		if m.state == idle || m.state == starting {
			p.drain(m)
		}
	}
	p.checkEmpty()
}

func (p *Pool[I]) checkEmpty() {
	if !p.closed || len(p.members) > 0 {
		return
	}
	select {
	case <-p.empty:
	default:
		close(p.empty)
	}
}

// Close takes no new requests, serves those that wait or run until ctx ends,
// and then ends everything. It returns when nothing is left.
func (p *Pool[I]) Close(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	p.settle()
	p.mu.Unlock()
	select {
	case <-p.empty:
	case <-ctx.Done():
		p.force()
		<-p.empty
	}
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range []*time.Timer{p.refill, p.hurry} {
		if t != nil {
			t.Stop()
		}
	}
}

// force ends all instances with the requests that they answer.
func (p *Pool[I]) force() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forced = true
	p.queue.fail(fault.ShuttingDown.New("", fault.Internal("the function's pool was closed while the request waited")))
	for m := range p.members {
		if m.state != draining {
			p.drain(m)
		}
		m.nudge()
	}
	p.checkEmpty()
}

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
	// Failure says why it ended. It is called after Done.
	Failure() error
	// Places is the number of requests that the instance takes at once, at most; 0 means as many as the bounds allow.
	// It is called once.
	Places() int
	// Stop ends the instance: politely until ctx ends, then by force. An instance that hangs is not asked to end. Stop
	// returns once nothing of the instance is left.
	Stop(ctx context.Context, hangs bool)
}

// Start makes an instance and returns when it takes requests. It gives up when its context ends.
type Start[I Instance] func(ctx context.Context) (I, error)

// Meter is told what happens. Its methods are called under the pool's lock and must not wait.
type Meter interface {
	// Crashed counts an instance that has ended by itself.
	Crashed()
	// Lent counts a request that was given an instance; cold is true for the instance's first request.
	Lent(cold bool)
	// Waited records how long a request waited, whether it was given an instance or not.
	Waited(d time.Duration)
	// Worked records how long an instance was busy without a pause.
	Worked(d time.Duration)
}

// Bounds are the limits that may be changed while the pool runs.
type Bounds struct {
	Min         int           // instances that are kept warm
	Max         int           // instances that may be alive at once, at least 1
	Starts      int           // instances that may be starting at once, at least 1
	Concurrency int           // requests that one instance takes at once, at least 1
	Idle        time.Duration // how long an unused instance lives
	Queue       int           // requests that may wait, not counting those that have an instance coming
	Wait        time.Duration // how long each of them may wait
	Preparation time.Duration // how much longer they may wait during a preparation without which no instance can start
	Grace       time.Duration // how long a poisoned instance may go on with its other requests
}

// Pool holds the instances of one function, whose version may be replaced while it runs. It is safe for concurrent use.
type Pool[I Instance] struct {
	meter Meter
	log   *slog.Logger
	// preparing says what is being prepared once before the serving version can be started, or "" if nothing is.
	preparing func() string
	ctx       context.Context //nolint:containedctx // the life of the pool; ended by Close
	cancel    context.CancelFunc

	mu        sync.Mutex
	start     Start[I] // of the version that serves
	version   int      // incremented with each new version
	bounds    Bounds
	members   map[*member[I]]struct{} // all that are not dead
	room      []*member[I]            // a stack of members that can take a request
	count     [states]int
	queue     queue[I]
	finishing int     // busy members that have answered and will be free in a moment
	backoff   backoff // of the version that serves
	demand    demand
	pace      pace
	held      bool        // a newer version could not be started: the serving one must not end unused
	refill    *time.Timer // runs fill again when a pause is over; nil if none is pending
	hurry     *time.Timer // stops relying on finishing members; nil if none is relied on
	closed    bool
	forced    bool
	empty     chan struct{} // closed when the pool is closed and no member is left
}

// New makes a pool and starts its warm instances. preparing says what is currently being done before any instance of
// the serving version can be started, such as "it is being built", or "" for nothing. It must not wait.
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

// Tune changes the bounds in place. Instances beyond a lower Max end when they become idle.
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

// Status describes how a pool is doing.
type Status struct {
	Instances int   // of any state
	Busy      int   // answering
	Starting  int   // not ready yet
	Draining  int   // get no new request and end
	Queued    int   // requests that wait
	Wanted    int   // instances that are kept or made ready because recent requests needed that many at once
	Problem   error // why no instance is available, nil if all is well
}

// Status reports how the pool is doing.
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

// Acquire returns an instance with room for one request, waiting for one if it must. Its errors are *fault.Fault or
// ctx's own. The lease must be released.
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

// await waits until w is served, its time is over or its client has gone. The time does not run during a preparation
// without which no instance can start: a client that has just changed a function gets its answer, not an error because
// it is being built.
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

// forgives returns how long a preparation may stop the clock of waiting requests. A pool that is closing allows none.
func (p *Pool[I]) forgives() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0
	}
	return p.bounds.Preparation
}

// clock tracks how long a request may still wait. It stands still while something is prepared.
type clock struct {
	over     time.Time     // when the request has waited long enough, as far as is known
	looked   time.Time     // when the clock was last checked
	prepares bool          // whether something was being prepared then
	left     time.Duration // how much longer it may stand still
}

// lookEvery is how often the pool checks whether something is still being prepared.
const lookEvery = time.Second

// next returns how long after the last check the next one is due.
func (c *clock) next() time.Duration {
	if c.prepares && c.left > 0 {
		return lookEvery
	}
	return c.over.Sub(c.looked)
}

// look reports whether the time is over. A preparation that has begun or ended since the last check counts for all the
// time since then.
func (c *clock) look(now time.Time, prepares bool) (over bool) {
	if c.prepares || prepares {
		stood := min(now.Sub(c.looked), c.left)
		c.over, c.left = c.over.Add(stood), c.left-stood
	}
	c.looked, c.prepares = now, prepares
	return !now.Before(c.over)
}

// leave ends the waiting of w for the given reason, unless w is served at the same moment.
func (p *Pool[I]) leave(ctx context.Context, w *waiter[I], reason error) (*Lease[I], error) {
	p.mu.Lock()
	waiting := p.queue.remove(w)
	if waiting {
		p.settle() // a closing pool may have waited for this request
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

// shortage says what the instances were doing while none became free.
func (p *Pool[I]) shortage() string {
	coming := "still starting"
	if what := p.preparing(); what != "" {
		coming = "not started yet, for " + what
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("instances: %d busy, %d %s, at most %d", p.count[busy], p.count[starting], coming, p.bounds.Max)
}

// refusal returns why a request may not even wait, or nil if it may.
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

// wanted is how many instances there should be even if no request waits: the minimum, and as many as were busy at once
// within the last bounds.Idle.
func (p *Pool[I]) wanted(now time.Time) int {
	if p.closed {
		return 0
	}
	p.demand.turn(now, p.alive())
	recent := max(p.demand.peak(), p.count[busy])
	return max(p.bounds.Min, min(recent, p.bounds.Max))
}

// fill starts the instances that the waiters need, and those that are wanted.
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

// missing is how many instances to start now.
func (p *Pool[I]) missing(now time.Time) int {
	unserved := p.queue.len() - p.finishing
	want := (unserved+p.bounds.Concurrency-1)/p.bounds.Concurrency - p.count[starting]
	switch {
	case p.closed:
	case p.backoff.failures > 0: // no instance is made ready in advance if it may fail again
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

// finishTime is how long an instance that has answered is expected to need until it is free. Waiting for it avoids a
// second instance for one client that sends its next request at once.
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

// settle restores order in the pool after something became free or ended.
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
	for m := range p.members { // closed, and no request waits
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

// Close takes no new requests, serves those that wait or run until ctx ends, and then ends everything. It returns when
// nothing is left.
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

// force ends all instances together with the requests that they are answering.
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

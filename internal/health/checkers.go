package health

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/telemetry"
)

// DefaultAtOnce is how many checks Checkers run at once. If more are due, they wait, so that checks are late rather
// than use up all resources.
const DefaultAtOnce = 256

// spread is the fraction by which a pause is randomly longer or shorter.
const spread = 0.2

// Verdict is the outcome of a target's checks. It is immutable.
type Verdict struct {
	State  State
	Served bool      // it was healthy at some time
	Bad    int       // bad answers in a row that have not changed the state yet
	Since  time.Time // of the state
	Asked  time.Time // when the target was last checked; zero: never
	// Assured is when the last doubt ended, see Following.Doubt; zero if there was none.
	Assured time.Time
	// Why is what was wrong with the last answer, "" if nothing was.
	Why string
}

// Checkers are all checkers of a process. It is safe for concurrent use. The zero value is not usable; see NewCheckers.
type Checkers struct {
	meter  *telemetry.Checks
	ctx    context.Context //nolint:containedctx // it ends with Close, as everything here
	cancel context.CancelFunc
	slots  chan struct{}
	wake   chan struct{}
	work   sync.WaitGroup

	mu       sync.Mutex
	checkers map[string]*checker
	due      queue
}

// NewCheckers makes Checkers whose goroutines Close ends. At most atOnce checks run at once, 0 means DefaultAtOnce;
// meter, if not nil, counts them.
func NewCheckers(atOnce int, meter *telemetry.Checks) *Checkers {
	all := &Checkers{meter: meter, slots: make(chan struct{}, cmp.Or(atOnce, DefaultAtOnce)), wake: make(chan struct{}, 1), checkers: map[string]*checker{}}
	all.ctx, all.cancel = context.WithCancel(context.Background())
	all.work.Go(all.run)
	return all
}

// Close cancels all checks, and returns when none is running. No follower is notified after it.
func (all *Checkers) Close() {
	all.cancel()
	all.work.Wait()
}

// checker runs one check on one target again and again. Checkers.mu guards the fields for which nothing else is stated.
type checker struct {
	key    string
	target Target
	check  *Check
	by     Caller

	judge   judge // used by the goroutine that runs the check, of which there is one at a time
	verdict atomic.Pointer[Verdict]

	followers []*Following
	doubted   bool               // since the last check began
	cancel    context.CancelFunc // of the running check, nil if there is none
	next      time.Time
	index     int // in the queue, -1 if it is not queued
	gone      bool
}

// Following is one follower's share of a checker.
type Following struct {
	among   *Checkers
	checker *checker
	tell    func()
}

// Follow starts checking target, and calls tell after each answer that changes its state or ends a doubt. tell is
// called by one goroutine at a time, and must not block; it may be called once more after Stop. caller identifies by:
// followers with the same target, check and caller share a checker. The first check is made at once.
func (all *Checkers) Follow(target Target, check *Check, caller string, by Caller, tell func()) *Following {
	key := fmt.Sprintf("%q %s %s", target, check, caller)
	all.mu.Lock()
	defer all.mu.Unlock()
	c := all.checkers[key]
	if c == nil {
		c = &checker{key: key, target: target, check: check, by: by, index: -1, judge: judge{rise: check.Rise, fall: check.Fall, every: check.Every}}
		c.verdict.Store(&Verdict{Since: time.Now()})
		all.checkers[key] = c
		all.schedule(c, time.Now())
	}
	f := &Following{all, c, tell}
	c.followers = append(c.followers, f)
	return f
}

// Verdict returns the current verdict.
func (f *Following) Verdict() *Verdict { return f.checker.verdict.Load() }

// Doubt has the target checked at once, and then at the fast pace until it has given as many good answers in a row as
// make it healthy. Verdict.Assured then says when that was. An answer to a check that began before Doubt does not
// count.
func (f *Following) Doubt() {
	all, c := f.among, f.checker
	all.mu.Lock()
	defer all.mu.Unlock()
	c.doubted = true
	if c.index >= 0 {
		heap.Remove(&all.due, c.index)
		all.schedule(c, time.Now())
	}
}

// Stop ends the following; if it was the last one, the checks end too.
func (f *Following) Stop() {
	all, c := f.among, f.checker
	all.mu.Lock()
	defer all.mu.Unlock()
	// The list is a new slice each time, because a goroutine that notifies followers may still hold the old one.
	rest := make([]*Following, 0, len(c.followers))
	for _, other := range c.followers {
		if other != f {
			rest = append(rest, other)
		}
	}
	if c.followers = rest; len(rest) > 0 || c.gone {
		return
	}
	c.gone = true
	delete(all.checkers, c.key)
	if c.index >= 0 {
		heap.Remove(&all.due, c.index)
	}
	if c.cancel != nil {
		c.cancel()
	}
}

// schedule sets the time at which c is checked next. all is locked.
func (all *Checkers) schedule(c *checker, at time.Time) {
	c.next = at
	heap.Push(&all.due, c)
	if c.index == 0 { // it is the next one
		select {
		case all.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

// run starts the checks that are due.
func (all *Checkers) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-all.ctx.Done():
			return
		case <-timer.C:
		case <-all.wake:
		}
		for {
			c, wait := all.turn(time.Now())
			if c == nil {
				timer.Reset(wait)
				break
			}
			select {
			case all.slots <- struct{}{}:
			case <-all.ctx.Done():
				return
			}
			all.work.Go(func() {
				defer func() { <-all.slots }()
				all.ask(c)
			})
		}
	}
}

// idle is how long run sleeps when no check is scheduled; a new check wakes it.
const idle = time.Hour

// turn removes and returns the checker that is due, or returns how long it is until one is.
func (all *Checkers) turn(now time.Time) (*checker, time.Duration) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.due) == 0 {
		return nil, idle
	}
	if wait := all.due[0].next.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&all.due).(*checker), 0 //nolint:forcetypeassert // nothing else is pushed
}

// ask runs a check once, and notifies the followers.
func (all *Checkers) ask(c *checker) {
	ctx, cancel := context.WithTimeout(all.ctx, c.check.Within)
	defer cancel()
	if !all.begin(c, cancel) {
		return
	}
	err := ask(ctx, c.target, c.check, c.by)
	now := time.Now()
	if all.ctx.Err() != nil {
		return
	}
	news := c.hear(err, now)
	for _, f := range all.answered(c, now, err == nil) {
		if news {
			f.tell()
		}
	}
}

// begin records that a check is running, and makes a doubt wait for its answer. It returns false if the checker has no
// followers any more.
func (all *Checkers) begin(c *checker, cancel context.CancelFunc) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	if c.gone {
		return false
	}
	if time.Since(c.next) >= time.Second {
		all.meter.Late()
	}
	c.cancel = cancel
	if c.doubted {
		c.doubted = false
		c.judge.doubt()
	}
	return true
}

// hear takes an answer, and reports whether followers must be notified.
func (c *checker) hear(err error, now time.Time) bool {
	before := c.verdict.Load()
	after := &Verdict{Since: before.Since, Asked: now}
	told := c.judge.hear(err == nil, now)
	if after.State, after.Served, after.Assured = c.judge.state, c.judge.served, c.judge.assured; after.State != before.State {
		after.Since = now
	}
	if err != nil {
		after.Why, after.Bad = why(err, c.check.Within), c.judge.streak
	}
	c.verdict.Store(after)
	return told
}

// answered schedules the next check, and returns the followers.
func (all *Checkers) answered(c *checker, now time.Time, good bool) []*Following {
	pause := c.judge.pause(now)
	all.mu.Lock()
	defer all.mu.Unlock()
	c.cancel = nil
	if c.doubted {
		pause = 0
	}
	if c.gone {
		return nil
	}
	all.meter.Answered(good)
	all.schedule(c, now.Add(spreadOf(pause)))
	return c.followers
}

// spreadOf makes a pause randomly longer or shorter, so that checks that began together do not stay together.
func spreadOf(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) * (1 - spread + 2*spread*rand.Float64())) //nolint:gosec // chance, not a secret
}

// queue holds the checkers, ordered by the time of their next check.
type queue []*checker

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }

// Push and Pop implement heap.Interface.
func (q *queue) Push(x any) {
	c := x.(*checker) //nolint:forcetypeassert // nothing else is pushed
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.index = -1
	return last
}

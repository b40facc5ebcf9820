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

// DefaultAtOnce is how many questions Checkers have open at once. Where more are due, they
// wait, so that checks come later than they should rather than take all there is.
const DefaultAtOnce = 256

// spread is by how much of itself a pause is longer or shorter, by chance.
const spread = 0.2

// Verdict is what the checks of a target come to. It is immutable.
type Verdict struct {
	State  State
	Served bool      // it was healthy once
	Bad    int       // bad answers in a row, while that has changed nothing
	Since  time.Time // of the state
	Asked  time.Time // when it was asked last; zero: never
	// Assured is when the last doubt was over, see Following.Doubt; zero: none was.
	Assured time.Time
	// Why is what was wrong with the last answer, "" where nothing was.
	Why string
}

// Checkers are those of a process. It is safe for concurrent use. The zero value is not
// usable; see NewCheckers.
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

// NewCheckers makes Checkers whose goroutines Close ends. At most atOnce questions are open at
// once, 0 for DefaultAtOnce; meter counts them, where it is not nil.
func NewCheckers(atOnce int, meter *telemetry.Checks) *Checkers {
	all := &Checkers{meter: meter, slots: make(chan struct{}, cmp.Or(atOnce, DefaultAtOnce)), wake: make(chan struct{}, 1), checkers: map[string]*checker{}}
	all.ctx, all.cancel = context.WithCancel(context.Background())
	all.work.Go(all.run)
	return all
}

// Close ends all questions, and returns when none is open. Nobody is told anything after it.
func (all *Checkers) Close() {
	all.cancel()
	all.work.Wait()
}

// checker asks one target one question again and again. Checkers.mu guards what is not said to
// be of others.
type checker struct {
	key    string
	target Target
	check  *Check
	by     Caller

	judge   judge // of whoever asks, and there is one at a time
	verdict atomic.Pointer[Verdict]

	followers []*Following
	doubted   bool               // since the last question
	cancel    context.CancelFunc // of the open question, nil where there is none
	next      time.Time
	index     int // in the queue, -1 where it is not
	gone      bool
}

// Following is one follower's share of a checker.
type Following struct {
	among   *Checkers
	checker *checker
	tell    func()
}

// Follow has target asked, and calls tell after each answer that changes its state or ends a doubt. tell is called by one goroutine at a time, and must not wait; it may
// come once more after Stop. caller identifies by: who asks the same by the same shares a
// checker. The first question is asked at once.
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

// Verdict tells how things stand.
func (f *Following) Verdict() *Verdict { return f.checker.verdict.Load() }

// Doubt has the target asked at once, and fast until it was good as often in a row as makes it
// healthy, which Verdict.Assured tells of then. An answer to what was asked before counts for nothing.
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

// Stop ends the following, and with the last one the checks.
func (f *Following) Stop() {
	all, c := f.among, f.checker
	all.mu.Lock()
	defer all.mu.Unlock()
	// The list is another one each time, for whoever tells holds the one before.
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

// schedule has c asked at a time. all is locked.
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

// run has those asked whose turn it is.
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

// idle is how long nobody's turn may be; whoever comes wakes.
const idle = time.Hour

// turn takes whose turn it is, or tells how long it is nobody's.
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

// ask asks once, and has those told who follow.
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

// begin notes that a question is open, and has a doubt wait for its answer, unless nobody wants to know any more.
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

// hear takes an answer, and tells whether there is something to tell of.
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

// answered schedules the next question, and gives who follows.
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

// spreadOf makes a pause longer or shorter by chance, so that those who began together do
// not stay together.
func spreadOf(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) * (1 - spread + 2*spread*rand.Float64())) //nolint:gosec // chance, not a secret
}

// queue are the checkers by their next turn.
type queue []*checker

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i]; q[i].index, q[j].index = i, j }

// Push and Pop are heap.Interface.
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

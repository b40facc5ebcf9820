package service

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// breaker stops asking a service of which too many requests fail, whoever of its endpoints
// is asked: a single one that fails is left alone by its own ejection, which helps nobody
// where all fail. After a pause one request tries; while that fails the pauses grow.
type breaker struct {
	tally balance.Tally // requests, and failed ones among them
	until atomic.Int64  // of the pool's clock: no request until then; 0: it is closed

	mu     sync.Mutex // held while it opens or closes; the rest is its, and until is set with it
	trial  trial      // the request that tries
	trials trial      // how many there were
	failed int        // trials, one after the other
}

// trial numbers the requests that try whether a breaker may close.
type trial uint64

const noTrial trial = 0

const (
	longestPause  = time.Minute
	mostDoublings = 10
)

// tune begins to count anew where something has changed. A trial that is under way then tells
// nothing any more.
func (b *breaker) tune(before, after *config.Breaker) {
	if !after.Opens() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.close()
	}
	if !after.Opens() || !before.Opens() || before.Window != after.Window {
		b.tally.Clear()
	}
}

// close is called with b locked.
func (b *breaker) close() {
	b.failed, b.trial = 0, noTrial
	b.until.Store(0)
}

// admits tells whether a request may be sent, and its trial where it is one. after is when to
// come back where it may not. Who is admitted gives a verdict.
func (b *breaker) admits(now int64) (is trial, ok bool, after time.Duration) {
	switch until := b.until.Load(); {
	case until == 0:
		return noTrial, true, 0
	case now < until:
		return noTrial, false, time.Duration(until - now)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch until := b.until.Load(); {
	case until == 0:
		return noTrial, true, 0
	case now < until || b.trial != noTrial:
		return noTrial, false, max(time.Second, time.Duration(until-now))
	}
	b.trials++
	b.trial = b.trials
	return b.trial, true, 0
}

// verdict takes what came of a request: whether it failed, or nothing where nobody can
// tell. It tells whether the breaker opened or closed by that.
func (b *breaker) verdict(now int64, is trial, o balance.Outcome, c *config.Breaker) (opened, closed bool) {
	switch bad := o == balance.Failed; {
	case is != noTrial:
		return b.tried(now, is, o, c)
	case !c.Opens() || !tells(o):
		return false, false
	default:
		b.tally.Add(now, c.Window, 1, one(bad))
		if !bad || b.until.Load() != 0 {
			return false, false
		}
	}
	all, failed := b.tally.Sums(now, c.Window)
	if all < int64(c.Least) || failed*100 < all*int64(c.Failures) {
		return false, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.Load() != 0 {
		return false, false
	}
	b.open(now, c)
	return true, false
}

// tells tells whether an outcome says anything of the service.
func tells(o balance.Outcome) bool { return o != balance.Untold && o != balance.Lasted }

// tried takes what came of a trial, and gives its place to the next one.
func (b *breaker) tried(now int64, is trial, o balance.Outcome, c *config.Breaker) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial != is {
		return false, false // the breaker was closed meanwhile
	}
	b.trial = noTrial
	switch {
	case !c.Opens() || !tells(o):
		return false, false // the next one tries
	case o == balance.Failed:
		b.failed++
		b.open(now, c)
		return true, false
	}
	b.tally.Clear()
	b.close()
	return false, true
}

// open begins a pause, which is longer after each trial that failed. b is locked.
func (b *breaker) open(now int64, c *config.Breaker) {
	b.until.Store(now + int64(min(c.Pause<<min(b.failed, mostDoublings), longestPause)))
}

// resting tells for how long nothing is asked; ok is false where the breaker is closed.
func (b *breaker) resting(now int64) (left time.Duration, ok bool) {
	until := b.until.Load()
	return max(0, time.Duration(until-now)), until != 0
}

// admit lets a request of c in, or gives what it is answered with.
func (c *call) admit() error {
	s := c.service
	is, ok, after := s.breaker.admits(c.now)
	if !ok {
		err := fault.BreakerOpen.New("", fault.Internal("too many requests to service %s failed", s.name), fault.RetryAfter(after))
		s.meter.Refused(err)
		return err
	}
	c.counted, c.trial = true, is
	return nil
}

// conclude tells the breaker, which has counted the request, what came of it.
func (c *call) conclude() {
	c.counted = false
	c.service.conclude(c.trial, c.outcome)
}

// conclude takes what came of a request, by its last attempt.
func (s *Service) conclude(is trial, o balance.Outcome) {
	opened, closed := s.breaker.verdict(s.pool.Now(), is, o, s.balance.Load().Breaker)
	switch {
	case opened:
		left, _ := s.breaker.resting(s.pool.Now())
		s.log.Warn("too many requests to the service failed; it is asked nothing for a while", "pause", left)
	case closed:
		s.log.Info("the service is asked again")
	}
}

// queue waits for room at an endpoint, where all that may be asked have as many requests as
// they may have.
func (c *call) queue() (*endpoint, error) {
	s := c.service
	bounds := s.balance.Load().Breaker
	if bounds == nil { // the bound went with a change of the config just now
		now := s.set.Load()
		if e, _ := c.pick(now); e != nil {
			return e, nil
		}
		return nil, s.noEndpoint()
	}
	place := s.pool.Join(bounds.Pending)
	if place == nil {
		return nil, c.busy("as many wait as may")
	}
	defer place.Leave()
	timer := time.NewTimer(bounds.Wait)
	defer timer.Stop()
	for {
		if e, full := c.pick(s.set.Load()); !full {
			if e == nil {
				place.Leave() // else nobody behind it would be let ask
				return c.await(s.set.Load())
			}
			return e, nil
		}
		select {
		case <-place.Ready():
		case <-timer.C:
			return nil, c.busy("no place became free within " + bounds.Wait.String())
		case <-c.ctx.Done():
			return nil, context.Cause(c.ctx)
		}
		c.now = s.pool.Now()
	}
}

func (c *call) busy(why string) error {
	err := fault.BackendBusy.New("", fault.Internal("service %s: %s", c.service.name, why), fault.RetryAfter(time.Second))
	c.service.meter.Refused(err)
	return err
}

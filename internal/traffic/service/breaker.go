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

// breaker stops requests to a service while too many of them fail, whichever endpoints they are sent to. Ejection
// leaves alone a single endpoint that fails; it does not help when all endpoints fail. After a pause one request tries;
// as long as such trials fail, the pauses grow.
type breaker struct {
	tally balance.Tally // requests, and failed ones among them
	until atomic.Int64  // of the pool's clock: no request passes until then; 0: closed

	mu     sync.Mutex // held while it opens or closes; guards the fields below, and until is set with it
	trial  trial      // the trial under way
	trials trial      // how many trials there were
	failed int        // trials that failed in a row
}

// trial numbers the requests that try whether a breaker may close.
type trial uint64

const noTrial trial = 0

const (
	longestPause  = time.Minute
	mostDoublings = 10
)

// tune applies changed settings. It restarts the counts if the breaker is or was off, or if the window has changed. If
// the breaker is off now, a trial that is still under way no longer has an effect.
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

// admits reports whether a request may be sent, and its trial number if it is a trial. If it may not be sent, after is
// when to come back. Every admitted request must give a verdict.
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

// verdict takes the outcome of a request, and reports whether the breaker opened or closed because of it. An outcome
// that says nothing about the service does not count.
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

// tells reports whether an outcome says anything about the service.
func tells(o balance.Outcome) bool { return o != balance.Untold && o != balance.Lasted }

// tried takes the outcome of a trial, and frees its place for the next trial.
func (b *breaker) tried(now int64, is trial, o balance.Outcome, c *config.Breaker) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial != is {
		return false, false // the breaker was closed meanwhile
	}
	b.trial = noTrial
	switch {
	case !c.Opens() || !tells(o):
		return false, false // the next request tries
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

// resting returns how much longer nothing is asked; ok is false if the breaker is closed.
func (b *breaker) resting(now int64) (left time.Duration, ok bool) {
	until := b.until.Load()
	return max(0, time.Duration(until-now)), until != 0
}

// admit lets the request of c in, or returns the error to answer it with.
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

// conclude reports the outcome of the request to the breaker, which has counted it.
func (c *call) conclude() {
	c.counted = false
	c.service.conclude(c.trial, c.outcome)
}

// conclude takes the outcome of a request, which is that of its last attempt.
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

// queue waits for room at an endpoint while all endpoints that may be asked have as many requests as they may have.
func (c *call) queue() (*endpoint, error) {
	s := c.service
	bounds := s.balance.Load().Breaker
	if bounds == nil { // a config change has just removed the bound
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
				place.Leave() // otherwise no request behind it would be allowed to ask
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

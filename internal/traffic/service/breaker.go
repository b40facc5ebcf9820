package service

import (
	"context"
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
	tally   atomic.Pointer[balance.Tally] // requests, and failed ones among them; nil: it never opens
	until   atomic.Int64                  // of the pool's clock: no request until then; 0: it is closed
	probing atomic.Bool                   // one request tries
	opened  atomic.Int64                  // how often in a row
}

const (
	longestPause  = time.Minute
	mostDoublings = 10
)

// tune begins to count where something has changed.
func (b *breaker) tune(before, after *config.Breaker) {
	switch {
	case after == nil || after.Failures == 0:
		b.tally.Store(nil)
		b.close()
	case b.tally.Load() == nil || before == nil || before.Window != after.Window:
		b.tally.Store(&balance.Tally{Part: int64(after.Window) / 10})
	}
}

func (b *breaker) close() {
	b.opened.Store(0)
	b.until.Store(0)
	b.probing.Store(false)
}

// admits tells whether a request may be sent, and whether it is the one that tries. after is
// when to come back where it may not.
func (b *breaker) admits(now int64) (probe, ok bool, after time.Duration) {
	until := b.until.Load()
	switch {
	case until == 0:
		return false, true, 0
	case now < until:
		return false, false, time.Duration(until - now)
	case b.probing.CompareAndSwap(false, true):
		return true, true, 0
	}
	return false, false, time.Second
}

// verdict takes what came of a request: whether it failed, or nothing where nobody can
// tell. It tells whether the breaker opened or closed by that.
func (b *breaker) verdict(now int64, probe bool, o balance.Outcome, c *config.Breaker) (opened, closed bool) {
	bad := o == balance.Failed
	switch tally := b.tally.Load(); {
	case tally == nil || c == nil:
		return false, false
	case o == balance.Untold || o == balance.Lasted:
		if probe {
			b.probing.Store(false) // the next one tries
		}
		return false, false
	case probe && bad:
		b.open(now, c)
		b.probing.Store(false)
		return true, false
	case probe:
		tally.Clear()
		b.close()
		return false, true
	default:
		some := int64(0)
		if bad {
			some = 1
		}
		tally.Add(now, 1, some)
		if !bad || b.until.Load() != 0 {
			return false, false
		}
		all, failed := tally.Sums(now)
		if all < int64(c.Least) || failed*100 < all*int64(c.Failures) {
			return false, false
		}
		return b.until.CompareAndSwap(0, b.pause(now, c)), false
	}
}

// open begins a longer pause than the one before.
func (b *breaker) open(now int64, c *config.Breaker) {
	b.opened.Add(1)
	b.until.Store(b.pause(now, c))
}

func (b *breaker) pause(now int64, c *config.Breaker) int64 {
	return now + int64(min(c.Pause<<min(b.opened.Load(), mostDoublings), longestPause))
}

// resting tells for how long nothing is asked; ok is false where the breaker is closed.
func (b *breaker) resting(now int64) (left time.Duration, ok bool) {
	until := b.until.Load()
	return max(0, time.Duration(until-now)), until != 0
}

// admit lets a request of c in, or gives what it is answered with.
func (c *call) admit(now int64) error {
	s := c.service
	probe, ok, after := s.breaker.admits(now)
	if !ok {
		err := fault.BreakerOpen.New("", fault.Internal("too many requests to service %s failed", s.name), fault.RetryAfter(after))
		s.meter.Refused(err)
		return err
	}
	c.probes = probe
	return nil
}

// conclude takes what came of the request, by its last attempt.
func (c *call) conclude(o balance.Outcome) {
	s := c.service
	opened, closed := s.breaker.verdict(s.pool.Now(), c.probes, o, s.balance.Load().Breaker)
	c.probes = false
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
		case <-c.req.Context().Done():
			return nil, context.Cause(c.req.Context())
		}
	}
}

func (c *call) busy(why string) error {
	err := fault.BackendBusy.New("", fault.Internal("service %s: %s", c.service.name, why), fault.RetryAfter(time.Second))
	c.service.meter.Refused(err)
	return err
}

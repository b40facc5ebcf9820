package service

import (
	"context"
	"time"
)

// next chooses the endpoint to ask. It waits for an endpoint if none may be asked, or for room if none has any.
func (c *call) next(now *set) (*endpoint, error) {
	if len(now.unproved) > 0 {
		if e := c.takeUnproved(now); e != nil {
			return e, nil
		}
	}
	if c.service.pool.Waiting() > 0 && c.service.balance.Load().Breaker != nil { // the requests that wait were first
		return c.queue()
	}
	switch e, full := c.pick(now); {
	case e != nil:
		return e, nil
	case full:
		return c.queue()
	}
	return c.await(now)
}

// nextNow is next after some time has passed: it reads the clock and the set again.
func (c *call) nextNow() (*endpoint, error) {
	c.now = c.service.pool.Now()
	return c.next(c.service.set.Load())
}

// await waits for an endpoint that may be asked, for as long as the request may be held.
func (c *call) await(now *set) (*endpoint, error) {
	s := c.service
	hold := s.selection.Load().Hold
	if hold.Time <= 0 || now.mode != AsksNobody {
		return nil, s.noEndpoint()
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > int64(hold.Requests) {
		return nil, s.noEndpoint()
	}
	timer := time.NewTimer(hold.Time)
	defer timer.Stop()
	ctx := c.ctx
	for waits := true; ; {
		switch e, full := c.pick(now); {
		case e != nil:
			s.meter.Held(true)
			return e, nil
		case full:
			return c.queue()
		}
		if !waits || now.mode != AsksNobody {
			s.meter.Held(false)
			return nil, s.noEndpoint()
		}
		select {
		case <-now.replaced:
			now = s.set.Load()
		case <-timer.C:
			waits, now = false, s.lapse()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		c.now = s.pool.Now()
	}
}

// lapse notes that a request has waited for as long as it may. Endpoints of which nothing is known are asked from now
// on.
func (s *Service) lapse() *set {
	s.setting.Lock()
	defer s.setting.Unlock()
	if now := s.set.Load(); now.mode != AsksNobody || s.waited || s.closed {
		return now
	}
	s.waited = true
	s.rebuild(s.set.Load().endpoints)
	return s.set.Load()
}

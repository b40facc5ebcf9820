package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/health"
)

// Set replaces all endpoints; it is the callback of a discovery.Provider. Requests in flight on an endpoint that is
// gone are not disturbed. An endpoint with the same ID and address as before keeps what is known of it. Set does not
// keep list.
func (s *Service) Set(list []discovery.Endpoint) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.closed {
		return
	}
	before := s.set.Load().endpoints
	s.turn++
	after := arrange(list, before, s.turn)
	for i := range after {
		s.track(&after[i])
	}
	s.waited = false
	s.rebuild(after)
	s.leave(before) // last, because logging may be slow; requests already use the new set
	s.log.Debug("endpoints changed", "before", len(before), "after", len(after))
}

// Tune changes how endpoints are chosen. What is known of them stays, and requests in flight go on. It keeps b.
func (s *Service) Tune(b Balance) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.tune(&b) && !s.closed {
		s.rebuild(s.set.Load().endpoints)
	}
}

// tune stores b, and reports whether the set must be recomputed. setting is locked.
func (s *Service) tune(b *Balance) (anew bool) {
	if b.Budget == nil {
		b.Budget = config.DefaultBudget()
	}
	before := s.balance.Swap(b)
	if before == nil {
		before = &Balance{}
	}
	s.breaker.tune(before.Breaker, b.Breaker)
	return before.Settings != b.Settings || before.Zone != b.Zone || before.Node != b.Node
}

// Select changes the rules by which endpoints may be asked. An endpoint that is now checked in another way keeps its
// standing until the new checks have said something.
func (s *Service) Select(rules Selection) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.closed {
		return
	}
	before := s.selection.Swap(&rules)
	endpoints := s.set.Load().endpoints
	if before.checkKey() != rules.checkKey() {
		for i := range endpoints {
			e := &endpoints[i]
			e.state.assumed = e.standing() == Healthy
			e.state.untrack()
			s.track(e)
		}
	}
	if !rules.Outlier.Ejects() {
		for i := range endpoints {
			endpoints[i].state.release()
		}
	}
	s.rebuild(endpoints)
}

// Close ends what the service runs in the background. Requests under way go on.
func (s *Service) Close() {
	s.setting.Lock()
	defer s.setting.Unlock()
	s.closed = true
	s.changes.stop()
	s.turn++
	s.leave(s.set.Load().endpoints)
}

// leave releases those endpoints that are not part of this turn. s.setting is locked.
func (s *Service) leave(before []endpoint) {
	for i := range before {
		e := &before[i]
		if e.state.turn == s.turn {
			continue
		}
		e.state.gone = true
		e.state.untrack()
		e.state.release()
		if !s.closed {
			s.log.Info("endpoint is gone", "endpoint", e.Address, "id", e.ID, "was", string(e.state.told), "in_flight", e.state.load.InFlight())
		}
	}
}

// track has e checked if its source says that it takes requests. s.setting is locked.
func (s *Service) track(e *endpoint) {
	rules, state := s.selection.Load(), e.state
	switch {
	case rules.Check == nil || e.Condition != discovery.Ready:
		state.untrack()
	case state.checks == nil:
		at := health.Target{ID: e.ID, Address: e.Address, Fallback: e.Fallback, Name: e.Name}
		state.checks = rules.Checkers.Follow(at, rules.Check, rules.CallerKey, rules.Caller, func() { s.heard(state) })
	}
}

func (e *state) untrack() {
	if e.checks != nil {
		e.checks.Stop()
		e.checks = nil
	}
}

// release ends an ejection, if there is one.
func (e *state) release() {
	e.ejection.stop()
	e.phase.Store(serves)
	e.outcomes.clear()
}

// heard is called by the checks of e when their verdict has changed, or when they are sure that e is good.
func (s *Service) heard(e *state) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.closed {
		return
	}
	if j := &e.ejection; j.checked && e.checks != nil && e.checks.Verdict().Assured.After(j.began) {
		s.open(e)
	}
	s.rebuildSoon()
}

// changes controls when to recompute which endpoints may be asked. When thousands of endpoints change at once, that is
// not done for each.
type changes struct {
	free  time.Time   // until then the next recomputation waits
	timer *time.Timer // of the recomputation that waits; nil: none does
}

// share is how long nothing is recomputed after a recomputation, as a multiple of the time that it took.
const share = 10

func (c *changes) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// rebuildSoon recomputes which endpoints may be asked: at once, or after a moment if that was done just now. s.setting
// is locked.
func (s *Service) rebuildSoon() {
	if s.changes.timer != nil {
		return
	}
	wait := time.Until(s.changes.free)
	if wait <= 0 {
		s.rebuild(s.set.Load().endpoints)
		return
	}
	s.changes.timer = time.AfterFunc(wait, func() {
		s.setting.Lock()
		defer s.setting.Unlock()
		if s.changes.timer = nil; !s.closed {
			s.rebuild(s.set.Load().endpoints)
		}
	})
}

// rebuild recomputes which endpoints may be asked, and wakes the requests that wait. s.setting is locked.
func (s *Service) rebuild(endpoints []endpoint) {
	begin := time.Now()
	s.changes.stop()
	before, after := s.set.Load(), s.newSet(endpoints)
	if after.mode == AsksHealthy {
		s.waited = false
	}
	s.set.Store(after)
	close(before.replaced)
	s.pool.Call()
	s.tell(before, after)
	now := time.Now()
	s.changes.free = now.Add(share * now.Sub(begin))
}

// tell logs what has changed. s.setting is locked.
func (s *Service) tell(before, after *set) {
	for i := range after.endpoints {
		e := &after.endpoints[i]
		now := e.standing()
		if now == e.state.told {
			continue
		}
		s.tellEndpoint(e, now)
		e.state.told, e.state.since = now, time.Now()
	}
	if before.mode == after.mode || len(after.endpoints) == 0 {
		return
	}
	switch {
	case after.mode == AsksPanicked:
		s.log.Warn("too few endpoints are healthy for that to be believed; unhealthy ones are asked too", "endpoints", len(after.endpoints), "asked", len(after.picker.asked))
	case before.mode == AsksPanicked:
		s.log.Info("health is believed again", "asks", string(after.mode), "endpoints", len(after.endpoints), "asked", len(after.picker.asked))
	}
}

func (s *Service) tellEndpoint(e *endpoint, now State) {
	level, text := slog.LevelInfo, "endpoint is "+string(now)
	fields := []any{"endpoint", e.Address, "id", e.ID, "was", string(e.state.told)}
	switch {
	case now == Unhealthy || now == Ejected:
		level = slog.LevelWarn
		fields = append(fields, "why", e.why(now))
		if now == Ejected {
			fields = append(fields, "until", e.state.ejection.until)
		}
	case e.state.told == "": // it is new
		level, text = slog.LevelDebug, "endpoint is there, and "+string(now)
	}
	s.log.Log(context.Background(), level, text, fields...)
}

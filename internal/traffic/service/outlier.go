package service

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// The phases of an endpoint's ejection, state.phase. Requests change halfOpen to proving and make no other change; all
// other changes are made with Service.setting locked.
const (
	serves   uint32 = iota
	ejected         // until a timer
	halfOpen        // one request may prove it
	proving         // and that request is under way
)

// ejection is the state of an endpoint's ejections.
type ejection struct {
	times int // how many ejections followed soon after one another
	began time.Time
	until time.Time
	ended time.Time // when it was last taken back
	why   string
	timer *time.Timer // nil: none runs
	// checked says that good checks end the ejection, because the checks try what has failed.
	checked bool
}

// patience is how long a half-open endpoint waits for a request that could be sent again if it fails. After that any
// request may prove it. It is also how long an answer must go on until it counts as good before its end.
const patience = 10 * time.Second

// learn takes the outcome of an attempt into account.
func (a *attempt) learn(f *finding, o *config.Outlier, now int64) {
	if !a.proves && !o.Ejects() {
		return
	}
	is, why := f.lesson(o)
	if a.proves {
		a.service.proved(a.state, is, why)
		return
	}
	if is == nothing || a.state.phase.Load() != serves {
		return
	}
	if is == served {
		a.state.outcomes.good(now, o)
		return
	}
	if reason := a.state.outcomes.bad(now, o); reason != "" {
		a.service.eject(a.state, reason+": "+why, is == lost)
	}
}

// outcomes counts how an endpoint's requests ended. The zero value has counted none.
type outcomes struct {
	row   atomic.Int64 // failures in a row
	tally balance.Tally
}

// good counts a good outcome at a time of the pool's clock.
func (n *outcomes) good(now int64, o *config.Outlier) {
	if o.Rate > 0 {
		n.tally.Add(now, o.Window, 1, 0)
	}
	if n.row.Load() != 0 {
		n.row.Store(0)
	}
}

// bad counts a bad outcome. It returns a reason to eject the endpoint, or "" if there is none.
func (n *outcomes) bad(now int64, o *config.Outlier) string {
	if o.Rate > 0 {
		n.tally.Add(now, o.Window, 1, 1)
	}
	if row := n.row.Add(1); o.Failures > 0 && row >= int64(o.Failures) {
		return fmt.Sprintf("%d failures in a row", row)
	}
	if o.Rate == 0 {
		return ""
	}
	all, bads := n.tally.Sums(now, o.Window)
	if all < int64(o.Requests) || bads*100 < int64(o.Rate)*all {
		return ""
	}
	return fmt.Sprintf("%d of %d requests failed within %s", bads, all, o.Window)
}

func one(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func (n *outcomes) clear() {
	n.row.Store(0)
	n.tally.Clear()
}

// eject ejects an endpoint, unless too many are ejected already. An endpoint that lost connections is checked at once,
// if it has checks, and taken back once they are good.
func (s *Service) eject(e *state, why string, connections bool) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.gone || s.closed || e.phase.Load() != serves || !s.mayEject(e) {
		return
	}
	s.leaveAlone(e, why)
	if connections && e.checks != nil {
		e.ejection.checked = true
		e.checks.Doubt()
	}
	s.rebuildSoon()
}

// mayEject reports whether e may be ejected: it must be healthy, at least one other endpoint must be left, and no more
// than the configured share of them may be ejected at once, or one if that share is less than one. Endpoints that are
// not asked anyway do not count. s.setting is locked.
func (s *Service) mayEject(e *state) bool {
	all, out, is := 0, 0, false
	endpoints := s.set.Load().endpoints
	for i := range endpoints {
		switch other := &endpoints[i]; {
		case other.Weight == 0:
		case other.standing() == Healthy:
			all++
			is = is || other.state == e
		case other.standing() == Ejected:
			all++
			out++
		}
	}
	most := max(1, all*s.selection.Load().Outlier.Share/100)
	return is && out < most && all-out > 1
}

// leaveAlone ejects e, each time for longer than the time before, unless the last ejection is long ago. s.setting is
// locked.
func (s *Service) leaveAlone(e *state, why string) {
	o, now, j := s.selection.Load().Outlier, time.Now(), &e.ejection
	if j.times > 0 && !j.ended.IsZero() && now.Sub(j.ended) >= o.Longest {
		j.times = 0
	}
	const mostDoublings = 20
	rest := min(o.Eject<<min(j.times, mostDoublings), o.Longest)
	j.times++
	j.began, j.until, j.why, j.checked = now, now.Add(rest), why, false
	e.phase.Store(ejected)
	e.outcomes.clear()
	j.timer = time.AfterFunc(rest, func() { s.halfOpen(e) })
	s.meter.Ejected()
}

// halfOpen lets one request prove an endpoint.
func (s *Service) halfOpen(e *state) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.open(e) {
		s.rebuildSoon()
	}
}

// open ends the time for which an endpoint is ejected, and reports whether it was ejected. s.setting is locked.
func (s *Service) open(e *state) bool {
	if e.gone || s.closed || e.phase.Load() != ejected {
		return false
	}
	e.opened.Store(int64(time.Since(s.start)))
	e.phase.Store(halfOpen)
	e.ejection.stop()
	return true
}

func (j *ejection) stop() {
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
}

// proved takes the outcome of the request that was to prove an endpoint.
func (s *Service) proved(e *state, said lesson, why string) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.gone || s.closed || e.phase.Load() != proving { // it was taken back meanwhile, because the rules changed
		return
	}
	switch said {
	case nothing:
		e.phase.Store(halfOpen)
		return // the next request tries
	case served:
		e.ejection.ended = time.Now()
		e.outcomes.clear()
		e.phase.Store(serves)
	case failed, lost:
		s.leaveAlone(e, "the request that should prove it failed: "+why)
	}
	s.rebuildSoon()
}

// takeUnproved returns an ejected endpoint that this request may prove, or nil. The request must be one that can be
// sent to another endpoint if it fails, unless no such request has come for a while (patience).
func (c *call) takeUnproved(s *set) *endpoint {
	if len(c.tried) > 0 {
		return nil
	}
	now := int64(time.Since(c.service.start))
	safe := c.retry.attempts > 0 && c.body == nil && !c.retry.unsent && repeatable(c.req)
	for _, e := range s.unproved {
		if (safe || now-e.state.opened.Load() >= int64(patience)) && e.state.phase.CompareAndSwap(halfOpen, proving) {
			c.proves = e
			c.service.pool.Begin(&e.state.load)
			return e
		}
	}
	return nil
}

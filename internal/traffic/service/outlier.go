package service

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// The phases of an endpoint's ejection, state.phase. Requests change halfOpen to proving
// and nothing else; all other changes are made with Service.setting locked.
const (
	serves   uint32 = iota
	ejected         // until a timer
	halfOpen        // one request may prove it
	proving         // and is under way
)

// ejection is how an endpoint is left alone.
type ejection struct {
	times int // one soon after the other
	began time.Time
	until time.Time
	ended time.Time // when it was taken back last
	why   string
	timer *time.Timer // nil: none runs
	// checked tells that good checks end it, for what failed is what they try too.
	checked bool
}

// patience is how long a half-open endpoint waits for a request that could be sent again
// if it fails. Then any request does. And it is how long an answer goes on until it proves
// something without its end.
const patience = 10 * time.Second

// learn takes what came of an attempt into account.
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

// outcomes count what became of an endpoint's requests. The zero value has seen none.
type outcomes struct {
	row   atomic.Int64 // failures one after the other
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

// bad counts a bad outcome, and gives a reason to eject the
// endpoint, "" where there is none.
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

// eject leaves an endpoint alone, unless too many are. One whose connections were lost is asked
// by its check at once, and no longer left alone once that is good.
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

// mayEject holds that one endpoint is left at least, and most of them where that is more.
// Whoever is not asked anyway counts for nothing. s.setting is locked.
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

// leaveAlone ejects e, each time for longer than the time before unless that is long ago.
// s.setting is locked.
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

// open ends the time for which an endpoint is left alone, and tells whether there was one. s.setting is locked.
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

// proved takes what came of the request that was to prove an endpoint.
func (s *Service) proved(e *state, said lesson, why string) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.gone || s.closed || e.phase.Load() != proving { // it was taken back meanwhile, by other rules
		return
	}
	switch said {
	case nothing:
		e.phase.Store(halfOpen)
		return // the next one, then
	case served:
		e.ejection.ended = time.Now()
		e.outcomes.clear()
		e.phase.Store(serves)
	case failed, lost:
		s.leaveAlone(e, "the request that should prove it failed: "+why)
	}
	s.rebuildSoon()
}

// takeUnproved gives an ejected endpoint that this request may prove, nil where there is none.
// The request must be one that can be sent to another endpoint if it fails, unless none
// of that kind comes.
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

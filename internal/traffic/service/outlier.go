package service

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// The phases of an endpoint's ejection, state.phase. Requests change halfOpen to probing
// and nothing else; all other changes are made with Service.setting locked.
const (
	serves   uint32 = iota
	ejected         // until a timer
	halfOpen        // one request may prove it
	probing         // and is under way
)

// ejection is how an endpoint is left alone.
type ejection struct {
	times int // one soon after the other
	until time.Time
	ended time.Time // when it was taken back last
	why   string
	timer *time.Timer // nil: none runs
}

// patience is how long a half-open endpoint waits for a request that could be sent again
// if it fails. Then any request does.
const patience = 10 * time.Second

// lesson is what an attempt tells of its endpoint.
type lesson uint8

const (
	nothing lesson = iota // it was not the endpoint's doing, or nobody can tell
	served
	failed
)

// lessonOf tells what an attempt says of its endpoint, and why where it failed. said is what
// the choice of endpoints goes by, which counts other answers as failures.
func lessonOf(said balance.Outcome, res *http.Response, err error, o *config.Outlier) (lesson, string) {
	if err == nil {
		switch {
		case slices.Contains(o.Statuses, res.StatusCode):
			return failed, fmt.Sprintf("status %d", res.StatusCode)
		case said == balance.Failed && res.StatusCode == http.StatusOK:
			return failed, "gRPC status UNAVAILABLE"
		}
		return served, ""
	}
	if said != balance.Failed {
		return nothing, ""
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		if send.Refused {
			return nothing, ""
		}
		return failed, send.Err.Error()
	}
	return failed, fault.From(err).Title
}

// learn takes what came of an attempt into account.
func (c *call) learn(e *endpoint, said balance.Outcome, res *http.Response, err error) {
	s := c.service
	o := &s.selection.Load().Outlier
	probe := c.probe == e
	if !probe && !o.Ejects() {
		return
	}
	is, why := lessonOf(said, res, err, o)
	if probe {
		c.probe = nil
		s.proved(e, is, why)
		return
	}
	if is == nothing || e.state.phase.Load() != serves {
		return
	}
	if reason := e.state.outcomes.note(is == failed, time.Since(s.start), o); reason != "" {
		s.eject(e, reason+": "+why)
	}
}

// outcomes count what became of an endpoint's requests. The zero value has seen none.
type outcomes struct {
	row atomic.Int64 // failures one after the other
	// parts are the counts of the parts of the window: which part in the upper half, all
	// and failed ones in a quarter each.
	parts [windowParts]atomic.Uint64
}

const (
	windowParts = 5
	partShift   = 32
	allShift    = 16
)

// note counts an outcome at a time of the service's clock, and gives a reason to eject the
// endpoint, "" where there is none.
func (n *outcomes) note(bad bool, now time.Duration, o *config.Outlier) string {
	var part uint32
	if o.Rate > 0 {
		part = uint32(now/(o.Window/windowParts)) + 1 // 0 is none
		n.count(part, bad)
	}
	if !bad {
		if n.row.Load() != 0 {
			n.row.Store(0)
		}
		return ""
	}
	if row := n.row.Add(1); o.Failures > 0 && row >= int64(o.Failures) {
		return fmt.Sprintf("%d failures in a row", row)
	}
	if o.Rate == 0 {
		return ""
	}
	all, bads := n.sum(part)
	if all < o.Requests || bads*100 < o.Rate*all {
		return ""
	}
	return fmt.Sprintf("%d of %d requests failed within %s", bads, all, o.Window)
}

// tally are the counts of one part of the window.
type tally struct {
	part      uint32
	all, bads uint16
}

func unpack(v uint64) tally { return tally{uint32(v >> partShift), uint16(v >> allShift), uint16(v)} }

func (t tally) pack() uint64 {
	return uint64(t.part)<<partShift | uint64(t.all)<<allShift | uint64(t.bads)
}

// count adds to a part of the window, whose place the part before it had one window ago.
func (n *outcomes) count(part uint32, bad bool) {
	at := &n.parts[part%windowParts]
	for {
		before := at.Load()
		now := unpack(before)
		if now.part != part {
			now = tally{part: part}
		}
		if now.all == math.MaxUint16 { // the share stays as it is
			now.all, now.bads = now.all/2, now.bads/2
		}
		now.all++
		if bad {
			now.bads++
		}
		if at.CompareAndSwap(before, now.pack()) {
			return
		}
	}
}

// sum gives the counts of the window that ends with a part.
func (n *outcomes) sum(part uint32) (all, bads int) {
	for i := range n.parts {
		if t := unpack(n.parts[i].Load()); part-t.part < windowParts {
			all += int(t.all)
			bads += int(t.bads)
		}
	}
	return all, bads
}

func (n *outcomes) clear() {
	n.row.Store(0)
	for i := range n.parts {
		n.parts[i].Store(0)
	}
}

// eject leaves an endpoint alone, unless too many are.
func (s *Service) eject(e *endpoint, why string) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.state.gone || s.closed || e.state.phase.Load() != serves || !s.mayEject(e) {
		return
	}
	s.leaveAlone(e, why)
	s.rebuildSoon()
}

// mayEject holds that one endpoint is left at least, and most of them where that is more.
// Whoever is not asked anyway counts for nothing. s.setting is locked.
func (s *Service) mayEject(e *endpoint) bool {
	all, out := 0, 0
	for i := range s.set.Load().endpoints {
		switch other := &s.set.Load().endpoints[i]; {
		case other.Weight == 0:
		case other.standing() == Healthy:
			all++
		case other.standing() == Ejected:
			all++
			out++
		}
	}
	most := max(1, all*s.selection.Load().Outlier.Share/100)
	return e.standing() == Healthy && out < most && all-out > 1
}

// leaveAlone ejects e, each time for longer than the time before unless that is long ago.
// s.setting is locked.
func (s *Service) leaveAlone(e *endpoint, why string) {
	o, now, j := s.selection.Load().Outlier, time.Now(), &e.state.ejection
	if j.times > 0 && !j.ended.IsZero() && now.Sub(j.ended) >= o.Longest {
		j.times = 0
	}
	const mostDoublings = 20
	rest := min(o.Eject<<min(j.times, mostDoublings), o.Longest)
	j.times++
	j.until, j.why = now.Add(rest), why
	e.state.phase.Store(ejected)
	e.state.outcomes.clear()
	state := e.state
	j.timer = time.AfterFunc(rest, func() { s.halfOpen(state) })
	s.meter.Ejected()
}

// halfOpen lets one request prove an endpoint.
func (s *Service) halfOpen(e *state) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.gone || s.closed || e.phase.Load() != ejected {
		return
	}
	e.opened.Store(int64(time.Since(s.start)))
	e.phase.Store(halfOpen)
	e.ejection.timer = nil
	s.rebuildSoon()
}

// proved takes what came of the request that was to prove an endpoint.
func (s *Service) proved(e *endpoint, said lesson, why string) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if e.state.gone || s.closed {
		return
	}
	switch said {
	case nothing:
		e.state.phase.Store(halfOpen)
		return // the next one, then
	case served:
		e.state.ejection.ended = time.Now()
		e.state.outcomes.clear()
		e.state.phase.Store(serves)
	case failed:
		s.leaveAlone(e, "the request that should prove it failed: "+why)
	}
	s.rebuildSoon()
}

// takeProbe gives an ejected endpoint that this request may prove, nil where there is none.
// The request must be one that can be sent to another endpoint if it fails, unless none
// of that kind comes.
func (c *call) takeProbe(s *set) *endpoint {
	if len(s.probes) == 0 || len(c.tried) > 0 {
		return nil
	}
	now := int64(time.Since(c.service.start))
	safe := c.retry.attempts > 0 && c.body == nil && !c.retry.unsent && repeatable(c.req)
	for _, e := range s.probes {
		if (safe || now-e.state.opened.Load() >= int64(patience)) && e.state.phase.CompareAndSwap(halfOpen, probing) {
			c.probe = e
			c.service.pool.Begin(&e.state.load)
			return e
		}
	}
	return nil
}

package service

import (
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/health"
)

// Selection holds the rules by which endpoints may be asked. The zero value asks all that are ready.
type Selection struct {
	// Check is how endpoints are checked, by Caller among Checkers; nil: they are not checked.
	Check    *health.Check
	Checkers *health.Checkers
	Caller   health.Caller
	// CallerKey identifies Caller: callers with the same key get the same answers.
	CallerKey string

	Outlier config.Outlier // when an endpoint is left alone for its failures
	Hold    config.Hold    // how requests wait while no endpoint may be asked
	Panic   int            // percentage of healthy endpoints below which health is not believed; 0: never
}

// checkKey identifies the way in which endpoints are checked; "" if they are not.
func (s *Selection) checkKey() string {
	if s.Check == nil {
		return ""
	}
	return s.CallerKey + " " + s.Check.String()
}

// Mode is which endpoints a service asks now.
type Mode string

// The modes, in the order in which a service falls back.
const (
	AsksHealthy  Mode = "healthy"
	AsksPanicked Mode = "panic" // too few are healthy for that to be believed: unhealthy and ejected ones are asked too
	AsksDraining Mode = "draining"
	AsksUntried  Mode = "untried" // those of which nothing is known yet, because requests have waited long enough
	AsksNobody   Mode = "nobody"  // requests wait, and then get 503
)

// counts is the number of endpoints in each standing, without those of weight 0.
type counts struct{ healthy, fallen, fresh, untried, draining int }

// of returns the counter for the standing of e, or nil if there is none.
func (n *counts) of(e *endpoint) *int {
	switch e.standing() {
	case Healthy:
		return &n.healthy
	case Starting:
		return &n.untried
	case Ejected:
		return &n.fallen
	case Unhealthy:
		if e.fresh() {
			return &n.fresh
		}
		return &n.fallen
	case Draining:
		return &n.draining
	default:
		return nil
	}
}

// mode returns which of these endpoints to ask. waited says that requests have waited for a better one. Endpoints that
// have never served do not count while others serve: new endpoints that start slowly are no reason to doubt that the
// old ones are well.
func (n counts) mode(panicBelow int, waited bool) Mode {
	judged := n.healthy + n.fallen
	switch {
	case n.healthy > 0 && n.healthy*100 >= panicBelow*judged:
		return AsksHealthy
	case n.healthy > 0:
		return AsksPanicked
	case n.draining > 0:
		return AsksDraining
	case n.untried > 0 && !waited:
		return AsksNobody
	case panicBelow > 0 && n.fallen+n.fresh > 0:
		return AsksPanicked
	case n.untried > 0:
		return AsksUntried
	default:
		return AsksNobody
	}
}

// asked reports whether an endpoint that was counted at place is asked in a mode.
func (n *counts) asked(m Mode, place *int) bool {
	switch {
	case place == nil:
		return false
	case m == AsksHealthy:
		return place == &n.healthy
	case m == AsksPanicked && n.healthy > 0:
		return place == &n.healthy || place == &n.fallen
	case m == AsksPanicked:
		return place != &n.draining
	case m == AsksDraining:
		return place == &n.draining
	case m == AsksUntried:
		return place == &n.untried
	default:
		return false
	}
}

// weigh works out which endpoints may be asked. Service.setting is locked.
func (s *set) weigh(panicBelow int, waited bool) (asked []*endpoint, m Mode) {
	var n counts
	places := make([]*int, len(s.endpoints))
	for i := range s.endpoints {
		e := &s.endpoints[i]
		if e.Weight == 0 {
			continue
		}
		if places[i] = n.of(e); places[i] != nil {
			*places[i]++
		}
	}
	m = n.mode(panicBelow, waited)
	for i, place := range places {
		if n.asked(m, place) {
			asked = append(asked, &s.endpoints[i])
		}
	}
	return asked, m
}

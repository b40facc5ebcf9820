package service

import (
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// Status is a picture of a service for the admin API.
type Status struct {
	Name      string
	Asks      Mode
	Asked     int              // endpoints that may be asked
	Waiting   int64            // requests that wait for an endpoint that may be asked
	Queued    int64            // requests that wait for room, because all endpoints have as many as they may have
	Resting   bool             // its breaker is open
	Endpoints []EndpointStatus // in the provider's order
}

// EndpointStatus is a picture of one endpoint.
type EndpointStatus struct {
	discovery.Endpoint

	State   State
	Why     string    // what speaks against it, or did last; "": nothing
	Since   time.Time // of the state
	Asked   bool      // it may be asked
	Checked time.Time // when its last check was answered; zero: it is not checked, or was not yet
	Ejected time.Time // until when it is left alone; zero: it is not
	Proving bool      // it was ejected, and one request may show that it serves again

	balance.Standing

	Local bool // it is preferred: it is in the gateway's zone, or meant for that zone or for the gateway's machine
}

// Status returns the current status of the service.
func (s *Service) Status() Status {
	s.setting.Lock()
	defer s.setting.Unlock()
	now := s.set.Load()
	status := Status{Name: s.name, Asks: now.mode, Asked: len(now.picker.asked), Waiting: s.waiting.Load(), Queued: s.pool.Waiting(), Endpoints: make([]EndpointStatus, 0, len(now.endpoints))}
	_, status.Resting = s.breaker.resting(s.pool.Now())
	b := s.balance.Load()
	may := make(map[*endpoint]bool, len(now.picker.asked))
	for _, e := range now.picker.asked {
		may[e] = true
	}
	for i := range now.endpoints {
		e := now.endpoints[i].status(may[&now.endpoints[i]])
		e.Standing = now.picker.set.Standing(&now.endpoints[i].state.load)
		e.Local = b.local(&now.endpoints[i], now.picker.near)
		status.Endpoints = append(status.Endpoints, e)
	}
	return status
}

// Together merges the statuses of services that have the same endpoints and call them in different ways. If an endpoint
// stands differently in them, the worst state is reported.
func Together(all []Status) Status {
	made := all[0]
	made.Endpoints = slices.Clone(made.Endpoints)
	for _, other := range all[1:] {
		made.Waiting += other.Waiting
		if other.Asked < made.Asked {
			made.Asks, made.Asked = other.Asks, other.Asked
		}
		places := make(map[identity]int, len(made.Endpoints))
		for i, e := range made.Endpoints {
			places[identity{e.ID, e.Address}] = i
		}
		for _, e := range other.Endpoints {
			i, ok := places[identity{e.ID, e.Address}]
			if !ok { // one of the services has heard of it already
				made.Endpoints = append(made.Endpoints, e)
				continue
			}
			known := &made.Endpoints[i]
			inFlight := known.InFlight + e.InFlight
			if known.Asked && !e.Asked {
				*known = e
			}
			known.InFlight = inFlight
		}
	}
	return made
}

func (e *endpoint) status(asked bool) EndpointStatus {
	s := EndpointStatus{Endpoint: e.Endpoint, State: e.standing(), Asked: asked, Since: e.state.since}
	s.Why = e.why(s.State)
	if e.state.checks != nil {
		s.Checked = e.state.checks.Verdict().Asked
	}
	if s.State == Ejected {
		if s.Proving = e.state.phase.Load() >= halfOpen; !s.Proving {
			s.Ejected = e.state.ejection.until
		}
	}
	return s
}

package service

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/health"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// State is how an endpoint stands, by what its source says, what its checks come to and what
// became of its requests.
type State string

// The states of an endpoint that is there. One that is gone has none.
const (
	Healthy   State = "healthy"   // nothing speaks against it
	Starting  State = "starting"  // it is new, and its checks have said too little yet
	Unhealthy State = "unhealthy" // its checks say so
	Ejected   State = "ejected"   // its requests failed, and it is left alone for a while
	Draining  State = "draining"  // its source says that it ends
	NotReady  State = "not-ready" // its source says that it takes nothing
)

// state is what is known of an endpoint beyond its place in a list. It is shared
// by all lists that hold the endpoint.
type state struct {
	load     balance.State // what the choice goes by
	phase    atomic.Uint32
	opened   atomic.Int64 // when it became half-open, in nanoseconds of the service's clock
	outcomes outcomes     // of its requests

	// Service.setting guards the rest.
	turn   uint64            // of the latest set that it is in
	checks *health.Following // nil: it is not checked
	// assumed tells that it served before it was checked, or was checked otherwise, so that
	// it does so until its checks have said something.
	assumed  bool
	ejection ejection
	gone     bool
	told     State     // what was logged last
	since    time.Time // of that
}

// standing works out how an endpoint stands. Service.setting is locked.
func (e *endpoint) standing() State {
	switch e.Condition {
	case discovery.Draining:
		return Draining
	case discovery.NotReady:
		return NotReady
	}
	if checks := e.state.checks; checks != nil {
		switch checks.Verdict().State {
		case health.Unhealthy:
			return Unhealthy
		case health.Starting:
			if !e.state.assumed {
				return Starting
			}
		}
	}
	if e.state.phase.Load() != serves {
		return Ejected
	}
	return Healthy
}

// fresh tells of an unhealthy endpoint whether it has never served, and so may be starting yet.
func (e *endpoint) fresh() bool {
	return e.state.checks != nil && !e.state.checks.Verdict().Served && !e.state.assumed
}

// why is the reason of a state, "" where there is none to tell.
func (e *endpoint) why(s State) string {
	if s == Ejected {
		return e.state.ejection.why
	}
	if e.state.checks != nil {
		return e.state.checks.Verdict().Why
	}
	return ""
}

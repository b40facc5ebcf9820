package service

import (
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/health"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// State is how an endpoint stands, given what its source says, what its checks found and how its requests ended.
type State string

// The states of an endpoint that is there. An endpoint that is gone has none.
const (
	Healthy   State = "healthy"   // nothing speaks against it
	Starting  State = "starting"  // it is new, and its checks have said too little yet
	Unhealthy State = "unhealthy" // its checks say that it does not serve
	Ejected   State = "ejected"   // its requests failed, and it is left alone for a while
	Draining  State = "draining"  // its source says that it shuts down
	NotReady  State = "not-ready" // its source says that it takes no requests
)

// state is what is known of an endpoint beyond its place in a list. It is shared by all lists that hold the endpoint.
type state struct {
	load     balance.State // what the choice of an endpoint goes by
	phase    atomic.Uint32
	opened   atomic.Int64 // when it became half-open, in nanoseconds of the service's clock
	outcomes outcomes     // of its requests

	// Service.setting guards the rest.
	turn   uint64            // of the latest set that it is in
	checks *health.Following // nil: it is not checked
	// assumed says that the endpoint served before it was checked, or was checked in another way. It then counts as
	// serving until its checks have said something.
	assumed  bool
	ejection ejection
	gone     bool
	told     State     // the state that was logged last
	since    time.Time // when told was logged
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

// fresh reports whether an unhealthy endpoint has never served, and so may still be starting.
func (e *endpoint) fresh() bool {
	return e.state.checks != nil && !e.state.checks.Verdict().Served && !e.state.assumed
}

// why returns the reason of a state, or "" if there is none to tell.
func (e *endpoint) why(s State) string {
	if s == Ejected {
		return e.state.ejection.why
	}
	if e.state.checks != nil {
		return e.state.checks.Verdict().Why
	}
	return ""
}

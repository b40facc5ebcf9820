package service

import (
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// endpoint is one member of a set. It is immutable but for its state.
type endpoint struct {
	discovery.Endpoint

	host  string // what stands for it in the URL of a request to the transport
	state *state
}

// identity tells endpoints apart: an address may be given to another instance.
type identity struct{ id, address string }

// set is an immutable list of endpoints, with what the pick needs worked out. Who may be
// asked is worked out when the list changes or how an endpoint stands, never for a request.
type set struct {
	endpoints []endpoint    // all, in the provider's order
	picker    picker        // of those that may be asked
	mode      Mode          // why these
	unproved  []*endpoint   // half-open ones; see takeUnproved
	replaced  chan struct{} // closed when there is another set
}

// arrange makes the endpoints of list, and takes over the states of before.
// A second endpoint of the same identity is left out.
func arrange(list []discovery.Endpoint, before []endpoint) []endpoint {
	known := make(map[identity]*state, len(before))
	for _, e := range before {
		known[identity{e.ID, e.Address}] = e.state
	}
	made := make([]endpoint, 0, len(list))
	seen := make(map[identity]bool, len(list))
	for _, e := range list {
		key := identity{e.ID, e.Address}
		if seen[key] {
			continue
		}
		seen[key] = true
		if known[key] == nil {
			known[key] = new(state)
		}
		made = append(made, endpoint{Endpoint: e, host: transport.Host(e.Address, e.Fallback, e.Name, e.ID), state: known[key]})
	}
	return made
}

// newSet works out who may be asked of these. s.setting is locked.
func (s *Service) newSet(endpoints []endpoint) *set {
	rules := s.selection.Load()
	made := &set{endpoints: endpoints, replaced: make(chan struct{})}
	asked, mode := made.weigh(rules.Panic, s.waited || rules.Hold.Time <= 0)
	made.picker, made.mode = newPicker(s.pool, s.balance.Load(), asked), mode
	for i := range endpoints {
		if e := &endpoints[i]; e.Weight > 0 && e.standing() == Ejected && e.state.phase.Load() >= halfOpen {
			made.unproved = append(made.unproved, e)
		}
	}
	return made
}

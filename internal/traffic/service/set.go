package service

import (
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// state is what is known of an endpoint beyond its place in a list. It is shared
// by all lists that hold the endpoint.
type state struct {
	load balance.State // what the choice goes by
}

// endpoint is one member of a set. It is immutable but for its state.
type endpoint struct {
	discovery.Endpoint

	host  string // what stands for it in the URL of a request to the transport
	state *state
}

// identity tells endpoints apart: an address may be given to another instance.
type identity struct{ id, address string }

// set is an immutable list of endpoints, with what the pick needs worked out.
type set struct {
	endpoints []endpoint // all, in the provider's order
	picker    picker     // of those that may be asked
}

// newSet makes a set out of list, and takes over the states of before, which may be nil.
// A second endpoint of the same identity is left out. Service.setting is locked.
func newSet(list []discovery.Endpoint, before *set, p *balance.Pool, b *Balance) *set {
	known := make(map[identity]*state)
	if before != nil {
		for _, e := range before.endpoints {
			known[identity{e.ID, e.Address}] = e.state
		}
	}
	s := &set{endpoints: make([]endpoint, 0, len(list))}
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
		s.endpoints = append(s.endpoints, endpoint{
			Endpoint: e, host: transport.Host(e.Address, e.Fallback, e.Name), state: known[key],
		})
	}
	s.picker = newPicker(p, b, s.serving())
	return s
}

// serving are the endpoints that may be asked: those that are ready, and where there are
// none those that drain, which still answer (KEP-1669).
func (s *set) serving() []*endpoint {
	for _, condition := range []discovery.Condition{discovery.Ready, discovery.Draining} {
		var list []*endpoint
		for i := range s.endpoints {
			if e := &s.endpoints[i]; e.Condition == condition && e.Weight > 0 {
				list = append(list, e)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

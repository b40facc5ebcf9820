package service

import (
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// endpoint is one member of a set. It is immutable except for its state.
type endpoint struct {
	discovery.Endpoint

	host  string // represents it in the URL of a request to the transport
	state *state
}

// identity tells endpoints apart: the same address may be given to another instance.
type identity struct{ id, address string }

// set is an immutable list of endpoints, with what choosing among them needs. Which endpoints may be asked is worked
// out when the list or the standing of an endpoint changes, never for a request.
type set struct {
	endpoints []endpoint    // all, in the provider's order
	picker    picker        // of the endpoints that may be asked
	mode      Mode          // why those may be asked
	unproved  []*endpoint   // half-open ones; see takeUnproved
	replaced  chan struct{} // closed when there is another set
}

// arrange makes the endpoints of list, and takes over from before what is the same: states, and what was worked out. A
// second endpoint with the same identity is left out. In the states of all endpoints of list, turn is set to the given
// turn; endpoints of before with another turn are gone.
func arrange(list []discovery.Endpoint, before []endpoint, turn uint64) []endpoint {
	known := memory{all: before}
	made := make([]endpoint, 0, len(list))
	for i := range list {
		e := endpoint{Endpoint: list[i]}
		old, st := known.of(identity{e.ID, e.Address})
		if st.turn == turn {
			continue
		}
		e.state, st.turn = st, turn
		if old != nil && old.Fallback == e.Fallback && old.Name == e.Name {
			e.host = old.host
		} else {
			e.host = transport.Host(e.Address, e.Fallback, e.Name, e.ID)
		}
		made = append(made, e)
	}
	return made
}

// memory finds endpoints of a list by identity, quickly if they are looked up in the list's order.
type memory struct {
	all    []endpoint
	next   int // the index that is looked at first
	missed int
	places map[identity]int    // indexes in all; made once a few endpoints were not where expected
	fresh  map[identity]*state // states of endpoints that are not in all
}

// scans is how many times the whole list is searched before a map is made.
const scans = 8

// of returns the endpoint, or nil if it is not in the list, and its state, which is then a new one.
func (m *memory) of(key identity) (*endpoint, *state) {
	if m.next >= len(m.all) || !m.all[m.next].is(key) {
		place, ok := m.find(key)
		if !ok {
			return nil, m.begin(key)
		}
		m.next = place
	}
	e := &m.all[m.next]
	m.next++
	return e, e.state
}

func (m *memory) find(key identity) (place int, ok bool) {
	if m.missed++; m.missed <= scans {
		for i := range m.all {
			if m.all[i].is(key) {
				return i, true
			}
		}
		return 0, false
	}
	if m.places == nil {
		m.places = make(map[identity]int, len(m.all))
		for i := range m.all {
			m.places[identity{m.all[i].ID, m.all[i].Address}] = i
		}
	}
	place, ok = m.places[key]
	return place, ok
}

// begin returns the state of an endpoint that was not there before.
func (m *memory) begin(key identity) *state {
	if m.fresh == nil {
		m.fresh = map[identity]*state{}
	}
	if m.fresh[key] == nil {
		m.fresh[key] = new(state)
	}
	return m.fresh[key]
}

func (e *endpoint) is(key identity) bool { return e.Address == key.address && e.ID == key.id }

// newSet works out which of these endpoints may be asked. s.setting is locked.
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

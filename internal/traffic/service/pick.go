package service

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// picker chooses among the endpoints that may be asked. It is immutable.
type picker struct {
	asked []*endpoint
	near  nearness     // by which some of them are preferred
	set   *balance.Set // of these, in their order
}

// newPicker makes the picker of a new set. It is called with Service.setting locked.
func newPicker(p *balance.Pool, b *Balance, asked []*endpoint) picker {
	list := make([]balance.Endpoint, len(asked))
	near := b.nearness(asked)
	for i, e := range asked {
		list[i] = balance.Endpoint{Address: e.Address, ID: e.ID, Weight: e.Weight, Local: b.local(e, near), State: &e.state.load}
	}
	return picker{asked, near, balance.New(p, b.Settings, list)}
}

// nearness is the criterion by which an endpoint counts as near to the gateway. What the source says about whom an
// endpoint should serve counts more than where the endpoint is.
type nearness uint8

const (
	byZone      nearness = iota // it is in the gateway's zone
	byHints                     // it is meant for the gateway's zone
	byNodeHints                 // it is meant for the gateway's machine
)

// nearness returns what counts for these endpoints, by the same rules as kube-proxy. Hints count only if every endpoint
// has them: while hints come or go, the endpoints that have them would otherwise get everything. Hints of machines
// count only if an endpoint is meant for the gateway's machine.
func (b *Balance) nearness(asked []*endpoint) nearness {
	without := func(hint func(*endpoint) string) bool {
		return slices.ContainsFunc(asked, func(e *endpoint) bool { return hint(e) == "" })
	}
	meant := func(e *endpoint) bool { return b.local(e, byNodeHints) }
	switch {
	case slices.ContainsFunc(asked, meant) && !without(func(e *endpoint) string { return e.NodeHints }):
		return byNodeHints
	case !without(func(e *endpoint) string { return e.Hints }):
		return byHints
	}
	return byZone
}

// local reports whether an endpoint is near.
func (b *Balance) local(e *endpoint, near nearness) bool {
	switch near {
	case byNodeHints:
		return names(e.NodeHints, b.Node)
	case byHints:
		return names(e.Hints, b.Zone)
	default:
		return b.Zone != "" && e.Zone == b.Zone
	}
}

// names reports whether a comma-separated list contains who; "" is in no list.
func names(list, who string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if who != "" && one == who {
			return true
		}
	}
	return false
}

// pick chooses an endpoint, or returns nil if none may be asked; full reports that one may be asked as soon as there is
// room. From now on the request counts as in flight there, until attempt.done or Pool.Done.
func (c *call) pick(s *set) (e *endpoint, full bool) {
	b := c.service.balance.Load()
	a := balance.Ask{Now: c.now, Sticks: -1, Tried: c.tried}
	if len(s.picker.asked) > 1 {
		a.Random = rand.Uint64() //nolint:gosec // chance decides, not a secret
	}
	if b.Key != nil {
		a.Key, a.Keyed = c.key(b)
	}
	if b.Cookie != nil {
		a.Sticks = c.sticks(s.picker, b.Cookie)
	}
	i := s.picker.set.Take(a)
	if i < 0 {
		return nil, i == balance.Full
	}
	if b.Cookie != nil {
		if c.leads = ""; i != a.Sticks {
			c.leads = s.picker.set.Name(i)
		}
	}
	return s.picker.asked[i], false
}

// key returns the key by which the endpoint is chosen, for ways that choose by a key. It is the same for all attempts.
// A request without a key is balanced instead.
func (c *call) key(b *Balance) (key uint64, ok bool) {
	if !c.keyed {
		text, err := b.Key(c.req)
		c.keyed, c.hasKey = true, err == nil && text != ""
		c.hash = balance.HashOf(text)
	}
	return c.hash, c.hasKey
}

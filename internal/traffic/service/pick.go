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

// nearness is by what an endpoint is near to the gateway. What the source says of whom it should serve counts more than
// where it is.
type nearness uint8

const (
	byZone      nearness = iota // it is in the gateway's zone
	byHints                     // or meant for that
	byNodeHints                 // or for its machine
)

// nearness tells what counts for these, as it does for kube-proxy: hints where each endpoint has them, for while they come or
// go those who have them would else get everything; and those of machines only where one is meant for the gateway's.
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

// local tells whether an endpoint is near.
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

// names tells whether a list, by comma, names somebody; "" is nobody.
func names(list, who string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if who != "" && one == who {
			return true
		}
	}
	return false
}

// pick chooses an endpoint, nil where nobody may be asked; full tells that somebody may as
// soon as there is room. The request counts as in flight there from now on, until attempt.end
// or Pool.Done.
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

// key is what the endpoint is chosen by, where that is done by a key: the same for all
// attempts. A request that has none is balanced.
func (c *call) key(b *Balance) (key uint64, ok bool) {
	if !c.keyed {
		text, err := b.Key(c.req)
		c.keyed, c.hasKey = true, err == nil && text != ""
		c.hash = balance.HashOf(text)
	}
	return c.hash, c.hasKey
}

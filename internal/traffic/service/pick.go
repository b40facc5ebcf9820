package service

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// picker chooses among the endpoints that may be asked. It is immutable.
type picker struct {
	asked  []*endpoint
	hinted bool         // see allHinted
	set    *balance.Set // of these, in their order
}

// newPicker makes the picker of a new set. It is called with Service.setting locked.
func newPicker(p *balance.Pool, b *Balance, asked []*endpoint) picker {
	list := make([]balance.Endpoint, len(asked))
	hinted := allHinted(asked)
	for i, e := range asked {
		list[i] = balance.Endpoint{Address: e.Address, ID: e.ID, Weight: e.Weight, Local: b.local(e, hinted), State: &e.state.load}
	}
	return picker{asked, hinted, balance.New(p, b.Settings, list)}
}

// allHinted tells whether the source says of each endpoint whom it should serve. It counts only then,
// as it does for kube-proxy: while hints come or go, those who have them would else get everything.
func allHinted(asked []*endpoint) bool {
	return !slices.ContainsFunc(asked, func(e *endpoint) bool { return e.Hints == "" })
}

// local tells whether an endpoint is of the gateway's own zone, or meant for it where hinted: what the
// source says of whom it should serve counts more than where it is.
func (b *Balance) local(e *endpoint, hinted bool) bool {
	switch {
	case b.Zone == "":
		return false
	case hinted:
		return slices.Contains(strings.Split(e.Hints, ","), b.Zone)
	}
	return e.Zone == b.Zone
}

// pick chooses an endpoint, nil where nobody may be asked; full tells that somebody may as
// soon as there is room. The request counts as in flight there from now on, until attempt.end
// or Pool.Done.
func (c *call) pick(s *set) (e *endpoint, full bool) {
	b := c.service.balance.Load()
	a := balance.Ask{Now: c.service.pool.Now(), Random: rand.Uint64(), Sticks: -1, Tried: c.tried} //nolint:gosec // chance decides, not a secret
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

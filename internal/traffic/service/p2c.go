package service

import (
	"math/rand/v2"
	"slices"
	"sort"
)

// picker chooses an endpoint of one set. It is immutable, and safe for concurrent use.
type picker interface {
	// pick gives an endpoint, whose address is none of tried where there is another;
	// nil where there is none at all. It does not allocate.
	pick(tried []string) *endpoint
}

// p2c is the power of two choices (Mitzenmacher 2001) with least requests: two
// endpoints are drawn and the one with fewer requests in flight, relative to its
// weight, is taken. The first is drawn by weight and wins a tie, so that an idle
// service shares exactly by weight, and a canary of 1 % gets its 1 %.
type p2c struct {
	endpoints []*endpoint
	// upTo[i] is the sum of the weights of endpoints[:i+1]; nil where all are equal.
	upTo []int
}

// newP2C picks among endpoints, each of some weight.
func newP2C(endpoints []*endpoint) *p2c {
	p := &p2c{endpoints: endpoints}
	if slices.ContainsFunc(p.endpoints, func(e *endpoint) bool { return e.Weight != p.endpoints[0].Weight }) {
		sum := 0
		for _, e := range p.endpoints {
			sum += e.Weight
			p.upTo = append(p.upTo, sum)
		}
	}
	return p
}

func (p *p2c) pick(tried []string) *endpoint {
	n := len(p.endpoints)
	switch {
	case n == 0:
		return nil
	case n == 1:
		return p.endpoints[0]
	case len(tried) > 0:
		return p.other(tried)
	}
	i := p.draw()
	j := rand.IntN(n - 1) //nolint:gosec // chance decides, not a secret
	if j >= i {
		j++
	}
	return lessBusy(p.endpoints[i], p.endpoints[j])
}

// draw gives an index by weight.
func (p *p2c) draw() int {
	if p.upTo == nil {
		return rand.IntN(len(p.endpoints)) //nolint:gosec // as in pick
	}
	at := rand.IntN(p.upTo[len(p.upTo)-1]) //nolint:gosec // as in pick
	return sort.Search(len(p.upTo), func(i int) bool { return p.upTo[i] > at })
}

// other gives the less busy of the first two untried endpoints after a random
// place; where all were tried, any.
func (p *p2c) other(tried []string) *endpoint {
	n := len(p.endpoints)
	start := p.draw()
	var first *endpoint
	for k := range n {
		e := p.endpoints[(start+k)%n]
		switch {
		case slices.Contains(tried, e.Address):
		case first == nil:
			first = e
		default:
			return lessBusy(first, e)
		}
	}
	if first == nil {
		return p.endpoints[start]
	}
	return first
}

// lessBusy gives a unless b has fewer requests in flight relative to its weight.
func lessBusy(a, b *endpoint) *endpoint {
	if b.state.active.Load()*int64(a.Weight) < a.state.active.Load()*int64(b.Weight) {
		return b
	}
	return a
}

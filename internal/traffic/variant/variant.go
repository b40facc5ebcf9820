// Package variant chooses among the backends of one route: the first whose condition holds, otherwise one by weight. If
// the route has a sticky key, a client keeps its variant. Guards stand before the choice, so no variant can be reached
// past a guard.
package variant

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// Variant is one of the backends.
type Variant struct {
	Name string // for log and explain
	// When chooses the variant before any weight counts; nil: Weight does. If it returns an error, that is the route's
	// answer and no other variant is tried, because this variant may be the safer one. A fault is the answer as it is;
	// any other error is answered as a broken route.
	When    func(*http.Request) (bool, error)
	Weight  int
	Backend http.RoundTripper

	named bool // Backend is a Named
}

// Named is a backend that sets its name in the exchange (Exchange.Backend) whenever it is called, so that its caller
// need not do so before.
type Named interface{ NamesBackend() }

// Choice is an http.RoundTripper over variants. It is immutable and safe for concurrent use.
type Choice struct {
	conditional []Variant
	weighted    []Variant
	only        *Variant // the one that is always chosen; nil: it depends
	total       int      // of the weights
	sticky      func(*http.Request) (string, error)
}

// New makes a Choice. sticky returns the key that keeps a client on its share; nil: there is no such key. With an empty
// key or an error, the choice is random.
func New(variants []Variant, sticky func(*http.Request) (string, error)) *Choice {
	c := &Choice{sticky: sticky}
	for _, v := range variants {
		_, v.named = v.Backend.(Named)
		switch {
		case v.When != nil:
			c.conditional = append(c.conditional, v)
		case v.Weight > 0:
			c.weighted = append(c.weighted, v)
			c.total += v.Weight
		}
	}
	if len(c.conditional) == 0 && len(c.weighted) == 1 {
		c.only = &c.weighted[0]
	}
	return c
}

// RoundTrip hands the request to the chosen backend.
func (c *Choice) RoundTrip(r *http.Request) (*http.Response, error) {
	v := c.only
	if v == nil {
		var err error
		if v, err = c.Pick(r); err != nil {
			return nil, closing(r, err)
		}
	}
	if !v.named {
		exchange.Of(r).Backend = v.Name
	}
	return v.Backend.RoundTrip(r)
}

// Pick makes the choice without the call; explain uses it too.
func (c *Choice) Pick(r *http.Request) (*Variant, error) {
	for i := range c.conditional {
		v := &c.conditional[i]
		holds, err := v.When(r)
		if err != nil {
			return nil, v.failed(err)
		}
		if holds {
			return v, nil
		}
	}
	switch len(c.weighted) {
	case 0:
		return nil, fault.RouteBroken.New("", fault.Internal("no variant's condition holds, and none is without one or has a weight"))
	case 1:
		return &c.weighted[0], nil
	}
	return c.at(c.point(r)), nil
}

// failed returns the answer to a request for which the condition could not be decided.
func (v *Variant) failed(err error) *fault.Fault {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told // the client's mistake, such as an ambiguous query
	}
	return fault.RouteBroken.New("", fault.Internal("the condition of variant %s failed", v.Name), fault.Cause(err))
}

// Certain reports whether Pick returns the same variant each time for this request: a condition holds, there is only
// one share, or a sticky key decides.
func (c *Choice) Certain(r *http.Request) bool {
	for i := range c.conditional {
		if holds, err := c.conditional[i].When(r); holds || err != nil {
			return true
		}
	}
	if len(c.weighted) < 2 {
		return true
	}
	_, sticky := c.stickyPoint(r)
	return sticky
}

// point returns a place in [0, total): the client's own, or a random one.
func (c *Choice) point(r *http.Request) int {
	if place, ok := c.stickyPoint(r); ok {
		return place
	}
	return rand.IntN(c.total) //nolint:gosec // spreading load needs no secrecy
}

func (c *Choice) stickyPoint(r *http.Request) (int, bool) {
	if c.sticky == nil {
		return 0, false
	}
	key, err := c.sticky(r)
	if err != nil || key == "" {
		return 0, false
	}
	place, _ := bits.Mul64(hash(key), uint64(c.total))
	return int(place), true
}

// hash is FNV-1a with a final mix (as in MurmurHash3's fmix64) that spreads short keys over all bits. It has no seed,
// so that every replica of the gateway and every reload keeps a client on the same share.
func hash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (c *Choice) at(point int) *Variant {
	for i := range c.weighted {
		if point < c.weighted[i].Weight {
			return &c.weighted[i]
		}
		point -= c.weighted[i].Weight
	}
	return &c.weighted[len(c.weighted)-1]
}

// Status answers every request with a fault. It stands in for an invalid reference.
type Status struct{ Fault *fault.Fault }

// RoundTrip returns the fault.
func (s Status) RoundTrip(r *http.Request) (*http.Response, error) { return nil, closing(r, s.Fault) }

// closing keeps the rule that a backend closes the request's body in every case.
func closing(r *http.Request, err error) error {
	if r.Body != nil {
		_ = r.Body.Close() // nothing was read from it, and the request fails anyway
	}
	return err
}

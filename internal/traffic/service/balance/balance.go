// Package balance chooses among the endpoints of a service that may be asked. It does not decide which endpoints may be
// asked: it gets a list of them, and a new list when that changes.
//
//   - field.go: what all ways to choose share: draws by weight, endpoints that are left out, the endpoints of the
//     gateway's own zone, slow starts.
//   - ewma.go, requests.go: the least cost, by latency and requests in flight or by requests in flight alone; cost.go
//     is what they share.
//   - roundrobin.go, random.go: in turn and at random.
//   - hash.go: by a key, the same endpoint for the same key.
//   - set.go: a list with its way to choose, and what comes before any way: a client that sticks.
//   - line.go: requests that wait while there is no room; tally.go: counts over a recent window.
//   - state.go, latency.go: what is known of an endpoint, which outlives each list.
//
// Choosing takes no lock: states are atomics, everything else is immutable once made. Time and random numbers are
// passed in, so that a simulation is a test (simulation_test.go).
package balance

import "time"

// Endpoint is an endpoint that may be asked.
type Endpoint struct {
	Address string // the address that Ask.Tried uses
	ID      string // tells it from another endpoint at the same address; "": nothing does
	Weight  int    // relative; 0 gets no requests
	Local   bool   // in the gateway's own zone, or meant for it; if no endpoint is, none is preferred
	State   *State // shared by all lists that hold the endpoint, and by no other endpoint
}

// Ask is one request for an endpoint.
type Ask struct {
	Now    int64  // Pool.Now
	Random uint64 // any number, a different one for each Ask
	Key    uint64 // with Keyed: the key that an endpoint is chosen by, for ways that choose by a key; see Hash
	Keyed  bool
	picky  bool     // field.wants decides who may be asked
	wary   bool     // with picky: no endpoint that is passed over; see State.unreachable
	Sticks int      // the place of the endpoint that the client was led to before, from Set.Find; -1: none
	Tried  []string // addresses that are asked only if there is no other
}

// next returns another random number: splitmix64 (Steele, Lea, Flood 2014).
func (a *Ask) next() uint64 {
	a.Random += golden
	return mix(a.Random)
}

// Picker is one way to choose. It is immutable except for the states of its endpoints, and safe for concurrent use.
type Picker interface {
	// Pick returns a place in the list that the picker was made of, or -1 if no endpoint may be asked. bound is how
	// many requests may be in flight there, including this one; 0: any number. Pick names no endpoint in a.Tried, and
	// does not allocate.
	Pick(a Ask) (place int, bound int64)
}

// Way names a way to choose.
type Way string

// The ways.
const (
	PeakEWMA      Way = "peak-ewma"
	LeastRequests Way = "least-requests"
	RoundRobin    Way = "round-robin"
	Random        Way = "random"
	Hash          Way = "hash"
)

// Settings is how a service chooses. For every field but Way, the zero value turns the feature off.
type Settings struct {
	Way       Way
	Bound     float64       // with Hash: how many times its share an endpoint may have in flight; more than 1
	SlowStart time.Duration // from a new endpoint's first request to its full share
	InFlight  int64         // most requests at once at one endpoint
	Most      int64         // most requests at once at all endpoints together
	Sticky    bool          // Set.Find is used
	Secret    string        // with Sticky: the key with which names of endpoints are made
}

func newPicker(f *field, s Settings) Picker {
	switch s.Way {
	case LeastRequests:
		return leastRequests{f}
	case RoundRobin:
		return roundRobin{f, newTurns(f.every, f.all), newTurns(f.near, f.all)}
	case Random:
		return random{f}
	case Hash:
		return newHash(f, s.Bound)
	default:
		return peakEWMA{f}
	}
}

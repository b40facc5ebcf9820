// Package balance chooses among the endpoints of a service that may be asked. Who may be
// asked is not its matter: it gets a list, and a new one where that changes.
//
//   - field.go: what all ways to choose stand on: draws by weight, who is left out, the
//     endpoints of the gateway's own zone, those that are slowly started.
//   - ewma.go, requests.go: the least cost, by latency and requests in flight or by these
//     alone; cost.go is what they share.
//   - roundrobin.go, random.go: in turn and by chance.
//   - hash.go: by a key, the same for the same key.
//   - set.go: a list with its way, and what comes before any way: a client that sticks.
//   - line.go: who waits while there is no room; tally.go: counts of the latest time.
//   - state.go, latency.go: what is known of an endpoint, and outlives each list.
//
// Nothing here has a lock: states are atomics, everything else is immutable once made. Time
// and chance are handed in, so that a simulation is a test (simulation_test.go).
package balance

import "time"

// Endpoint is one that may be asked.
type Endpoint struct {
	Address string // what Ask.Tried names
	ID      string // what tells it from another one at the same address, "" nothing
	Weight  int    // relative; 0 gets nothing
	Local   bool   // of the gateway's own zone, or meant for it; where none is, none is preferred
	State   *State // shared by all lists that hold the endpoint, and by no other one
}

// Ask is one question.
type Ask struct {
	Now    int64  // Pool.Now
	Random uint64 // any number, another one for each question
	Key    uint64 // with Keyed: what the endpoint is chosen by, where that is done by a key; see Hash
	Keyed  bool
	picky  bool     // field.wants says who may be asked
	wary   bool     // with picky: nobody who is passed over; see State.unreachable
	Sticks int      // the place of the endpoint that the client was led to before, from Set.Find; -1 none
	Tried  []string // addresses that are asked only where there is no other one
}

// next gives another random number: splitmix64 (Steele, Lea, Flood 2014).
func (a *Ask) next() uint64 {
	a.Random += golden
	return mix(a.Random)
}

// Picker is one way to choose. It is immutable but for the states of its endpoints, and safe
// for concurrent use.
type Picker interface {
	// Pick gives a place in the list that the picker was made of, -1 where nobody may be
	// asked, and how many requests may be in flight there with this one; 0: any number. It
	// names nobody of a.Tried, and does not allocate.
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

// Settings are how a service chooses. The zero value of each but Way is: not at all.
type Settings struct {
	Way       Way
	Bound     float64       // with Hash: how many times its share an endpoint may have in flight; more than 1
	SlowStart time.Duration // from a new endpoint's first request to its full share
	InFlight  int64         // most requests at once at one endpoint
	Most      int64         // and at all
	Sticky    bool          // Set.Find is asked
	Secret    string        // with Sticky: what names of endpoints are keyed by
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

package balance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Set is a list of endpoints with a way to choose among them. It is immutable except for the states, and safe for
// concurrent use.
type Set struct {
	*field

	picker Picker
	secret string
	most   int64            // requests at once; 0: any number
	names  map[string]int32 // nil: clients do not stick
	timed  bool             // the choice goes by latency, or may
}

// New makes a set of the endpoints that may be asked now; it keeps all. For one pool it is called by one goroutine at a
// time: it finds the new endpoints by comparing with the list before.
func New(p *Pool, s Settings, all []Endpoint) *Set {
	f := newField(p, s, all)
	f.warm = startSlowly(p, all, s.SlowStart, p.Now())
	set := &Set{field: f, picker: newPicker(f, s), secret: s.Secret, most: s.Most, timed: s.Way == PeakEWMA || s.Way == Hash || s.Way == ""}
	if s.Sticky {
		set.names = make(map[string]int32, len(all))
		for i := range all {
			set.names[set.Name(i)] = int32(i)
		}
	}
	return set
}

// What Take returns if it takes no endpoint.
const (
	Nobody = -1 // no endpoint may be asked
	Full   = -2 // each endpoint that may be asked has as many requests as it may have, or all together have
)

// Take chooses an endpoint, and counts the request there until Pool.Done. It returns the place in the list, Nobody or
// Full. If all other endpoints were tried, it takes an endpoint that is passed over; if all endpoints were tried, it
// takes one of those.
func (s *Set) Take(a Ask) int {
	if !s.pool.take(s.most) {
		return s.nobody()
	}
	if s.bound == 0 && len(a.Tried) == 0 { // the usual case: no endpoint has to be left out
		if i, bound := s.pick(&a); i >= 0 {
			if e := s.all[i].State; e.open(a.Now) && e.take(bound) {
				return i
			}
		}
	}
	i := s.choose(&a)
	if i < 0 {
		s.pool.active.Add(-1)
	}
	return i
}

// nobody returns the reason why no endpoint is taken.
func (s *Set) nobody() int {
	if s.every.n > 0 {
		return Full
	}
	return Nobody
}

// choose takes an endpoint in the cases where some may have to be left out.
func (s *Set) choose(a *Ask) int {
	a.picky, a.wary = true, true
	for {
		i, bound := s.pick(a)
		switch {
		case i >= 0:
			if st := s.all[i].State; (!a.wary || st.open(a.Now)) && st.take(tighter(bound, s.bound)) {
				return i
			}
			a.Random = a.next() // others were faster, and the endpoint is full now
		case a.wary:
			a.wary = false
		case len(a.Tried) > 0:
			a.Tried = nil
		default:
			return s.nobody()
		}
	}
}

// pick does what Picker.Pick does, and also handles a client that sticks. The usual ways are called by their types,
// because a call through the interface would have to copy the Ask each time.
func (s *Set) pick(a *Ask) (int, int64) {
	if a.Sticks >= 0 && a.Sticks < len(s.all) && s.may(a, a.Sticks) {
		return a.Sticks, 0
	}
	if len(s.all) == 1 && s.may(a, 0) {
		return 0, 0 // as each of the ways would
	}
	switch p := s.picker.(type) {
	case peakEWMA:
		return cheapest(p.field, a, byLatency{})
	case leastRequests:
		return cheapest(p.field, a, byRequests{})
	default:
		return p.Pick(*a)
	}
}

// tighter returns the lower of two bounds; 0 is no bound.
func tighter(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Find returns the place of the endpoint with that name, for Ask.Sticks; -1: it is no longer there.
func (s *Set) Find(name string) int {
	if i, ok := s.names[name]; ok {
		return int(i)
	}
	return -1
}

// Name returns the name that a client which sticks to an endpoint is told to ask for. It is the same in every list and,
// with the same secret, on every replica. It reveals nothing of the address.
func (s *Set) Name(i int) string {
	h := hmac.New(sha256.New, []byte(s.secret))
	h.Write([]byte(s.all[i].Address + "\x00" + s.all[i].ID))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// Standing is how an endpoint stands, for display.
type Standing struct {
	InFlight int64
	Latency  time.Duration // of its latest answers; 0: none was observed
	Penalty  time.Duration // latency used instead, because it failed lately; 0: it has not
	Started  float64       // 1: fully; less during a slow start
}

// Standing returns how an endpoint stands. The endpoint need not be in the list.
func (s *Set) Standing(e *State) Standing {
	now := s.pool.Now()
	told := Standing{InFlight: e.active.Load(), Latency: time.Duration(e.took.Load()), Started: s.startedAt(e, now)}
	if s.timed {
		told.Penalty = e.penalty(now, s.pool.usual.seen())
	}
	return told
}

package balance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Set is a list of endpoints with a way to choose among them. It is immutable but for the
// states, and safe for concurrent use.
type Set struct {
	*field

	picker Picker
	secret string
	most   int64            // requests at once; 0: any number
	names  map[string]int32 // nil: clients do not stick
	timed  bool             // latency is what the choice goes by, or may
}

// New makes a set of those that may be asked now; it keeps all. For one pool it is called
// by one goroutine at a time: the list before is what tells who is new.
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

// What Take gives where it takes nobody.
const (
	Nobody = -1 // there is nobody to ask
	Full   = -2 // who may be asked has as many requests as it may have, or all together have
)

// Take chooses an endpoint and counts the request in there, until Pool.Done: the place in
// the list, Nobody or Full. Where all others were tried, one is taken that is passed over, and
// where all were, one of these.
func (s *Set) Take(a Ask) int {
	if !s.pool.take(s.most) {
		return s.nobody()
	}
	if s.bound == 0 && len(a.Tried) == 0 { // everybody may be asked just so, as nearly always
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

// nobody tells why there is nobody.
func (s *Set) nobody() int {
	if s.every.n > 0 {
		return Full
	}
	return Nobody
}

// choose takes somebody where not everybody may be asked just so.
func (s *Set) choose(a *Ask) int {
	a.picky, a.wary = true, true
	for {
		i, bound := s.pick(a)
		switch {
		case i >= 0:
			if st := s.all[i].State; (!a.wary || st.open(a.Now)) && st.take(tighter(bound, s.bound)) {
				return i
			}
			a.Random = a.next() // others were faster, and it has all that it may have
		case a.wary:
			a.wary = false
		case len(a.Tried) > 0:
			a.Tried = nil
		default:
			return s.nobody()
		}
	}
}

// pick is Picker.Pick, but for who sticks. The usual ways are named, since of what goes through an interface a copy has to be
// made each time.
func (s *Set) pick(a *Ask) (int, int64) {
	if a.Sticks >= 0 && a.Sticks < len(s.all) && s.may(a, a.Sticks) {
		return a.Sticks, 0
	}
	if len(s.all) == 1 && s.may(a, 0) {
		return 0, 0 // as each of the ways does
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

// tighter gives the lower one of two bounds, of which 0 is none.
func tighter(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Find gives the place of the endpoint of that name, for Ask.Sticks; -1: it is not there any more.
func (s *Set) Find(name string) int {
	if i, ok := s.names[name]; ok {
		return int(i)
	}
	return -1
}

// Name is what a client that sticks to an endpoint is told to ask for: the same in every
// list and, with the same secret, on every replica. It tells nothing of the address.
func (s *Set) Name(i int) string {
	h := hmac.New(sha256.New, []byte(s.secret))
	h.Write([]byte(s.all[i].Address + "\x00" + s.all[i].ID))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// Standing is how an endpoint stands, for who looks on.
type Standing struct {
	InFlight int64
	Latency  time.Duration // of its latest answers; 0: none was seen
	Penalty  time.Duration // that it is reckoned with instead, for it failed lately; 0: it has not
	Started  float64       // 1 wholly; less in a slow start
}

// Standing tells how an endpoint stands, which need not be in the list.
func (s *Set) Standing(e *State) Standing {
	now := s.pool.Now()
	told := Standing{InFlight: e.active.Load(), Latency: time.Duration(e.took.Load()), Started: s.startedAt(e, now)}
	if s.timed {
		told.Penalty = e.penalty(now, s.pool.usual.seen())
	}
	return told
}

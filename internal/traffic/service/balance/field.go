package balance

import (
	"math/bits"
	"slices"
	"time"
)

// field is the endpoints of one list, with what draws need. It is immutable.
type field struct {
	pool  *Pool
	all   []Endpoint
	every lots
	near  lots      // endpoints in the own zone; empty if no zone is preferred
	part  []float64 // for each endpoint, the mean weight divided by its weight
	bound int64     // most requests at once at one endpoint; 0: none

	window int64 // length of slow starts
	warm   int64 // when the last slow start ends; 0: there is none
}

func newField(p *Pool, s Settings, all []Endpoint) *field {
	f := &field{pool: p, all: all, bound: s.InFlight, window: int64(s.SlowStart)}
	f.every = newLots(all, func(Endpoint) bool { return true })
	if f.near = newLots(all, func(e Endpoint) bool { return e.Local }); f.near.n == f.every.n {
		f.near = lots{} // all endpoints are local
	}
	sum := 0
	for _, e := range all {
		sum += max(e.Weight, 0)
	}
	f.part = make([]float64, len(all))
	for i, e := range all {
		if e.Weight > 0 {
			f.part[i] = float64(sum) / float64(f.every.n) / float64(e.Weight)
		}
	}
	return f
}

// draws is how many draws may hit an endpoint that is not to be asked.
const draws = 4

// draw returns an endpoint drawn by weight, from the own zone if it has any; -1: no endpoint may be asked.
func (f *field) draw(a *Ask) int {
	from := &f.every
	if f.near.n > 0 {
		from = &f.near
	}
	if from.n == 0 {
		return -1
	}
	for range draws {
		if i := from.draw(a.next()); f.may(a, i) && f.warmed(a, i) {
			return i
		}
	}
	return f.first(a, from.draw(a.next()))
}

// first returns the first endpoint from place on that may be asked, from the own zone if it has any.
func (f *field) first(a *Ask, place int) int {
	far := -1
	for k := range f.all {
		switch i := (place + k) % len(f.all); {
		case !f.may(a, i):
		case f.near.n == 0 || f.all[i].Local:
			return i
		case far < 0:
			far = i
		}
	}
	return far
}

// may reports whether an endpoint may be asked. It is called for many endpoints per request, and must be inlined.
func (f *field) may(a *Ask, i int) bool {
	e := &f.all[i]
	return e.Weight > 0 && (!a.picky || f.wants(a, e))
}

// wants reports whether an endpoint has room, and is not one that is asked only if there is no other.
//
//go:noinline
func (f *field) wants(a *Ask, e *Endpoint) bool {
	switch {
	case f.bound > 0 && e.State.active.Load() >= f.bound, a.wary && e.State.passed(a.Now):
		return false
	}
	return !slices.Contains(a.Tried, e.Address)
}

// spill is how much better an endpoint in another zone must be than one in the own zone. With 2, endpoints in the own
// zone have at most twice as many requests in flight as the others, plus one.
const spill = 2

// far reports whether a zone is preferred and the endpoint is in another one.
func (f *field) far(i int) bool { return f.near.n > 0 && !f.all[i].Local }

// spilled returns place, or an endpoint in another zone if place has too much to do. It is for ways that do not compare
// load themselves. It looks at the current requests in flight: how many endpoints a zone has says nothing about how
// many requests come from it.
func (f *field) spilled(a *Ask, place int) int {
	if f.near.n == 0 || place < 0 || f.all[place].State.active.Load() == 0 {
		return place
	}
	i := f.every.draw(a.next())
	if f.far(i) && f.may(a, i) && f.requests(a.Now, i, 1)*spill <= f.requests(a.Now, place, 0) {
		return i
	}
	return place
}

// requests returns how many requests an endpoint would have in flight with `more` added, scaled to an endpoint of mean
// weight.
func (f *field) requests(now int64, i int, more int64) float64 {
	return float64(f.all[i].State.active.Load()+more) * f.part[i] / f.started(now, i)
}

// lots draws by weight in constant time: the alias method (Walker 1977; Vose 1991).
type lots struct {
	n      int
	places []int32 // nil: the place is the column
	// keep is the chance, out of 2^32, that a draw of a column gives the column itself, and not other; nil: all weights
	// are equal.
	keep  []uint32
	other []int32
}

func newLots(all []Endpoint, among func(Endpoint) bool) lots {
	var l lots
	sum, equal := 0, true
	places := make([]int32, 0, len(all))
	for i, e := range all {
		if e.Weight <= 0 || !among(e) {
			continue
		}
		places = append(places, int32(i))
		sum += e.Weight
		equal = equal && e.Weight == all[places[0]].Weight
	}
	l.n = len(places)
	if l.n < len(all) {
		l.places = places
	}
	if !equal {
		l.alias(all, places, sum)
	}
	return l
}

// alias fills the columns: each column lower than the mean is filled up from a higher one.
func (l *lots) alias(all []Endpoint, places []int32, sum int) {
	l.keep, l.other = make([]uint32, l.n), make([]int32, l.n)
	height := make([]float64, l.n)
	var low, high []int32
	for c, place := range places {
		height[c] = float64(all[place].Weight) * float64(l.n) / float64(sum)
		l.keep[c], l.other[c] = 1<<32-1, int32(c)
		if height[c] < 1 {
			low = append(low, int32(c))
		} else {
			high = append(high, int32(c))
		}
	}
	for len(low) > 0 && len(high) > 0 {
		c, from := low[len(low)-1], high[len(high)-1]
		low = low[:len(low)-1]
		l.keep[c], l.other[c] = uint32(height[c]*(1<<32)), from
		if height[from] -= 1 - height[c]; height[from] < 1 {
			high = high[:len(high)-1]
			low = append(low, from)
		}
	}
}

// draw returns the place for a random number.
func (l *lots) draw(random uint64) int {
	hi, lo := bits.Mul64(random, uint64(l.n))
	c := int(hi)
	if len(l.keep) > 0 && lo>>32 >= uint64(l.keep[c]) {
		c = int(l.other[c])
	}
	return l.place(c)
}

// place returns the place of a column.
func (l *lots) place(c int) int {
	if l.places != nil {
		return int(l.places[c])
	}
	return c
}

// slowest is the share of its weight that an endpoint starts with. With less, it would get no requests to warm up with.
const slowest = 0.1

// started returns the share of its weight that an endpoint has reached in its slow start; 1 is all of it.
func (f *field) started(now int64, i int) float64 { return f.startedAt(f.all[i].State, now) }

func (f *field) startedAt(s *State, now int64) float64 {
	if now >= f.warm {
		return 1
	}
	since := s.since.Load()
	if since == 0 || now-since >= f.window {
		return 1
	}
	return max(slowest, float64(now-since)/float64(f.window))
}

// warmed accepts a draw of an endpoint in slow start only as often as the share that it has reached.
func (f *field) warmed(a *Ask, i int) bool {
	started := f.started(a.Now, i)
	return started == 1 || unit(a.next()) < started
}

// startSlowly begins the slow starts of endpoints that are new in the list, and returns until when they last. If all
// endpoints are new, as at startup, there is no slow start, because no other endpoint could take the rest.
func startSlowly(p *Pool, all []Endpoint, window time.Duration, now int64) (until int64) {
	before := p.round
	p.round++
	grown := false
	for i := range all {
		s := all[i].State
		isNew := before == 0 || s.round != before
		s.round = p.round
		switch since := s.since.Load(); {
		case all[i].Weight <= 0:
		case isNew:
			s.since.Store(now)
		case since == 0 || now-since >= int64(window):
			grown = true
			s.since.Store(0)
			continue
		}
		if since := s.since.Load(); since != 0 {
			until = max(until, since+int64(window))
		}
	}
	if grown && window > 0 {
		return until
	}
	for i := range all {
		all[i].State.since.Store(0)
	}
	return 0
}

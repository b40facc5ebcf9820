package balance

import (
	"math/bits"
	"slices"
	"time"
)

// field is the endpoints of one list with what draws need. It is immutable.
type field struct {
	pool  *Pool
	all   []Endpoint
	every lots
	near  lots      // those of the own zone; empty where no zone is preferred
	part  []float64 // the mean weight, in parts of each endpoint's
	bound int64     // of requests at once at one endpoint; 0: none

	window int64 // of slow starts
	warm   int64 // when the last one ends; 0: there is none
}

func newField(p *Pool, s Settings, all []Endpoint) *field {
	f := &field{pool: p, all: all, bound: s.InFlight, window: int64(s.SlowStart)}
	f.every = newLots(all, func(Endpoint) bool { return true })
	if f.near = newLots(all, func(e Endpoint) bool { return e.Local }); f.near.n == f.every.n {
		f.near = lots{} // they are all
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

// draws is how often chance may meet somebody who is not to be asked.
const draws = 4

// draw gives one by weight: of the own zone where there are such. -1: nobody may be asked.
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

// first gives the first one after place that may be asked, of the own zone where there are such.
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

// may tells whether an endpoint may be asked. It is asked of many for each request, and is inlined.
func (f *field) may(a *Ask, i int) bool {
	e := &f.all[i]
	return e.Weight > 0 && (!a.picky || f.wants(a, e))
}

// wants tells whether an endpoint has room, and is none of those that are asked only where there is no other one.
//
//go:noinline
func (f *field) wants(a *Ask, e *Endpoint) bool {
	switch {
	case f.bound > 0 && e.State.active.Load() >= f.bound, a.wary && e.State.passed(a.Now):
		return false
	}
	return !slices.Contains(a.Tried, e.Address)
}

// spill is how much better an endpoint of another zone must be than one of the own. With 2,
// the own zone's have at most twice as many requests in flight as the others', and one more.
const spill = 2

// far tells whether an endpoint is of another zone than is preferred.
func (f *field) far(i int) bool { return f.near.n > 0 && !f.all[i].Local }

// spilled gives place, or an endpoint of another zone where place has too much to do: for
// ways that do not look at that themselves. It is asked live, by what is in flight: how many
// endpoints a zone has says nothing of how many requests come from it.
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

// requests gives how many requests an endpoint has in flight with so many more, in those of
// an endpoint of mean weight.
func (f *field) requests(now int64, i int, more int64) float64 {
	return float64(f.all[i].State.active.Load()+more) * f.part[i] / f.started(now, i)
}

// lots are draws by weight in constant time: the alias method (Walker 1977; Vose 1991).
type lots struct {
	n      int
	places []int32 // nil: the place is the column
	// keep is the chance, of 2^32, that a column is itself, and not other; nil: all weights are equal.
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

// alias fills the columns: each that is lower than the mean gets its rest from a higher one.
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

// draw gives a place by a random number.
func (l *lots) draw(random uint64) int {
	hi, lo := bits.Mul64(random, uint64(l.n))
	c := int(hi)
	if len(l.keep) > 0 && lo>>32 >= uint64(l.keep[c]) {
		c = int(l.other[c])
	}
	return l.place(c)
}

// place gives the place of a column.
func (l *lots) place(c int) int {
	if l.places != nil {
		return int(l.places[c])
	}
	return c
}

// slowest is the share of its weight that an endpoint begins with: less would have it warm up by nobody.
const slowest = 0.1

// started gives how far an endpoint has started, 1 wholly.
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

// warmed lets an endpoint that is slowly started be drawn only as often as it has started.
func (f *field) warmed(a *Ask, i int) bool {
	started := f.started(a.Now, i)
	return started == 1 || unit(a.next()) < started
}

// startSlowly begins the slow starts of who is new in the list, and tells until when they
// last. Where everybody is new, as at the start, nobody is there to have the rest.
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

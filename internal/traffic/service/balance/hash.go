package balance

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// hashed leads a key to the same endpoint for as long as that endpoint exists, and moves no more keys than it must when
// the list changes. It is multi-probe consistent hashing (Appleton, O'Reilly 2015): an endpoint is a few points on a
// circle, and a key looks from several places on the circle for the nearest point. That shares evenly without a
// thousand points per endpoint.
//
// With a bound (Mirrokni, Thorup, Zadimoghaddam 2016) no endpoint gets more than that many times its share of the
// requests in flight: a key whose endpoint is at the bound goes on to its next endpoint.
type hashed struct {
	*field

	bound  float64 // 0: none
	sum    float64 // of the weights
	points []point // sorted by place
	from   []int32 // the first point of each part of the circle; the number of parts is a power of two
	shift  int     // right shift that turns a place into its part
	other  Picker  // for requests without a key
}

type point struct {
	at    uint64
	owner int32
}

// probes is from how many places a key looks: the busiest endpoint has about 1.05 of its share.
const probes = 21

// pointsEach is how many points stand for the least weight. With one, an endpoint close behind another one would have
// few keys.
const pointsEach = 8

// few is how many requests an endpoint may always have in flight. Otherwise keys would be moved away needlessly while
// there is little load.
const few = 8

// tries is how many endpoints a key tries before it goes around the circle.
const tries = 8

// mostPoints bounds the number of points where weights are large and have no common divisor.
const mostPoints = 1 << 16

func newHash(f *field, bound float64) Picker {
	h := hashed{field: f, bound: bound, other: peakEWMA{f}}
	divisor := 0
	for _, e := range f.all {
		h.sum += float64(max(e.Weight, 0))
		divisor = gcd(divisor, max(e.Weight, 0))
	}
	divisor = max(divisor, int(h.sum)/mostPoints, 1)
	for i, e := range f.all {
		if e.Weight <= 0 {
			continue
		}
		at := HashOf(e.Address)
		for k := range max(1, e.Weight/divisor) * pointsEach {
			h.points = append(h.points, point{mix(at + uint64(k)*golden), int32(i)})
		}
	}
	slices.SortFunc(h.points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	h.divide()
	return h
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// divide notes where each part of the circle begins.
func (h *hashed) divide() {
	width := bits.Len(uint(max(len(h.points), 1)))
	h.shift = 64 - width
	h.from = make([]int32, 1<<width)
	next := 0
	for part := range h.from {
		for next < len(h.points) && h.points[next].at < uint64(part)<<h.shift {
			next++
		}
		h.from[part] = int32(next)
	}
}

// Pick implements Picker.
func (h hashed) Pick(a Ask) (int, int64) {
	switch {
	case !a.Keyed:
		return h.other.Pick(a)
	case len(h.points) == 0:
		return -1, 0
	}
	var passed [tries]int32
	last, most := 0, h.most()
	for try := range min(tries, h.every.n) {
		last = h.nearest(a.Key, passed[:try])
		i := int(h.points[last].owner)
		if h.takes(&a, i, most) && h.keyWarmed(&a, i) {
			return i, h.boundOf(i, most)
		}
		passed[try] = int32(i)
	}
	for k := range h.points {
		if i := int(h.points[(last+k)%len(h.points)].owner); h.takes(&a, i, most) {
			return i, h.boundOf(i, most)
		}
	}
	return -1, 0
}

// nearest returns the point that comes soonest after any of the key's places, as if the endpoints in passed did not
// exist: their keys go where they would go without them.
func (h *hashed) nearest(key uint64, passed []int32) int {
	best, least := 0, uint64(math.MaxUint64)
	for range probes {
		at := mix(key)
		key += golden
		i := h.after(at)
		for slices.Contains(passed, h.points[i].owner) { // there are more owners than passed holds
			i = h.following(i)
		}
		if away := h.points[i].at - at; away < least {
			best, least = i, away
		}
	}
	return best
}

// following returns the next point of the circle.
func (h *hashed) following(i int) int {
	if i++; i == len(h.points) {
		return 0
	}
	return i
}

// after returns the first point at or after a place.
func (h *hashed) after(at uint64) int {
	i := int(h.from[at>>h.shift])
	for i < len(h.points) && h.points[i].at < at {
		i++
	}
	if i == len(h.points) {
		return 0
	}
	return i
}

// most returns how many requests an endpoint may have in flight per unit of weight, given all requests in flight
// including this one; 0: any number.
func (h *hashed) most() float64 { return h.bound * float64(h.pool.active.Load()) / h.sum }

// boundOf returns how many requests an endpoint may have in flight; 0: any number.
func (h *hashed) boundOf(i int, most float64) int64 {
	if h.bound == 0 {
		return 0
	}
	return max(few, int64(math.Ceil(most*float64(h.all[i].Weight))))
}

// takes reports whether an endpoint may be asked and is below its bound.
func (h *hashed) takes(a *Ask, i int, most float64) bool {
	return h.may(a, i) && (h.bound == 0 || h.all[i].State.active.Load() < h.boundOf(i, most))
}

// keyWarmed lets an endpoint in slow start get its keys one after the other. The key decides when, so that each key
// moves once.
func (h *hashed) keyWarmed(a *Ask, i int) bool {
	started := h.started(a.Now, i)
	return started == 1 || unit(mix(a.Key+golden)) < started
}

const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, made odd

// mix spreads a number over all bits (the final step of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit turns a random number into one in [0, 1).
func unit(random uint64) float64 { return float64(random>>11) / (1 << 53) }

// HashOf turns a text into an Ask.Key: FNV-1a, mixed. It has no seed, so that every replica of the gateway leads a key
// to the same endpoint.
func HashOf(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return mix(h)
}

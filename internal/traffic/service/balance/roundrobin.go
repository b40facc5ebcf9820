package balance

import "slices"

// roundRobin asks one endpoint after the other, each as often as its weight says, and evenly: an endpoint of weight 5
// among 7 does not come five times in a row.
type roundRobin struct {
	*field

	every, near turns
}

// Pick implements Picker.
func (p roundRobin) Pick(a Ask) (int, int64) {
	order := &p.every
	if p.field.near.n > 0 {
		order = &p.near
	}
	if order.n == 0 {
		return -1, 0
	}
	place := 0
	for range draws {
		place = order.at(p.pool.turn.Add(1))
		if p.may(&a, place) && p.warmed(&a, place) {
			return p.spilled(&a, place), 0
		}
	}
	return p.first(&a, place), 0
}

// turns says whose turn it is. Only the number of the turn is counted, so that no request waits for a lock.
type turns struct {
	lots

	// upTo holds the cumulative weights, as parts of 2^64; nil: all weights are equal.
	upTo []uint64
}

func newTurns(l lots, all []Endpoint) turns {
	t := turns{lots: l}
	if l.keep == nil {
		return t
	}
	sum, whole := 0.0, 0.0
	for c := range l.n {
		whole += float64(all[l.place(c)].Weight)
	}
	for c := range l.n {
		sum += float64(all[l.place(c)].Weight)
		t.upTo = append(t.upTo, uint64(min(sum/whole*(1<<64), 1<<64-1<<11))) // the largest float64 below 2^64
	}
	t.upTo[l.n-1] = 1<<64 - 1
	return t
}

// at returns the place whose turn it is. Multiples of the golden ratio divide the circle more evenly than those of any
// other number (Weyl; Knuth 6.4): the distances between an endpoint's turns take two or three values that are close
// together.
func (t *turns) at(turn uint64) int {
	if t.upTo == nil {
		return t.place(int(turn % uint64(t.n)))
	}
	c, _ := slices.BinarySearch(t.upTo, turn*golden)
	return t.place(c)
}

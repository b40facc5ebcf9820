package balance

// scanned is the largest number of endpoints that are all compared. Comparing all is best where few gateways ask few
// endpoints. With many endpoints, comparing two is as good, and keeps many gateways from all choosing the same one.
const scanned = 32

// cost is a way to compute what it costs to ask an endpoint that has `more` requests more than now.
type cost interface {
	of(f *field, now int64, i int, more int64) float64
}

// cheapest takes the endpoint whose turn it is by weight, unless another one is cheaper even though it is charged with
// the request that it would get and the first one is not. So an idle service shares requests exactly by weight, a
// canary of 1 % gets its 1 % under load too, and small differences change nothing while no request waits. An endpoint
// in another zone must be cheaper by the factor spill.
func cheapest[C cost](f *field, a *Ask, c C) (int, int64) {
	first := f.draw(a)
	if first < 0 || f.every.n < 2 {
		return first, 0
	}
	bound := c.of(f, a.Now, first, 0)
	if len(f.all) > scanned {
		return challenged(f, a, c, first, bound), 0
	}
	best := first
	for i := first + 1; i < len(f.all); i++ {
		best, bound = cheaper(f, a, c, i, first, best, bound)
	}
	for i := range first {
		best, bound = cheaper(f, a, c, i, first, best, bound)
	}
	return best, 0
}

// cheaper returns i and its cost if it costs less than best, which costs bound. Against the first endpoint an equal
// cost is enough.
func cheaper[C cost](f *field, a *Ask, c C, i, first, best int, bound float64) (int, float64) {
	if !f.may(a, i) {
		return best, bound
	}
	costs := c.of(f, a.Now, i, 1)
	if f.far(i) != f.far(first) && f.far(i) {
		costs *= spill
	}
	if costs < bound || costs == bound && best == first {
		return i, costs
	}
	return best, bound
}

// challenged compares the first endpoint with one more draw, and with one from all zones: the power of two choices
// (Mitzenmacher 2001).
func challenged[C cost](f *field, a *Ask, c C, first int, bound float64) int {
	best := first
	if i := f.draw(a); i >= 0 && i != first {
		best, bound = cheaper(f, a, c, i, first, best, bound)
	}
	if f.near.n > 0 {
		if i := f.every.draw(a.next()); i != first && i != best {
			best, _ = cheaper(f, a, c, i, first, best, bound)
		}
	}
	return best
}

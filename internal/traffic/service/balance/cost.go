package balance

// scanned is how many endpoints are all looked at. Looking at all is best where few
// gateways ask few endpoints; where many are asked, two are as good, and many gateways
// do not all run to the same one.
const scanned = 32

// cost tells what it costs to ask an endpoint that has so many requests more than now.
type cost interface {
	of(f *field, now int64, i int, more int64) float64
}

// cheapest takes the endpoint whose turn it is by weight, unless another one is cheaper,
// although it is charged with the request that it would get and the first one is not. So
// an idle service shares exactly by weight, a canary of 1 % gets its 1 % under load too,
// and small differences move nothing while nobody waits. An endpoint of another zone must
// be cheaper by spill.
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

// cheaper gives i where it costs less than best, which costs bound; as much is enough
// against the first one.
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

// challenged looks at one more, and at one of the other zones: the power of two choices
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

package balance

// leastRequests asks the endpoint with the fewest requests in flight, relative to its weight.
type leastRequests struct{ *field }

// Pick implements Picker.
func (p leastRequests) Pick(a Ask) (int, int64) { return cheapest(p.field, &a, byRequests{}) }

type byRequests struct{}

func (byRequests) of(f *field, now int64, i int, more int64) float64 { return f.requests(now, i, more) }

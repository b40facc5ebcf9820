package balance

// peakEWMA asks the endpoint that is likely to answer first: the recent latency (which follows an increase at once and
// a decrease slowly), times the number of requests that would be in front. A failure counts as a long latency, because
// an endpoint that fails at once would otherwise look like the fastest, and get everything. This is the algorithm of
// Finagle and Linkerd, except for the failures.
type peakEWMA struct{ *field }

// Pick implements Picker.
func (p peakEWMA) Pick(a Ask) (int, int64) { return cheapest(p.field, &a, byLatency{}) }

type byLatency struct{}

func (byLatency) of(f *field, now int64, i int, more int64) float64 {
	usual := f.pool.usual.seen()
	return float64(f.all[i].State.latency.at(now, usual)) * (1 + f.requests(now, i, more))
}

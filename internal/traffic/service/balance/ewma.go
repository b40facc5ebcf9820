package balance

// peakEWMA asks who is likely to answer first: latency as it was seen last (at once where
// it grew, slowly where it fell), times the requests that would be in front. A failure counts
// as a long latency, for who fails at once would else look like the fastest of all, and get
// everything. As in Finagle and Linkerd, but for the failures.
type peakEWMA struct{ *field }

// Pick implements Picker.
func (p peakEWMA) Pick(a Ask) (int, int64) { return cheapest(p.field, &a, byLatency{}) }

type byLatency struct{}

func (byLatency) of(f *field, now int64, i int, more int64) float64 {
	usual := f.pool.usual.seen()
	return float64(f.all[i].State.latency.at(now, usual)) * (1 + f.requests(now, i, more))
}

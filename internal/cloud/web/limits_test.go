package web

import (
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits   Limits
		mistakes int
		most     int
	}{
		"nothing is said": {DefaultLimits(), 0, MostAtOnce},
		"some":            {Limits{Concurrency: 5, Queue: 0, Wait: time.Second}, 0, 5},
		"all are wrong":   {Limits{Concurrency: -1, Queue: MostInQueue + 1}, 3, -1},
		"too many":        {Limits{Concurrency: MostAtOnce + 1, Wait: 1}, 1, MostAtOnce + 1},
	} {
		got := test.limits.Mistakes()
		bounds := test.limits.Bounds(time.Minute)
		if len(got) != test.mistakes || bounds.Timeout != time.Minute || bounds.Pool.Max != test.most {
			t.Errorf("%s: %v, %+v", name, got, bounds)
		}
	}
}

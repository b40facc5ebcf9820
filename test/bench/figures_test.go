package main

import (
	"slices"
	"testing"
)

func TestMiddleAndInterval(t *testing.T) {
	for _, c := range []struct {
		of                []float64
		middle, low, high float64
	}{
		{[]float64{3}, 3, 3, 3},
		{[]float64{4, 2}, 3, 2, 4},
		{[]float64{3, 1, 2}, 2, 1, 3},
		{[]float64{5, 3, 1, 2, 4}, 3, 1, 5},            // with a probability of 0.94
		{[]float64{8, 7, 6, 5, 4, 3, 2, 1}, 4.5, 2, 7}, // with 0.93; without the outer two it would be 0.71
		{oneTo(20), 10.5, 6, 15},                       // with 0.96
	} {
		low, high := interval(c.of)
		if m := middle(c.of); m != c.middle || low != c.low || high != c.high {
			t.Errorf("%v: %v (%v to %v), want %v (%v to %v)", c.of, m, low, high, c.middle, c.low, c.high)
		}
	}
}

func oneTo(n int) (all []float64) {
	for i := range n {
		all = append(all, float64(i+1))
	}
	return all
}

func TestRatiosAreThoseOfRounds(t *testing.T) {
	if got := ratios([]float64{2, 6, 9}, []float64{1, 2}); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("got %v", got)
	}
}

package service

import (
	"fmt"
	"math"
	"testing"

	"github.com/weir-gateway/weir/internal/discovery"
)

func weighted(weights ...int) *set {
	var list []discovery.Endpoint
	for i, w := range weights {
		list = append(list, discovery.Endpoint{Address: fmt.Sprintf("e%d:1", i), Weight: w})
	}
	return newSet(list, nil)
}

func TestAnIdleServiceSharesByWeight(t *testing.T) {
	const picks = 100_000
	for _, weights := range [][]int{{1}, {1, 1}, {1, 1, 1, 1}, {1, 99}, {3, 0, 1}, {1, 2, 3, 4}} {
		s := weighted(weights...)
		sum := 0
		for _, w := range weights {
			sum += w
		}
		counts := make(map[string]int)
		for range picks {
			counts[s.picker.pick(nil).Address]++
		}
		for i, w := range weights {
			got, want := float64(counts[s.endpoints[i].Address]), picks*float64(w)/float64(sum)
			if math.Abs(got-want) > 6*math.Sqrt(want)+1 {
				t.Errorf("weights %v: endpoint %d got %v picks, not about %v", weights, i, got, want)
			}
		}
	}
}

// Endpoints whose requests take their time get fewer of them: none is ever more
// than a little ahead of the others, relative to its weight.
func TestTheLessBusyOfTwoIsTaken(t *testing.T) {
	for _, weights := range [][]int{{1, 1}, {1, 1, 1, 1, 1}, {1, 3}} {
		s := weighted(weights...)
		for range 10_000 {
			s.picker.pick(nil).state.active.Add(1)
		}
		least, most := math.Inf(1), 0.0
		for _, e := range s.endpoints {
			load := float64(e.state.active.Load()) / float64(e.Weight)
			least, most = min(least, load), max(most, load)
		}
		if most > least*1.01+2 {
			t.Errorf("weights %v: loads from %v to %v", weights, least, most)
		}
	}
}

func TestAnotherEndpointIsTakenWhereThereIsOne(t *testing.T) {
	s := weighted(1, 5, 0, 2)
	tried := []string{s.endpoints[0].Address, s.endpoints[3].Address}
	for range 1000 {
		if e := s.picker.pick(tried); e != &s.endpoints[1] {
			t.Fatalf("picked %s", e.Address)
		}
	}
	tried = append(tried, s.endpoints[1].Address)
	if e := s.picker.pick(tried); e == nil || e.Weight == 0 {
		t.Errorf("%v where all were tried", e)
	}
	if e := weighted(0, 0).picker.pick(nil); e != nil {
		t.Errorf("%s has no weight", e.Address)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1}, {1, 2, 3}} {
		s := weighted(weights...)
		if n := testing.AllocsPerRun(1000, func() { s.picker.pick(nil) }); n != 0 {
			t.Errorf("weights %v: %v allocations", weights, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for name, s := range map[string]*set{"equal weights": weighted(make100(1)...), "unequal weights": weighted(append(make100(2), 1)...)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.picker.pick(nil)
			}
		})
	}
}

func make100(weight int) []int {
	weights := make([]int, 100)
	for i := range weights {
		weights[i] = weight
	}
	return weights
}

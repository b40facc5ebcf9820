package service

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/weir-gateway/weir/internal/discovery"
)

// BenchmarkOneOfManyEndpointsIsReplaced measures a new set of 20,000 endpoints of which one is new. That is how many
// pods a service has in the largest clusters. What has not changed is not computed again.
func BenchmarkOneOfManyEndpointsIsReplaced(b *testing.B) {
	lists := [2][]discovery.Endpoint{}
	for i := range 20_000 {
		e := discovery.Endpoint{ID: fmt.Sprintf("5d1c9f0e-0000-0000-0000-%012d", i), Address: fmt.Sprintf("10.%d.%d.1:8080", i/250, i%250), Weight: 1}
		lists[0], lists[1] = append(lists[0], e), append(lists[1], e)
	}
	lists[1][7_000].ID = "another"
	b.Run("arrange", func(b *testing.B) {
		all, turn := arrange(lists[0], nil, 1), uint64(1)
		b.ReportAllocs()
		for b.Loop() {
			turn++
			all = arrange(lists[turn%2], all, turn)
		}
	})
	b.Run("set", func(b *testing.B) {
		s, n := New(Options{Log: slog.New(slog.DiscardHandler)}), 0
		b.ReportAllocs()
		for b.Loop() {
			s.Set(lists[n%2])
			n++
		}
	})
}

func TestOnlyWhatIsNewIsWorkedOut(t *testing.T) {
	list := []discovery.Endpoint{{ID: "1", Address: "a:1"}, {ID: "2", Address: "b:1"}, {ID: "3", Address: "c:1"}}
	before := arrange(list, nil, 1)
	for name, c := range map[string]struct {
		list []discovery.Endpoint
		from []int // indexes in before of the endpoints whose states these share; -1: none
	}{
		"the same":           {list, []int{0, 1, 2}},
		"another order":      {[]discovery.Endpoint{list[2], list[0], list[1]}, []int{2, 0, 1}},
		"one is replaced":    {[]discovery.Endpoint{list[0], {ID: "4", Address: "b:1"}, list[2]}, []int{0, -1, 2}},
		"one is gone":        {[]discovery.Endpoint{list[1], list[2]}, []int{1, 2}},
		"an old one twice":   {[]discovery.Endpoint{list[0], list[1], list[0], list[2]}, []int{0, 1, 2}},
		"a new one twice":    {[]discovery.Endpoint{{Address: "d:1"}, list[0], {Address: "d:1"}}, []int{-1, 0}},
		"another second way": {[]discovery.Endpoint{{ID: "1", Address: "a:1", Fallback: "z:1"}}, []int{0}},
	} {
		after := arrange(c.list, before, 2)
		for i := range before {
			before[i].state.turn = 1
		}
		if len(after) != len(c.from) {
			t.Errorf("%s: %d endpoints, want %d", name, len(after), len(c.from))
			continue
		}
		for i, from := range c.from {
			switch e := &after[i]; {
			case from < 0 && (e.state == before[0].state || e.state == before[1].state || e.state == before[2].state):
				t.Errorf("%s: %s has the state of another one", name, e.Address)
			case from >= 0 && e.state != before[from].state:
				t.Errorf("%s: %s has not its state of before", name, e.Address)
			case from >= 0 && (e.host == before[from].host) != (e.Fallback == before[from].Fallback):
				t.Errorf("%s: %s is called as %s, before as %s", name, e.Address, e.host, before[from].host)
			}
		}
	}
}

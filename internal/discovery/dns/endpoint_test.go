package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// TestWays shows which address of a name is an endpoint, and by which other one it is reached
// where that fails.
func TestWays(t *testing.T) {
	for _, c := range []struct {
		addrs string
		noWay string // addresses that begin so cannot be reached from here
		want  string
	}{
		{"", "", ""},
		{"10.0.0.2 10.0.0.1 10.0.0.2", "", "10.0.0.1 10.0.0.2"},
		{"2001:db8::2 2001:db8::1", "", "2001:db8::1 2001:db8::2"},
		{"10.0.0.1 2001:db8::1", "", "2001:db8::1|10.0.0.1"},
		{"10.0.0.1 2001:db8::1", "2", "10.0.0.1"},
		{"10.0.0.1 2001:db8::1", "1", "2001:db8::1"},
		{"10.0.0.1 2001:db8::1", "any", "2001:db8::1|10.0.0.1"},
		{"2001:db8::1", "2", "2001:db8::1"}, // it may be another way soon
		{"10.0.0.1 fd00::1", "", "10.0.0.1|fd00::1"},
		{"10.0.0.1 2002::1 2001::1", "", "10.0.0.1|2001::1"},
		{"127.0.0.1 ::1", "", "127.0.0.1|::1"},
		{"10.0.0.1 10.0.0.2 10.0.0.3 2001:db8::1 2001:db8::2", "", "2001:db8::1|10.0.0.1 2001:db8::2|10.0.0.2"},
		{"10.0.0.1 2001:db8::1 2001:db8::2 2001:db8::3", "", "2001:db8::1|10.0.0.1 2001:db8::2|10.0.0.1 2001:db8::3|10.0.0.1"},
	} {
		var addrs []netip.Addr
		for text := range strings.FieldsSeq(c.addrs) {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		var got []string
		for _, w := range ways(addrs, func(a netip.Addr) bool {
			return c.noWay == "" || c.noWay != "any" && !strings.HasPrefix(a.String(), c.noWay)
		}) {
			text := w.first.String()
			if w.other.IsValid() {
				text += "|" + w.other.String()
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s, no way to %q: got %s, want %s", c.addrs, c.noWay, text, c.want)
		}
	}
}

func TestWeightsOfTargets(t *testing.T) {
	for _, c := range []struct {
		weights, addresses []int
		want               string
	}{
		{[]int{1}, []int{3}, "[1]"},
		{[]int{1, 1}, []int{1, 1}, "[1 1]"},
		{[]int{5, 10}, []int{1, 1}, "[5 10]"},
		{[]int{3, 1}, []int{3, 1}, "[1 1]"},
		{[]int{1, 1}, []int{4, 1}, "[1 4]"},
		{[]int{1, 0}, []int{2, 2}, "[1 0]"},
		{[]int{0, 0}, []int{2, 3}, "[0 0]"},
		{[]int{1, 1}, []int{0, 2}, "[2 1]"},
		{[]int{65535, 1}, []int{1, 1024}, "[1000000 1]"},
		{[]int{1000000, 1000000}, []int{1021, 1019}, "[998041 1000000]"},
	} {
		var list []placed
		var roads [][]way
		for i, w := range c.weights {
			list = append(list, placed{target: target{weight: w}})
			roads = append(roads, make([]way, c.addresses[i]))
		}
		if got := fmt.Sprint(sharedWeights(list, roads)); got != c.want {
			t.Errorf("%v with %v addresses: got %s, want %s", c.weights, c.addresses, got, c.want)
		}
	}
}

func TestTargetsOfRecords(t *testing.T) {
	var got []string
	for _, g := range targetsOf([]record{
		{"b.", 80, 20, 0}, {"a.", 80, 20, 3}, {"c.", 81, 10, 7}, {"c.", 80, 10, 7}, {"c.", 80, 10, 9}, {"d.", 80, 30, 0}, {"e.", 80, 30, 0},
	}, "users") {
		for _, t := range g {
			got = append(got, fmt.Sprintf("%s%d*%d", t.host, t.port, t.weight))
		}
		got = append(got, "then")
	}
	if text := strings.Join(got, " "); text != "c.80*9 c.81*7 then a.80*300 b.80*1 then d.80*1 e.80*1 then" {
		t.Errorf("got %s", text)
	}
	if got := targetsOf(nil, ""); got != nil {
		t.Errorf("got %v", got)
	}
}

package exchange_test

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

func TestCopyHeadSharesNothingThatAnAddWouldShow(t *testing.T) {
	src := http.Header{"A": append(make([]string, 0, 4), "1"), "B": {"2"}, "Empty": nil}
	dst := http.Header{"A": {"0"}}
	exchange.CopyHead(exchange.MapHead(dst), exchange.MapHead(src), func(name string) bool { return name != "B" })
	want := http.Header{"A": {"0", "1"}}
	if !maps.EqualFunc(dst, want, slices.Equal) {
		t.Errorf("%v, not %v", dst, want)
	}
	other := http.Header{}
	exchange.CopyHead(exchange.MapHead(other), exchange.MapHead(src), func(string) bool { return true })
	other.Add("A", "added")
	src.Add("A", "later")
	if got := other["A"]; !slices.Equal(got, []string{"1", "added"}) {
		t.Errorf("A is %q: the two share their room", got)
	}
}

// orderedHead is a Head that is no map, as an engine of our own has one.
type orderedHead struct{ lines []exchange.Field }

func (h *orderedHead) at(name string) int {
	return slices.IndexFunc(h.lines, func(f exchange.Field) bool { return strings.EqualFold(f.Name, name) })
}

func (h *orderedHead) Get(name string) string {
	if i := h.at(name); i >= 0 {
		return h.lines[i].Value
	}
	return ""
}

func (h *orderedHead) Values(name string) (values []string) {
	for _, f := range h.lines {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}
func (h *orderedHead) Set(name, value string) { h.Del(name); h.Add(name, value) }
func (h *orderedHead) Add(name, value string) {
	h.lines = append(h.lines, exchange.Field{Name: name, Value: value})
}

func (h *orderedHead) Del(name string) {
	h.lines = slices.DeleteFunc(slices.Clone(h.lines), func(f exchange.Field) bool { return strings.EqualFold(f.Name, name) })
}

func (h *orderedHead) All() iter.Seq2[string, string] {
	lines := h.lines
	return func(yield func(string, string) bool) {
		for _, f := range lines {
			if !yield(f.Name, f.Value) {
				return
			}
		}
	}
}

func TestEveryHeadSetsAndDeletesSeveralFieldsAlike(t *testing.T) {
	for name, head := range map[string]exchange.Head{"a map": exchange.MapHead(http.Header{}), "another": &orderedHead{}} {
		t.Run(name, func(t *testing.T) {
			head.Add("X-A", "old")
			head.Add("X-A", "older")
			head.Add("x-odd", "1")
			exchange.SetFields(head, exchange.Field{Name: "x-a", Value: "1"}, exchange.Field{Name: "X-B", Value: "2"})
			head.Add("X-A", "added")
			exchange.DelFields(head, func(name string) bool { return strings.EqualFold(name, "x-odd") })
			if a, b := head.Values("X-A"), head.Values("X-B"); !slices.Equal(a, []string{"1", "added"}) || !slices.Equal(b, []string{"2"}) || head.Get("X-Odd") != "" {
				t.Errorf("got %q, %q and %q", a, b, head.Get("X-Odd"))
			}
		})
	}
}

package exchange_test

import (
	"maps"
	"net/http"
	"slices"
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

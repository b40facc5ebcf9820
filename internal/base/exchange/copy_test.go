package exchange_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// A map has another order each time; the lines that are made of it have not.
func TestLinesOfAMapAreInTheOrderOfTheAlphabet(t *testing.T) {
	from := exchange.MapHead(http.Header{"Set-Cookie": {"b", "a"}, "Content-Type": {"text/plain"}, "X-A": {"1"}, "Etag": {`"1"`}, "Age": {"2"}})
	want := []string{"Age: 2", "Content-Type: text/plain", `Etag: "1"`, "Set-Cookie: b", "Set-Cookie: a"}
	for range 20 {
		to := exchange.MapHead(exchange.Ordered())
		exchange.CopyHead(to, from, func(name string, _ field.Known) bool { return name != "X-A" })
		var got []string
		for name, value := range to.All() {
			got = append(got, name+": "+value)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

package compose_test

import (
	"net/http"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// merged is the most common kind of composition: the answers of some backends, each under its name.
const merged = `  GET /home/{user}:
    compose:
      profile: http://users/{user}
      orders: http://shop/orders
      offers: http://shop/offers
`

// TestACompositionAllocatesWithinItsBudget counts what three steps allocate beyond their backends.
func TestACompositionAllocatesWithinItsBudget(t *testing.T) {
	const document = `{"name": "n", "items": [{"id": 9007199254740993}, {"id": 2}]}`
	w := world{"users": says(http.StatusOK, document), "shop": says(http.StatusOK, document)}
	for name, c := range map[string]struct {
		made http.RoundTripper
		most float64
	}{
		"merged":                               {w.route(t, merged), 48},
		"two levels, with values of the first": {threeSteps(t), 57},
	} {
		r := request(http.MethodGet, "/home/7", "")
		r.Header = exchange.Ordered("Accept", "*/*") // as our own engine keeps heads
		all := testing.AllocsPerRun(200, func() {
			exchange.Of(r).Attempts = nil
			res, err := c.made.RoundTrip(r)
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatal(res, err)
			}
			_ = res.Body.Close()
		})
		calls := testing.AllocsPerRun(200, func() {
			for range 3 {
				_, _ = w["shop"](r)
			}
		})
		if n := all - calls; n > c.most+instrumented {
			t.Errorf("%s: %.0f allocations, not %.0f at most", name, n, c.most)
		}
	}
}

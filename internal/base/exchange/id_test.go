package exchange_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// Ids of an exchange that is used again share memory. Each must stay as it is, because a log may still have it.
func TestIDsStayWhenTheirExchangeIsUsedAgain(t *testing.T) {
	const requests = 30
	var ids, lines []string
	were := map[string]bool{}
	c := new(exchange.RequestContext)
	for n := range uint64(requests) {
		c.Again(t.Context())
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(c)
		x := exchange.New(r)
		exchange.Begin(httptest.NewRecorder(), r, x)
		x.NewID(n, n<<8|0xfedcba9876543210)
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(x.ID) {
			t.Fatalf("an id is %q", x.ID)
		}
		ids, lines = append(ids, x.ID), append(lines, must(x.IDLine().Wire()))
		were[strings.Clone(x.ID)] = true
		x.Alone()
		x.Forgo()
		if c.Cancel(nil); !c.Leave() {
			if !poison.On {
				t.Fatal("the exchange is not used again")
			}
			c = new(exchange.RequestContext)
		}
	}
	if len(were) != requests {
		t.Errorf("%d requests have %d ids", requests, len(were))
	}
	for i, id := range ids {
		if want := "X-Request-Id: " + id + "\r\n"; !were[id] || lines[i] != want {
			t.Errorf("id %d is %q now, and its line %q", i, id, lines[i])
		}
	}
}

func must(wire string, ok bool) string {
	if !ok {
		return "a line that may not be sent"
	}
	return wire
}

func TestFewIDsAreAllocated(t *testing.T) {
	c := new(exchange.RequestContext)
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(c)
	w, ctx := httptest.NewRecorder(), t.Context()
	serve := func() {
		c.Again(ctx)
		x := exchange.New(r)
		exchange.Begin(w, r, x)
		x.NewID(1, 2)
		x.Alone()
		x.Forgo()
		c.Cancel(nil)
		c.Leave()
	}
	if got := testing.AllocsPerRun(1000, serve); got > 0 && !poison.On { // it is rounded down
		t.Errorf("a request allocates %v times", got)
	}
}

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

// manyIDs calls each with the exchanges of some requests that have the same context one after another.
func manyIDs(t *testing.T, each func(x *exchange.Exchange, n uint64)) {
	t.Helper()
	const requests = 30
	c := new(exchange.RequestContext)
	for n := range uint64(requests) {
		c.Again(t.Context())
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(c)
		x := exchange.New(r)
		exchange.Begin(httptest.NewRecorder(), r, x)
		each(x, n)
		x.Alone()
		x.Forgo()
		if c.Cancel(nil); !c.Leave() {
			if !poison.On {
				t.Fatal("the exchange is not used again")
			}
			c = new(exchange.RequestContext)
		}
	}
}

// wire returns a line as it is sent.
func wire(t *testing.T, x *exchange.Exchange) string {
	t.Helper()
	line, ok := x.IDLine().Wire()
	if !ok {
		t.Fatalf("the line %q may not be sent", line)
	}
	return line
}

// A log may still have an id when its exchange is used again.
func TestIDsStayWhenTheirExchangeIsUsedAgain(t *testing.T) {
	isID := regexp.MustCompile(`^[0-9a-f]{32}$`)
	var ids, lines, were []string
	manyIDs(t, func(x *exchange.Exchange, n uint64) {
		if id := x.RequestID(); !isID.MatchString(id) || id != x.RequestID() {
			t.Fatalf("an id is %q, and then %q", id, x.RequestID())
		}
		ids, lines, were = append(ids, x.ID), append(lines, wire(t, x)), append(were, strings.Clone(x.ID))
	})
	for i, was := range were {
		if want := "X-Request-Id: " + was + "\r\n"; ids[i] != was || lines[i] != want {
			t.Errorf("id %d was %q, is %q now, and its line %q", i, was, ids[i], lines[i])
		}
	}
}

func TestACopyOfAnExchangeHasIDsOfItsOwn(t *testing.T) {
	manyIDs(t, func(x *exchange.Exchange, n uint64) {
		var branch exchange.Exchange
		x.Branch(&branch)
		if branch.ID != x.ID || branch.IDLine() != x.IDLine() {
			t.Errorf("a branch of %q is %q", x.ID, branch.ID)
		}
		x.ID, branch.ID = "", "" // each makes another one
		was := strings.Clone(branch.RequestID())
		if x.RequestID() == was || branch.RequestID() != was {
			t.Errorf("the id of a branch was %q and is %q", was, branch.ID)
		}
	})
}

func TestFewIDsAreAllocated(t *testing.T) {
	c := new(exchange.RequestContext)
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody).WithContext(c)
	w, ctx := httptest.NewRecorder(), t.Context()
	serve := func() {
		c.Again(ctx)
		x := exchange.New(r)
		exchange.Begin(w, r, x)
		x.RequestID()
		x.Alone()
		x.Forgo()
		c.Cancel(nil)
		c.Leave()
	}
	if got := testing.AllocsPerRun(1000, serve); got > 0 && !poison.On { // it is rounded down
		t.Errorf("a request allocates %v times", got)
	}
}

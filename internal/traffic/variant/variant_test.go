package variant_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/traffic/variant"
)

func request(t *testing.T, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return exchange.With(r, &exchange.Exchange{})
}

func headerIs(name, value string) func(*http.Request) (bool, error) {
	return func(r *http.Request) (bool, error) { return r.Header.Get(name) == value, nil }
}

func TestFirstConditionThatHoldsWinsBeforeAnyWeight(t *testing.T) {
	c := variant.New([]variant.Variant{
		{Name: "plain", Weight: 100},
		{Name: "beta", When: headerIs("x-beta", "1")},
		{Name: "also", When: headerIs("x-beta", "1")},
	}, nil)
	for header, want := range map[string]string{"1": "beta", "0": "plain"} {
		v, err := c.Pick(request(t, "x-beta", header))
		if err != nil || v.Name != want {
			t.Errorf("x-beta %s: got %v, %v, want %s", header, v, err, want)
		}
	}
}

func TestConditionThatFailsIsAnErrorAndNotASkip(t *testing.T) {
	broken := errors.New("no such overload")
	c := variant.New([]variant.Variant{
		{Name: "plain", Weight: 100},
		{Name: "safe", When: func(*http.Request) (bool, error) { return false, broken }},
	}, nil)
	body := &closeCounter{Reader: strings.NewReader("x")}
	r := request(t)
	r.Body = body
	_, err := c.RoundTrip(r) //nolint:bodyclose // there is no response
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != fault.RouteBroken.Code || !errors.Is(err, broken) {
		t.Fatalf("got %v, want a route-broken fault around the condition's error", err)
	}
	if body.closed != 1 {
		t.Errorf("request body closed %d times, want once", body.closed)
	}
}

func TestConditionThatTellsWhatTheClientDidWrongIsAnsweredSo(t *testing.T) {
	wrong := fault.MalformedRequest.New("The query is ambiguous.")
	c := variant.New([]variant.Variant{
		{Name: "plain", Weight: 100},
		{Name: "safe", When: func(*http.Request) (bool, error) { return false, fmt.Errorf("when: %w", wrong) }},
	}, nil)
	_, err := c.RoundTrip(request(t)) //nolint:bodyclose // there is no response
	if f := fault.From(err); f.Code != fault.MalformedRequest.Code || f.Status != http.StatusBadRequest {
		t.Errorf("got %v, want the fault of the condition", err)
	}
}

func TestSharesAreKeptWithinChance(t *testing.T) {
	c := variant.New([]variant.Variant{{Name: "next", Weight: 5}, {Name: "off", Weight: 0}, {Name: "live", Weight: 95}}, nil)
	const n = 20_000
	got := map[string]int{}
	r := request(t)
	for range n {
		v, err := c.Pick(r)
		if err != nil {
			t.Fatal(err)
		}
		got[v.Name]++
	}
	// five standard deviations of a binomial distribution: a false alarm once in millions of runs
	if off := math.Abs(float64(got["next"]) - n*0.05); off > 5*math.Sqrt(n*0.05*0.95) || got["off"] != 0 {
		t.Errorf("got %v of %d, want 5%% next, none off", got, n)
	}
}

func TestStickyKeyKeepsItsShareAndKeysSpread(t *testing.T) {
	key := func(r *http.Request) (string, error) { return r.Header.Get("x-user"), nil }
	variants := []variant.Variant{{Name: "next", Weight: 20}, {Name: "live", Weight: 80}}
	c, again := variant.New(variants, key), variant.New(variants, key)
	next := 0
	for i := range 5000 {
		r := request(t, "x-user", "user-"+strconv.Itoa(i))
		first, _ := c.Pick(r)
		second, _ := again.Pick(r)
		if first.Name != second.Name {
			t.Fatalf("user %d moved from %s to %s", i, first.Name, second.Name)
		}
		if first.Name == "next" {
			next++
		}
	}
	if next < 800 || next > 1200 {
		t.Errorf("%d of 5000 keys on a share of 20%%", next)
	}
}

func TestNoVariantLeftIsAClearFault(t *testing.T) {
	c := variant.New([]variant.Variant{{Name: "never", Weight: 0}, {Name: "beta", When: headerIs("x-beta", "1")}}, nil)
	if _, err := c.Pick(request(t)); fault.From(err).Status != http.StatusInternalServerError {
		t.Errorf("got %v, want a 500", err)
	}
}

// anonymous is a backend that does not tell the exchange its name.
type anonymous struct{}

func (anonymous) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{Status: exchange.Of(r).Backend, Body: http.NoBody}, nil
}

// named is a backend that names itself to the exchange when it wants to.
type named struct{ anonymous }

func (named) NamesBackend() {}

func TestTheExchangeIsToldWhichVariantUnlessThatDoesSoItself(t *testing.T) {
	for _, c := range []struct {
		backend http.RoundTripper
		want    string
	}{{anonymous{}, "one"}, {named{}, ""}} {
		res, err := variant.New([]variant.Variant{{Name: "one", Weight: 1, Backend: c.backend}}, nil).RoundTrip(request(t))
		if err != nil || res.Status != c.want {
			t.Errorf("%T: the backend is called %v, %v, want %q", c.backend, res, err, c.want)
		}
		_ = res.Body.Close()
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func BenchmarkPick(b *testing.B) {
	c := variant.New([]variant.Variant{{Name: "next", Weight: 5}, {Name: "live", Weight: 95}},
		func(r *http.Request) (string, error) { return r.Host, nil })
	r := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Pick(r); err != nil {
			b.Fatal(err)
		}
	}
}

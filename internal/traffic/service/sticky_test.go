package service_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// browse sends a request with a cookie through the whole exchange, and returns which endpoint answered and which
// cookie was set.
func browse(t *testing.T, s http.RoundTripper, cookie string) (endpoint, set string) {
	t.Helper()
	var kept string
	w := exchange.Printing(&strings.Builder{}, func(_ int, head exchange.Head) { kept = head.Get("Set-Cookie") })
	req, _ := http.NewRequest(http.MethodGet, "http://users/", nil)
	if cookie != "" {
		req.Header.Set("Cookie", "theme=dark; "+cookie)
	}
	x := &exchange.Exchange{}
	writer, req := exchange.Begin(w, req, x)
	res, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	writer.WriteHeader(res.StatusCode)
	return x.Attempts[len(x.Attempts)-1].Endpoint, kept
}

func TestAClientKeepsItsEndpointByACookie(t *testing.T) {
	broken := ""
	by := service.Balance{
		Settings: balance.Settings{Way: balance.Random, Sticky: true},
		Cookie:   &service.Cookie{Name: "at", Attributes: "; Path=/; HttpOnly; Secure; SameSite=Lax"},
	}
	r := road(func(r *http.Request) (*http.Response, error) {
		if got := r.Header.Get("Cookie"); got != "" && got != "theme=dark" {
			t.Errorf("the endpoint is shown %q", got)
		}
		if r.URL.Host == broken {
			return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
		}
		return response(http.StatusOK, "ok"), nil
	})
	s := with(r, by, config.Retry{Attempts: 2}, "a:1", "b:1", "c:1", "d:1")
	first, set := browse(t, s, "")
	cookie, attributes, _ := strings.Cut(set, ";")
	if !strings.HasPrefix(cookie, "at=") || attributes != " Path=/; HttpOnly; Secure; SameSite=Lax" || strings.Contains(cookie, first) {
		t.Fatalf("%s set %q", first, set)
	}
	for range 50 {
		if again, set := browse(t, s, cookie); again != first || set != "" {
			t.Fatalf("%s, then %s, which set %q", first, again, set)
		}
	}
	s.Set(append(endpoints("x:1", "y:1"), discovery.Endpoint{Address: first, Weight: 1}))
	if again, set := browse(t, s, cookie); again != first || set != "" {
		t.Errorf("with another list: %s, then %s, which set %q", first, again, set)
	}
	broken = first
	if other, set := browse(t, s, cookie); other == first || set == "" {
		t.Errorf("it is broken: %s answered and set %q", other, set)
	}
	broken = ""
	s.Set(endpoints("x:1"))
	if other, set := browse(t, s, cookie); other != "x:1" || !strings.HasPrefix(set, "at=") || strings.HasPrefix(set, cookie+";") {
		t.Errorf("it is gone: %s answered and set %q", other, set)
	}
	for _, forged := range []string{"at=", "at=x:1", `at="` + strings.Repeat("x", 3000) + `"`} {
		if _, set := browse(t, s, forged); set == "" {
			t.Errorf("%q leads somewhere", forged)
		}
	}
}

// Time stands still in the test, because an endpoint that has failed is passed over for a tenth of a second.
func TestAKeyLeadsToTheSameEndpointAndFallsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		by := service.Balance{
			Settings: balance.Settings{Way: balance.Hash, Bound: 1.5},
			Key:      func(r *http.Request) (string, error) { return r.Header.Get("X-User"), nil },
		}
		broken := ""
		r := road(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == broken {
				return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
			}
			return response(http.StatusOK, "ok"), nil
		})
		s := with(r, by, config.Retry{Attempts: 2}, "a:1", "b:1", "c:1", "d:1")
		at := func(user string) string {
			req, x := request("GET", "")
			req.Header.Set("X-User", user)
			res, err := s.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			return x.Attempts[len(x.Attempts)-1].Endpoint
		}
		seen := map[string]bool{}
		for _, user := range []string{"ada", "bob", "eve", "joe", "kim", "leo", "mia", "tom"} {
			first := at(user)
			seen[first] = true
			for range 10 {
				if again := at(user); again != first {
					t.Fatalf("%s is led to %s, then to %s", user, first, again)
				}
			}
			broken = first
			other := at(user)
			if again := at(user); other == first || again != other {
				t.Errorf("%s falls over from %s to %s, then to %s", user, first, other, again)
			}
			broken = ""
		}
		if len(seen) < 2 {
			t.Errorf("all users are at %v", seen)
		}
		s = with(r, by, config.Retry{}, "a:1", "b:1", "c:1", "d:1") // no endpoint has failed in this one
		spread := map[string]bool{}
		for range 100 {
			spread[at("")] = true
		}
		if len(spread) < 2 {
			t.Errorf("who has no key is at %v", spread)
		}
	})
}

func TestHintsCountMoreThanZonesWhereAllHaveThem(t *testing.T) {
	near, far := discovery.Endpoint{Address: "near:1", Weight: 1, Zone: "a"}, discovery.Endpoint{Address: "far:1", Weight: 1, Zone: "b"}
	hinted := func(e discovery.Endpoint, zones string) discovery.Endpoint { e.Hints = zones; return e }
	onNode := func(e discovery.Endpoint, nodes string) discovery.Endpoint { e.NodeHints = nodes; return e }
	for name, c := range map[string]struct {
		endpoints []discovery.Endpoint
		local     []string
	}{
		"no hints":                        {[]discovery.Endpoint{near, far}, []string{"near:1"}},
		"all have hints":                  {[]discovery.Endpoint{hinted(near, "b"), hinted(far, "b,a")}, []string{"far:1"}},
		"one has none":                    {[]discovery.Endpoint{near, hinted(far, "a")}, []string{"near:1"}},
		"none is for us":                  {[]discovery.Endpoint{hinted(near, "b"), hinted(far, "b")}, nil},
		"for nodes":                       {[]discovery.Endpoint{onNode(hinted(near, "a"), "n2"), onNode(hinted(far, "b"), "n1")}, []string{"far:1"}},
		"for nodes, one has none":         {[]discovery.Endpoint{hinted(near, "a"), onNode(hinted(far, "b"), "n1")}, []string{"near:1"}},
		"for nodes, none is ours":         {[]discovery.Endpoint{onNode(hinted(near, "a"), "n2,n3"), onNode(hinted(far, "b"), "n3")}, []string{"near:1"}},
		"for nodes, none is ours or hint": {[]discovery.Endpoint{onNode(near, "n2"), onNode(far, "n3")}, []string{"near:1"}},
		"who is not asked has none": {[]discovery.Endpoint{
			hinted(near, "b"), hinted(far, "a"), {Address: "ends:1", Weight: 1, Zone: "a", Condition: discovery.Draining},
		}, []string{"far:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := with(road(func(*http.Request) (*http.Response, error) { return response(http.StatusOK, "ok"), nil }),
				service.Balance{Settings: balance.Settings{Way: balance.LeastRequests}, Zone: "a", Node: "n1"}, config.Retry{})
			s.Set(c.endpoints)
			asked := map[string]bool{}
			for range 200 {
				req, x := request("GET", "")
				res, err := s.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				asked[x.Attempts[0].Endpoint] = true
			}
			want := c.local
			if want == nil {
				want = []string{"near:1", "far:1"}
			}
			if got := slices.Sorted(maps.Keys(asked)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("%v were asked, want %v", got, want)
			}
			for _, e := range s.Status().Endpoints {
				if e.Asked && e.Local != slices.Contains(c.local, e.Address) {
					t.Errorf("%s: local is %v", e.Address, e.Local)
				}
			}
		})
	}
}

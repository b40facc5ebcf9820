package compose_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/compose"
)

// counted answers with the number of the call and the header fields head.
func counted(calls *atomic.Int32, head ...string) backend {
	return func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, 200, fmt.Sprintf(`{"n": %d}`, calls.Add(1)))
		for i := 0; i < len(head); i += 2 {
			exchange.ResponseHead(res).Add(head[i], head[i+1])
		}
		return res, err
	}
}

// cached is a composition of one step, with more beside its backend.
func cached(t *testing.T, b backend, more string) http.RoundTripper {
	t.Helper()
	return world{"a": b}.route(t, "  GET /home/{user}:\n    compose: { a: { to: 'http://a/x', "+more+" } }\n    return: =steps.a.body.n\n    timing: true\n")
}

// as makes a request of the caller subject.
func as(subject string) *http.Request {
	r := request(http.MethodGet, "/home/7", "")
	exchange.Of(r).Identity = &exchange.Identity{Method: "jwt", Issuer: "id", Subject: subject}
	return r
}

func TestAResultIsKeptForItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		c := cached(t, counted(&calls), "cache: 10s")
		for i, step := range []struct {
			wait   time.Duration
			want   string
			timing string
		}{{0, "1", "a;dur=0.0"}, {9 * time.Second, "1", "a;desc=cache;dur=0.0"}, {time.Second, "2", "a;dur=0.0"}} {
			<-time.After(step.wait)
			a := get(t, c)
			a.want(t, fmt.Sprint("call ", i), 200, step.want)
			if got := a.head.Get("Server-Timing"); got != step.timing {
				t.Errorf("call %d: timing %q", i, got)
			}
			if len(a.x.Attempts) != 1 || a.x.Attempts[0].Step != "a" || (a.x.Attempts[0].Endpoint == "cache") != (i == 1) {
				t.Errorf("call %d: attempts %+v", i, a.x.Attempts)
			}
		}
	})
}

func TestWhatTheStepSendsAndForWhomIsTheKey(t *testing.T) {
	const all = "query: { q: =query.q }, headers: { X-Tenant: \"=request.headers['x-tenant']\" }, cache: { ttl: 10s, shared: %v }"
	bob := as("bob")
	other := request(http.MethodGet, "/home/7", "")
	exchange.Of(other).Client.Host = "other.dev"
	for name, c := range map[string]struct {
		one, other *http.Request
		shared     bool
		calls      int32
	}{
		"the same":                {request("GET", "/home/7?q=1", ""), request("GET", "/home/7?q=1", ""), false, 1},
		"what is not sent":        {request("GET", "/home/7?q=1&x=1", "", "Cookie", "a"), request("GET", "/home/7?q=1", "", "Cookie", "b"), false, 1},
		"the client's wish":       {request("GET", "/home/7", ""), request("GET", "/home/7", "", "Cache-Control", "no-store, no-cache"), false, 1},
		"another query":           {request("GET", "/home/7?q=1", ""), request("GET", "/home/7?q=2", ""), false, 2},
		"another field":           {request("GET", "/home/7", "", "X-Tenant", "a"), request("GET", "/home/7", "", "X-Tenant", "b"), true, 2},
		"a field for a query":     {request("GET", "/home/7?q=X-Tenant", ""), request("GET", "/home/7", "", "X-Tenant", "X-Tenant"), true, 2},
		"another caller":          {as("ann"), bob, false, 2},
		"somebody and nobody":     {as("ann"), request("GET", "/home/7", ""), false, 2},
		"another host":            {other, request("GET", "/home/7", ""), false, 2},
		"another caller, shared":  {as("ann"), as("bob"), true, 1},
		"the same caller, nobody": {as("ann"), as("ann"), false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			made := cached(t, counted(&calls), fmt.Sprintf(all, c.shared))
			ask(t, made, c.one).want(t, "one", 200, "1")
			ask(t, made, c.other).want(t, "other", 200, fmt.Sprint(c.calls))
		})
	}
}

func TestAResponseCanSayLessThanTheConfig(t *testing.T) {
	for name, c := range map[string]struct {
		head   []string
		shared bool
		kept   time.Duration
	}{
		"nothing":             {nil, true, 10 * time.Second},
		"more":                {[]string{"Cache-Control", "max-age=60"}, true, 10 * time.Second},
		"less":                {[]string{"Cache-Control", "public, Max-Age=4"}, true, 4 * time.Second},
		"less of all":         {[]string{"Cache-Control", "max-age=9, s-maxage=3"}, false, 3 * time.Second},
		"its age":             {[]string{"Cache-Control", "max-age=9", "Age", "7"}, false, 2 * time.Second},
		"no longer":           {[]string{"Cache-Control", "max-age=9", "Age", "10"}, false, 0},
		"no number":           {[]string{"Cache-Control", "max-age=soon"}, false, 0},
		"not at all":          {[]string{"Cache-Control", "No-Store"}, false, 0},
		"not unasked":         {[]string{"Cache-Control", "no-cache"}, false, 0},
		"for one":             {[]string{"Cache-Control", "private"}, false, 10 * time.Second},
		"for one, not all":    {[]string{"Cache-Control", "private"}, true, 0},
		"a cookie for one":    {[]string{"Set-Cookie", "a=b"}, false, 10 * time.Second},
		"a cookie for nobody": {[]string{"Set-Cookie", "a=b"}, true, 0},
		"who knows by what":   {[]string{"Vary", "*"}, false, 0},
		"by what is sent":     {[]string{"Vary", "Accept"}, true, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				made := cached(t, counted(&calls, c.head...), fmt.Sprintf("cache: { ttl: 10s, shared: %v }", c.shared))
				get(t, made).want(t, "first", 200, "1")
				if c.kept > 0 {
					<-time.After(c.kept - 1)
					get(t, made).want(t, "in time", 200, "1")
					<-time.After(1)
				}
				get(t, made).want(t, "later", 200, "2")
			})
		})
	}
}

func TestNothingIsKeptOfAFailure(t *testing.T) {
	var calls atomic.Int32
	b := func(r *http.Request) (*http.Response, error) {
		switch calls.Add(1) {
		case 1:
			return reply(r, 500, "")
		case 2:
			return reply(r, 200, "{")
		case 3:
			return reply(r, 404, "{}")
		default:
			return reply(r, 200, `{"n": 4}`)
		}
	}
	c := cached(t, b, "cache: 10s, status: { 404: pass }")
	for i, want := range []struct {
		status int
		text   string
	}{{502, "composition-failed"}, {502, "composition-failed"}, {404, "{}"}, {200, "4"}, {200, "4"}} {
		get(t, c).want(t, fmt.Sprint("call ", i), want.status, want.text)
	}
}

func TestRenewAsksAnewAndKeepsThat(t *testing.T) {
	var calls atomic.Int32
	c := cached(t, counted(&calls), `cache: { ttl: 10s, renew: "=request.headers['cache-control'] == 'no-cache'" }`)
	get(t, c).want(t, "first", 200, "1")
	get(t, c, "Cache-Control", "no-cache").want(t, "renewed", 200, "2")
	get(t, c).want(t, "kept", 200, "2")
}

func TestMemoryIsBounded(t *testing.T) {
	var calls atomic.Int32
	b := func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, fmt.Sprintf(`{"n": %d, "fill": %q}`, calls.Add(1), strings.Repeat("x", 20<<10)))
	}
	c := cached(t, b, "query: { q: =query.q }, cache: { ttl: 10s, memory: 64KiB }")
	q := func(q string) answered { return ask(t, c, request("GET", "/home/7?q="+q, "")) }
	for i, want := range []struct{ q, n string }{
		{"a", "1"}, {"b", "2"}, {"c", "3"}, {"a", "1"}, {"d", "4"}, // b makes room, because it was unused for longest
		{"a", "1"}, {"c", "3"}, {"d", "4"}, {"b", "5"},
	} {
		q(want.q).want(t, fmt.Sprint(i, " ", want.q), 200, want.n)
	}
}

// gate holds back all answers until it is opened.
func gate(b backend) (gated backend, open func()) {
	opened := make(chan struct{})
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-opened:
			return b(r)
		case <-r.Context().Done():
			return nil, context.Cause(r.Context())
		}
	}, sync.OnceFunc(func() { close(opened) })
}

func TestEqualCallsAreMadeOnce(t *testing.T) {
	for name, c := range map[string]struct {
		backend backend
		more    string
		status  int
		bodies  []string
		calls   int32
	}{
		"a result":        {says(200, `{"n": 1}`), "cache: 10s", 200, []string{"1", "1", "1"}, 1},
		"a failure":       {says(500, ""), "cache: 10s", 502, []string{"composition-failed", "composition-failed", "composition-failed"}, 1},
		"what is passed":  {says(404, "{}"), "cache: 10s, status: { 404: pass }", 404, []string{"{}", "{}", "{}"}, 1},
		"what is for one": {counted(new(atomic.Int32), "Cache-Control", "no-store"), "cache: 10s", 200, []string{"1", "2", "3"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				b, open := gate(c.backend)
				made := cached(t, func(r *http.Request) (*http.Response, error) {
					calls.Add(1)
					return b(r)
				}, c.more)
				got := make([]answered, 3)
				var all sync.WaitGroup
				for i := range got {
					all.Go(func() { got[i] = get(t, made) })
				}
				synctest.Wait()
				if calls.Load() != 1 {
					t.Errorf("%d calls at once", calls.Load())
				}
				open()
				all.Wait()
				seen := map[string]int{}
				for _, a := range got {
					text := a.body
					if a.fault != nil {
						text = a.fault.Code
					}
					if a.status != c.status {
						t.Errorf("got %d", a.status)
					}
					seen[text]++
				}
				for _, want := range c.bodies {
					if seen[want]--; seen[want] < 0 {
						t.Errorf("%s is missing", want)
					}
				}
				if calls.Load() != c.calls {
					t.Errorf("%d calls, want %d", calls.Load(), c.calls)
				}
			})
		})
	}
}

// TestWhoLeavesCostsNobodyTheAnswer has the client leave whose request calls the backend. The request of another
// client then calls it.
func TestWhoLeavesCostsNobodyTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		b, open := gate(counted(&calls))
		made := cached(t, b, "cache: 10s")
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		var all sync.WaitGroup
		all.Go(func() {
			if a := ask(t, made, request("GET", "/home/7", "").WithContext(exchangeContext(ctx))); a.err == nil {
				t.Error("who has left was answered")
			}
		})
		synctest.Wait()
		for range 2 {
			all.Go(func() { get(t, made).want(t, "who stays", 200, "1") })
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		open()
		all.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d calls", calls.Load())
		}
	})
}

func TestEqualElementsAreAskedForOnce(t *testing.T) {
	var calls atomic.Int32
	c := world{"list": says(200, `[1, 2, 1, 1, 2]`), "item": func(r *http.Request) (*http.Response, error) {
		calls.Add(1)
		return reply(r, 200, `"`+lastSegment(r)+`"`)
	}}.route(t, `
  GET /home/{user}:
    compose:
      list: http://list/
      items: { to: "http://item", path: "/{=item}", each: =steps.list.body, cache: 1m }
    return: =steps.items.body
`)
	for range 2 {
		get(t, c).want(t, "items", 200, `["1","2","1","1","2"]`)
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestAKeptResultIsReadLikeANewOne(t *testing.T) {
	var calls atomic.Int32
	c := world{"a": counted(&calls, "X-Total", "7", "X-Total", "8")}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", cache: 1m }
    return: { n: =steps.a.body.n, status: =steps.a.status, total: "=steps.a.headers['x-total']", text: =steps.a.text }
`)
	for range 2 {
		get(t, c).want(t, "answer", 200, `{"n":1,"status":200,"total":"7, 8","text":"{\"n\": 1}"}`)
	}
}

// TestWhatIsKeptCountsAgainstTheBound checks that it makes no difference to the size limit whether an answer comes
// from the cache.
func TestWhatIsKeptCountsAgainstTheBound(t *testing.T) {
	var calls atomic.Int32
	w := world{"a": func(r *http.Request) (*http.Response, error) {
		calls.Add(1)
		return reply(r, 200, `"`+strings.Repeat("x", 900)+`"`)
	}}
	c := w.route(t, `  GET /: big
compositions:
  big:
    max_body: 1KiB
    steps:
      a: { to: "http://a", query: { q: =query.q }, cache: 1m }
      b: { to: "http://a", when: "=query.q == '2'", query: { a: =string(steps.a.status) } }
`)
	ask(t, c, request("GET", "/?q=1", "")).want(t, "fits", 200, `{"a":"`+strings.Repeat("x", 900)+`","b":null}`)
	ask(t, c, request("GET", "/?q=1", "")).want(t, "fits again", 200, `{"a":"`+strings.Repeat("x", 900)+`","b":null}`)
	ask(t, c, request("GET", "/?q=2", "")).want(t, "does not", 502, "composition-failed")
	ask(t, c, request("GET", "/?q=2", "")).want(t, "nor where it is kept", 502, "composition-failed")
	if calls.Load() != 4 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestWhatACacheHasForACallIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		metrics := telemetry.New("test")
		meter, release := metrics.StepCache("home", "a")
		defer release()
		const text = "  GET /home/{user}:\n    compose: { a: { to: 'http://a', cache: { ttl: 10s, renew: \"=query.now != ''\" } } }\n"
		loaded := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte("listen: :80\nroutes:\n" + text)}}, config.Vocabulary{
			Schemes: []config.Scheme{{Name: "http", Example: "http://a"}, config.ComposeScheme()},
		})
		slow := backend(func(r *http.Request) (*http.Response, error) {
			<-time.After(time.Second)
			return reply(r, 200, `1`)
		})
		c, err := compose.New(&loaded.Config.Compositions[0], compose.Options{
			Backend: func(*config.Step) (compose.Backend, error) { return compose.Backend{RoundTripper: slow}, nil },
			Cache: func(step string) *telemetry.StepCache {
				if step != "a" {
					t.Errorf("the meter of %q is asked for", step)
				}
				return meter
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { get(t, c) }) // one miss, and one request that shares its answer
		}
		both.Wait()
		get(t, c)
		get(t, c)
		ask(t, c, request(http.MethodGet, "/home/7?now=1", ""))
		<-time.After(10 * time.Second)
		get(t, c)
		scrape := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for result, n := range map[string]int{"hit": 2, "shared": 1, "miss": 1, "expired": 1, "renewed": 1} {
			if line := fmt.Sprintf(`{composition="home",result=%q,step="a"} %d`, result, n); !strings.Contains(scrape.Body.String(), line) {
				t.Errorf("no %s in\n%s", line, scrape.Body)
			}
		}
	})
}

package limit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/limit"
)

func decode(tb testing.TB, text string) (*limit.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := limit.Definition().New().(*limit.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("limit: "+text), &ps).Get("limit"), c, &ps)
	return c, ps.Sorted()
}

// gateway keeps what filters keep, as the compiler does.
type gateway struct {
	tb   testing.TB
	kept map[string]any
	log  bytes.Buffer
}

func newGateway(tb testing.TB) *gateway {
	tb.Helper()
	return &gateway{tb: tb, kept: map[string]any{}}
}

func (g *gateway) env(route string) filter.Env {
	return filter.Env{
		Route: route, Group: "shop", Log: slog.New(slog.NewTextHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
		Keep: func(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
			if g.kept[identity] == nil {
				made, _, err := makeIt()
				if err != nil {
					return nil, err
				}
				g.kept[identity] = made
			}
			return g.kept[identity], nil
		},
	}
}

func (g *gateway) policy(route, text string) filter.Policy {
	g.tb.Helper()
	c, problems := decode(g.tb, text)
	if len(problems) > 0 {
		g.tb.Fatalf("%s: %v", text, problems)
	}
	p, err := limit.Definition().Build(g.env(route), c)
	if err != nil {
		g.tb.Fatal(err)
	}
	return p
}

// request is one that a test sends.
type request struct {
	ip      string
	who     *exchange.Identity
	headers http.Header
	during  func(*http.Request) // runs while it is under way
}

// send runs a request through the guard.
func send(p filter.Policy, q request) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	maps.Copy(r.Header, q.headers)
	rec := httptest.NewRecorder()
	x := &exchange.Exchange{ID: "id", Path: "/", Identity: q.who}
	if q.ip != "" {
		x.Client.IP = netip.MustParseAddr(q.ip)
	}
	w, r := exchange.Begin(rec, r, x)
	p.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q.during != nil {
			q.during(r)
		}
		w.WriteHeader(http.StatusNoContent)
	})).ServeHTTP(w, r)
	w.Finish(nil)
	return rec
}

// fields are what a response says of limits.
func fields(rec *httptest.ResponseRecorder) string {
	h := rec.Header()
	return strings.TrimSpace(fmt.Sprintln(rec.Code, strings.Join(h["Ratelimit-Policy"], "|"), strings.Join(h["Ratelimit"], "|"), h.Get("Retry-After")))
}

func TestWhatClientsAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t)
		p := g.policy("GET /", `3/m per client.ip`)
		ada := request{ip: "192.0.2.1"}
		for _, want := range []string{
			`204 "3/m";q=3;w=60 "3/m";r=2;t=40`, // two in 40 s are what 3/m is
			`204 "3/m";q=3;w=60 "3/m";r=1;t=40`, // and in 40 s all are there again
			`204 "3/m";q=3;w=60 "3/m";r=0;t=60`,
			`429 "3/m";q=3;w=60 "3/m";r=0;t=20 20`,
		} {
			if got := fields(send(p, ada)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		if got := fields(send(p, request{ip: "192.0.2.2"})); !strings.HasPrefix(got, "204") {
			t.Errorf("another client: %s", got)
		}
		<-time.After(20 * time.Second)
		if got := fields(send(p, ada)); got != `204 "3/m";q=3;w=60 "3/m";r=0;t=60` {
			t.Errorf("after Retry-After: %s", got)
		}
	})
}

func TestARefusalIsAProblem(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for config, want := range map[string]string{
		`1/h`:                           `"code":"rate-limited"`,
		`{ rate: 1/h, name: hourly }`:   `"detail":"The limit \"hourly\" has no room; Retry-After tells in how many seconds it has."`,
		`{ rate: 1/h, quiet: true }`:    `"status":429,"code":"rate-limited"`,
		`{ rate: 5/h, cost: "=3 + 2" }`: `\"5/h\" has no room`,
	} {
		p := g.policy("GET /"+config, config)
		send(p, request{})
		rec := send(p, request{})
		if rec.Code != 429 || !strings.Contains(rec.Body.String(), want) || rec.Header().Get("Retry-After") != "3600" {
			t.Errorf("%s: %d %v %s", config, rec.Code, rec.Header(), rec.Body)
		}
		if quiet := strings.Contains(config, "quiet"); quiet != (rec.Header()["Ratelimit"] == nil) || quiet != (rec.Header()["Ratelimit-Policy"] == nil) {
			t.Errorf("%s: %v", config, rec.Header())
		}
	}
	rec := send(g.policy("GET /never", `{ rate: 5/h, cost: "=int(request.headers['x-cost'])" }`), request{headers: http.Header{"X-Cost": {"6"}}})
	if rec.Code != 429 || rec.Header().Get("Retry-After") != "" || !strings.Contains(rec.Body.String(), "more than the limit") {
		t.Errorf("a cost beyond the burst: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestEveryKeyHasABucketOfItsOwnAndNoneIsSharedByAccident(t *testing.T) {
	t.Parallel()
	ada, bob := &exchange.Identity{Issuer: "a", Subject: "ada", Claims: exchange.ClaimsOf(map[string]any{"plan": "gold"})}, &exchange.Identity{Issuer: "a", Subject: "bob"}
	key := func(value string) http.Header { return http.Header{"X-Api-Key": {value}} }
	for _, c := range []struct {
		config string
		first  request
		second request
		want   int // of the second request
	}{
		{`1/h`, request{ip: "192.0.2.1"}, request{ip: "192.0.2.2"}, 429},
		{`1/h per client.ip`, request{ip: "192.0.2.1"}, request{ip: "192.0.2.2"}, 204},
		{`1/h per client.ip`, request{ip: "192.0.2.1"}, request{ip: "::ffff:192.0.2.1"}, 429},
		// Whoever has one address of IPv6 has 2^64 of them.
		{`1/h per client.ip`, request{ip: "2001:db8::1"}, request{ip: "2001:db8::ffff:2"}, 429},
		{`1/h per client.ip`, request{ip: "2001:db8::1"}, request{ip: "2001:db8:0:1::1"}, 204},
		{`1/h per string(client.ip)`, request{ip: "2001:db8::1"}, request{ip: "2001:db8::2"}, 204},
		{`1/h per auth.id`, request{who: ada}, request{who: bob}, 204},
		{`1/h per auth.id`, request{who: ada}, request{who: ada}, 429},
		{`"1/h per request.headers['x-api-key']"`, request{headers: key("a")}, request{headers: key("b")}, 204},
		{`"1/h per request.headers['x-api-key']"`, request{headers: key("a")}, request{headers: key("a")}, 429},
		// Without a key nobody passes, not even the first.
		{`1/h per client.ip`, request{ip: "192.0.2.1"}, request{}, 403},
		{`1/h per auth.id`, request{who: ada}, request{}, 403},
		{`"1/h per request.headers['x-api-key']"`, request{headers: key("a")}, request{}, 403},
		{`1/h per auth.claims.plan`, request{who: ada}, request{who: bob}, 403},
		{`{ concurrent: 1, per: =auth.id }`, request{who: ada}, request{}, 403},
		{`{ rate: 1/h, cost: "=int(request.headers['x-api-key'])" }`, request{headers: key("1")}, request{headers: key("x")}, 403},
		{`{ rate: 1/h, cost: "=int(request.headers['x-api-key'])" }`, request{headers: key("1")}, request{headers: key("-1")}, 403},
		{`{ rate: 1/h, cost: "=int(request.headers['x-api-key'])" }`, request{headers: key("1")}, request{headers: key("0")}, 204},
		{`{ rate: 1/h, per: =auth.id, dry_run: true }`, request{who: ada}, request{}, 204},
	} {
		p := newGateway(t).policy("GET /", c.config)
		if got := send(p, c.first).Code; got != 204 {
			t.Errorf("%s: the first gets %d", c.config, got)
		}
		if got := send(p, c.second).Code; got != c.want {
			t.Errorf("%s: the second gets %d, want %d", c.config, got, c.want)
		}
	}
}

func TestPlansAreRatesByName(t *testing.T) {
	t.Parallel()
	of := func(plan string) request {
		return request{who: &exchange.Identity{Subject: "ada", Claims: exchange.ClaimsOf(map[string]any{"plan": plan})}}
	}
	none := request{who: &exchange.Identity{Subject: "ada", Claims: exchange.ClaimsOf(map[string]any{})}}
	const plans = `{ plans: { gold: 3/h, free: 1/h burst 2, staff: unlimited }, plan: =auth.claims.plan, per: =auth.id%s }`
	for _, c := range []struct {
		more   string
		sent   request
		passed int // of five
		last   string
	}{
		{"", of("gold"), 3, `429 "gold";q=3;w=3600 "gold";r=0;t=1200 1200`},
		{"", of("free"), 2, `429 "free";q=1;w=3600 "free";r=0;t=3600 3600`},
		{"", of("staff"), 5, `204`},
		{"", of("silver"), 0, `403`},
		{"", none, 0, `403`},
		{", otherwise: free", of("silver"), 2, `429 "free";q=1;w=3600 "free";r=0;t=3600 3600`},
		{", otherwise: free", none, 2, `429 "free";q=1;w=3600 "free";r=0;t=3600 3600`},
		{", name: api", of("gold"), 3, `429 "api";q=3;w=3600 "api";r=0;t=1200 1200`},
	} {
		p := newGateway(t).policy("GET /", fmt.Sprintf(plans, c.more))
		passed, last := 0, ""
		for range 5 {
			rec := send(p, c.sent)
			if last = fields(rec); rec.Code == 204 {
				passed++
			}
		}
		if passed != c.passed || last != c.last {
			t.Errorf("%v%s: %d passed, last %s; want %d, %s", c.sent.who.Claims.All(), c.more, passed, last, c.passed, c.last)
		}
	}
	// A better plan does not inherit the debt of the other.
	p := newGateway(t).policy("GET /", fmt.Sprintf(plans, ""))
	send(p, of("free"))
	send(p, of("free"))
	if got := send(p, of("gold")).Code; got != 204 {
		t.Errorf("after a change of plan: %d", got)
	}
}

func TestTheSecondLimitRefusesAndTheFirstIsNotCharged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newGateway(t).policy("GET /", `[5/h, { rate: 1/m, name: slow }]`)
		for _, want := range []string{
			`204 "5/h";q=5;w=3600, "slow";q=1;w=60 "5/h";r=4;t=2880, "slow";r=0;t=60`,
			`429 "5/h";q=5;w=3600, "slow";q=1;w=60 "slow";r=0;t=60 60`,
			`429 "5/h";q=5;w=3600, "slow";q=1;w=60 "slow";r=0;t=60 60`,
		} {
			if got := fields(send(p, request{})); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
		<-time.After(time.Minute)
		if got := fields(send(p, request{})); !strings.Contains(got, `"5/h";r=3;`) {
			t.Errorf("refused requests were charged: %s", got)
		}
	})
}

func TestADryRunOnlyLogs(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	p := g.policy("GET /", `[{ rate: 1/h, name: tried, dry_run: true }, { concurrent: 1, name: also, dry_run: true }]`)
	rec := send(p, request{during: func(*http.Request) { send(p, request{}) }})
	if got := fields(rec); got != "204" {
		t.Errorf("a dry run tells clients: %s", got)
	}
	for _, want := range []string{`rule=tried route="GET /" request_id=id dry_run=true reason="no room"`, `rule=also route="GET /" request_id=id dry_run=true reason="as many are under way as may be"`} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, g.log.String())
		}
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	p := newGateway(t).policy("GET /", `{ concurrent: 2, per: =client.ip }`)
	ada := request{ip: "192.0.2.1"}
	var inner []string
	outer := ada
	outer.during = func(*http.Request) {
		second := ada
		second.during = func(*http.Request) {
			inner = append(inner, fields(send(p, ada)), fields(send(p, request{ip: "192.0.2.2"})))
		}
		inner = append(inner, fields(send(p, second)))
	}
	first := fields(send(p, outer))
	want := []string{
		`429 "concurrent";q=2;qu="concurrent-requests" "concurrent";r=0 1`,
		`204 "concurrent";q=2;qu="concurrent-requests" "concurrent";r=1`,
		`204 "concurrent";q=2;qu="concurrent-requests" "concurrent";r=0`,
	}
	if !slices.Equal(inner, want) || first != want[1] {
		t.Errorf("first %s\ninner %q\nwant  %q", first, inner, want)
	}
	for range 3 {
		if got := send(p, ada).Code; got != 204 {
			t.Errorf("after all have ended: %d", got)
		}
	}
}

// TestARefusedRequestIsNotUnderWay holds that what the rate refuses takes no place.
func TestARefusedRequestIsNotUnderWay(t *testing.T) {
	t.Parallel()
	p := newGateway(t).policy("GET /", `[{ concurrent: 2 }, 1/h]`)
	got := []int{send(p, request{during: func(*http.Request) {
		for range 3 {
			if rec := send(p, request{}); rec.Code != 429 || !strings.Contains(rec.Header().Get("RateLimit"), `"1/h";r=0`) {
				t.Errorf("got %s", fields(rec))
			}
		}
	}}).Code}
	if got[0] != 204 {
		t.Errorf("got %v", got)
	}
}

// TestARequestEndsOnceHoweverItEnds lets handlers panic, clients leave and
// connections be upgraded, many at a time.
func TestARequestEndsOnceHoweverItEnds(t *testing.T) {
	t.Parallel()
	p := newGateway(t).policy("GET /", `{ concurrent: 4 }`)
	var now, most atomic.Int64
	end := func(n int, r *http.Request) {
		seen := now.Add(1)
		for old := most.Load(); seen > old && !most.CompareAndSwap(old, seen); old = most.Load() {
		}
		defer now.Add(-1)
		switch n % 3 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			exchange.Of(r).OnDone(func(exchange.Outcome) {})
		}
	}
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for range 200 {
				rec := httptest.NewRecorder()
				w, r := exchange.Begin(rec, httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{})
				func() {
					defer func() { _ = recover() }()
					p.Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { end(n, r) })).ServeHTTP(w, r)
				}()
				w.Finish(http.ErrAbortHandler)
				w.Finish(nil) // a second end changes nothing
			}
		})
	}
	all.Wait()
	if most.Load() > 4 {
		t.Errorf("%d at once", most.Load())
	}
	r := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{})
	if v := p.Ask(r); v.Why != "4 at once: 0 under way" || v.Fault != nil {
		t.Errorf("after all have ended: %+v", v)
	}
}

func TestCountsLiveOnWhileRatesChange(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	send(g.policy("GET /", `[3/h per client.ip, 100/h]`), request{ip: "192.0.2.1"})
	for config, want := range map[string]string{
		`[2/h per client.ip, 100/h]`:                            `"2/h";r=`,
		`[{ rate: 4/h, per: =client.ip, burst: 4 }, 50/h]`:      `"4/h";r=`,
		`[100/h, 3/h per client.ip]`:                            `"3/h";r=`,
		`[{ rate: 9/h, quiet: true }, 3/h per client.ip, 99/h]`: `"3/h";r=`,
	} {
		r := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1")}})
		v := g.policy("GET /", config).Ask(r)
		if n := strings.Count(v.Why, ": 2 left") + strings.Count(v.Why, ": 1 left"); n == 0 {
			t.Errorf("%s: %s, want %s", config, v.Why, want)
		}
	}
	// Another route, or another name, counts for itself; what is shared does not.
	for _, c := range []struct {
		route, first, second string
		want                 int
	}{
		{"GET /b", `1/h`, `1/h`, 429},
		{"GET /c", `{ rate: 1/h, name: a }`, `{ rate: 1/h, name: b }`, 204},
		{"GET /d", `{ rate: 1/h, name: a }`, `{ rate: 1/h burst 1, name: a }`, 429},
	} {
		send(g.policy(c.route, c.first), request{})
		if got := send(g.policy(c.route, c.second), request{}).Code; got != c.want {
			t.Errorf("%s then %s: %d, want %d", c.first, c.second, got, c.want)
		}
	}
	send(g.policy("GET /e", `{ rate: 1/h, shared: search }`), request{})
	if got := send(g.policy("GET /f", `{ rate: 1/h, shared: search }`), request{}).Code; got != 429 {
		t.Errorf("a shared limit on another route: %d", got)
	}
	if got := send(g.policy("GET /f", `1/h`), request{}).Code; got != 204 {
		t.Errorf("another route's limit: %d", got)
	}
}

func TestExplainAsksWithoutCounting(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	p := g.policy("GET /", `[1/h, { concurrent: 3 }, { rate: 5/h, per: "=request.headers['x-key']", dry_run: true }]`)
	ask := func(p filter.Policy) filter.Verdict {
		return p.Ask(exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{}))
	}
	for range 2 {
		if v := ask(p); v.Fault != nil || v.Why != "3 at once: 0 under way; 5/h per request.headers['x-key']: per: the key is empty; a dry run, so it passes; 1/h: 1 left" {
			t.Errorf("%+v", v)
		}
	}
	send(p, request{})
	if v := ask(p); v.Fault == nil || v.Fault.Code != "rate-limited" || !strings.Contains(v.Why, "1/h: 0 left") {
		t.Errorf("%+v", v)
	}
	if v := ask(g.policy("GET /key", `1/h per auth.id`)); v.Fault == nil || v.Fault.Code != "forbidden" || v.Why != "limit 1/h: 1/h per auth.id: per: the key is empty" {
		t.Errorf("%+v", v)
	}
	// Where a config is only checked there are no counts.
	c, _ := decode(t, `[1/h, { concurrent: 3 }]`)
	checked, err := limit.Definition().Build(filter.Env{Keep: func(string, func() (any, func(context.Context), error)) (any, error) { return nil, nil }}, c)
	if err != nil {
		t.Fatal(err)
	}
	if v := ask(checked); v.Fault != nil || v.Why != "3 at once: counted where it serves; 1/h: counted where it serves" {
		t.Errorf("%+v", v)
	}
}

func TestLimitsStandBeforeAuthUnlessTheyAskIt(t *testing.T) {
	t.Parallel()
	kinds := []config.Kind{
		limit.Definition().Kind(),
		{Name: "auth", Order: int(filter.StageAuth), Identifies: true, New: func() any { return new(string) }},
		{Name: "allow", Order: int(filter.StageAllow), New: func() any { return new(string) }},
		{Name: "respond", Order: int(filter.StageRespond), New: func() any { return new(string) }},
	}
	for text, want := range map[string]string{
		`[50/s per client.ip, 20/s per auth.id]`:               "limit 50/s per client.ip, auth, allow, limit 20/s per auth.id, respond",
		`[20/s per auth.id, 50/s per client.ip]`:               "limit 50/s per client.ip, auth, allow, limit 20/s per auth.id, respond",
		`50/s`:                                                 "limit 50/s, auth, allow, respond",
		`{ rate: 50/s, cost: "=auth.has('x') ? 1 : 5" }`:       "auth, allow, limit 50/s, respond",
		`{ plans: { a: 1/s }, plan: =auth.claims.plan }`:       "auth, allow, limit plans a, respond",
		`{ concurrent: 5, per: "=request.headers['x-auth']" }`: "limit 5 at once per request.headers['x-auth'], auth, allow, respond",
	} {
		file := "listen: :8080\nroutes:\n  GET /:\n    respond: 204\n    allow: x\n    auth: y\n    limit: " + text + "\n"
		result := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, config.Vocabulary{Filters: kinds})
		if len(result.Problems) > 0 {
			t.Errorf("%s: %v", text, result.Problems)
			continue
		}
		var got []string
		for _, f := range result.Config.Routes[0].Filters {
			name := f.Name
			if c, ok := f.Config.(*limit.Config); ok {
				for _, l := range *c {
					name += " " + l.String()
				}
			}
			got = append(got, name)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %s\nwant %s", text, strings.Join(got, ", "), want)
		}
		// What is expanded stands and reads the same.
		v := config.Vocabulary{Filters: kinds}
		again := config.Load([]config.Source{{Path: "test.yaml", Data: config.Expand(result.Config, v)}}, v)
		if len(again.Problems) > 0 || len(again.Config.Routes[0].Filters) != len(got) {
			t.Errorf("%s: expanded %v\n%s", text, again.Problems, config.Expand(result.Config, v))
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                                               `limit has no limit`,
		`50/min`:                                           `test.yaml:1:11: "min" is no unit of time here; write m`,
		`"50/s per"`:                                       `test.yaml:1:14: no key stands behind per`,
		`50/s by client.ip`:                                `"by" is not understood behind a rate`,
		`[[50/s]]`:                                         `a limit is a list`,
		`{ per: =client.ip }`:                              `a limit is exactly one of rate, plans and concurrent`,
		`{ rate: 1/s, concurrent: 1 }`:                     `exactly one of`,
		`{ rate: 1/s, burst: -1 }`:                         `a burst is at least 1`,
		`{ rate: 1/s, burst: 0 }`:                          `test.yaml:1:28: burst is 0; write a number of at least 1`,
		`{ rate: 1/s, concurrent: 0 }`:                     `concurrent is 0; write a number of at least 1; to let nothing pass`,
		`{ concurrent: 0 }`:                                `concurrent is 0; write a number of at least 1; to let nothing pass`,
		`{ rate: 1/s, keys: 0 }`:                           `keys is 0; write 512 to 67108864`,
		`{ rate: 1/s burst 3, burst: 4 }`:                  `the burst is said twice`,
		`{ concurrent: 3, burst: 4 }`:                      `burst stands without a rate`,
		`{ concurrent: -3 }`:                               `concurrent is less than nothing`,
		`{ concurrent: 3, cost: 2 }`:                       `cost stands beside concurrent`,
		`{ rate: 1/s, cost: 2 }`:                           `a cost of 2 is more than the burst of 1; so no request would ever pass`,
		`{ rate: 1/s, cost: -2 }`:                          `cost is less than nothing`,
		`{ rate: 1/s, keys: 5 }`:                           `keys is 5; write 512 to 67108864`,
		`{ concurrent: 1, keys: 5000 }`:                    `keys stands beside concurrent`,
		`{ rate: 1/s, name: "a b" }`:                       `"a b" is no name of a limit`,
		`[{ rate: 1/s, name: a }, { rate: 2/s, name: a }]`: `a second limit "a"`,
		`[{ rate: 1/s, shared: a }, { rate: 2/s, shared: a }]`:      `a second limit shares "a"; a request would be counted twice`,
		`{ plans: { a: 1/s } }`:                                     `plans stands without plan`,
		`{ plans: { }, plan: =auth.sub }`:                           `plans has no plan`,
		`{ plans: { "a b": 1/s }, plan: =auth.sub }`:                `"a b" is no name of a plan`,
		`{ plans: { gold: 1/s }, plan: =auth.sub, otherwise: gld }`: `otherwise names the plan "gld", which does not exist; did you mean "gold"?`,
		`{ rate: 1/s, plan: =auth.sub }`:                            `plan stands without plans`,
		`{ rate: 1/s, otherwise: a }`:                               `otherwise stands without plans`,
		`{ rate: 1/s, dryrun: true }`:                               `did you mean "dry_run"?`,
		`{ plans: { a: 1/x }, plan: =auth.sub }`:                    `"x" is no unit of time here`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestMistakesInExpressionsAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: []config.Kind{limit.Definition().Kind(), {Name: "respond", Order: int(filter.StageRespond), New: func() any { return new(string) }}}}
	for text, want := range map[string]string{
		`50/s per clint.ip`:                       `test.yaml:4:21: per: 'clint' is not a known name; did you mean 'client'?`,
		`"50/s per request.headers"`:              `test.yaml:4:29: per: must be text`,
		`50/s per auth.id`:                        `test.yaml:4:21: per reads who is calling, but the route "GET /" authenticates nobody`,
		`{ rate: 50/s, cost: =client.ip }`:        `test.yaml:4:39: cost: must be a whole number, this is a string`,
		`{ rate: 50/s, per: =request.body.id }`:   `test.yaml:4:32: per reads the body of the request`,
		`{ plans: { a: 1/s }, plan: =path.plan }`: `test.yaml:4:40: path.plan is never there`,
	} {
		file := "listen: :8080\nroutes:\n  GET /:\n    limit: " + text + "\n    respond: 204\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// Anonymous callers have no id, and what has an empty key does not pass.
func TestAKeyThatAnonymousCallersLackIsWarnedOf(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{
		Filters: []config.Kind{
			limit.Definition().Kind(),
			{Name: "auth", Order: int(filter.StageAuth), Identifies: true, New: func() any { return new(config.AuthRule) }},
			{Name: "respond", Order: int(filter.StageRespond), New: func() any { return new(string) }},
		},
		Auths: []config.Kind{{Name: "keys", New: func() any {
			return &struct {
				Keys string `doc:"keys"`
			}{}
		}}},
	}
	const warning = "test.yaml:6:21: warning: per is empty for callers who are anonymous; a request that cannot be counted is refused, so none of them would pass; write `=auth.id != '' ? auth.id : client.ip`"
	for text, want := range map[string]string{
		"auth: k | anonymous\n    limit: 50/s per auth.id":                                    warning,
		"auth: k\n    limit: 50/s per auth.id":                                                "",
		"auth: k | anonymous\n    limit: \"50/s per auth.id != '' ? auth.id : client.ip\"":    "",
		"auth: k | anonymous\n    limit: { plans: { a: 1/s }, plan: =auth.id, otherwise: a }": "",
	} {
		file := "listen: :8080\nauth: { k: { keys: x } }\nroutes:\n  GET /:\n    " + text + "\n    respond: 204\n"
		var got []string
		for _, p := range config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems {
			got = append(got, p.String())
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestALimitAllocatesNothingButWhatItTells holds the cost of the common keys.
func TestALimitAllocatesNothingButWhatItTells(t *testing.T) {
	for config, most := range map[string]float64{
		`{ rate: 1000000/s, per: =client.ip, quiet: true }`:                                     0,
		`[{ rate: 1000000/s, quiet: true }, { rate: 1000000/m, per: =client.ip, quiet: true }]`: 0,
		`1000000/s per client.ip`: 3, // the text of RateLimit, and the operation on the head
	} {
		h := newGateway(t).policy("GET /", config).Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		x := &exchange.Exchange{Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1")}}
		w, r := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
		got := 100.0
		for range 100 { // the best of many: the race detector has pools forget at random
			got = min(got, testing.AllocsPerRun(1, func() { *x = exchange.Exchange{Client: x.Client}; h.ServeHTTP(w, r) }))
		}
		if got > most {
			t.Errorf("%s: %v allocations, want at most %v", config, got, most)
		}
	}
}

// BenchmarkGuard counts what a limit costs a request, its response fields included.
func BenchmarkGuard(b *testing.B) {
	for _, config := range []string{
		`1000000/s`, `1000000/s per client.ip`, `{ rate: 1000000/s, per: =client.ip, quiet: true }`, `"1000000/s per request.headers['x-api-key']"`,
		`[1000000/s per client.ip, 1000000/s]`, `{ concurrent: 100, per: =client.ip }`,
	} {
		b.Run(config, func(b *testing.B) {
			h := newGateway(b).policy("GET /", config).Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("X-Api-Key", "0123456789abcdef")
			x := &exchange.Exchange{Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1")}}
			r = exchange.With(r, x)
			rec := httptest.NewRecorder()
			w, r := exchange.Begin(rec, r, x)
			b.ReportAllocs()
			for b.Loop() {
				*x = exchange.Exchange{Client: x.Client}
				h.ServeHTTP(w, r)
				x.End(exchange.Outcome{})
			}
		})
	}
}

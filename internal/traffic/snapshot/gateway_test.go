package snapshot_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// gateway serves one handler for "GET /things/{id}" on socket "main".
func gateway(t *testing.T, o snapshot.Options, handler http.HandlerFunc, change ...func(*snapshot.Snapshot, *snapshot.Route)) http.Handler {
	t.Helper()
	target := &snapshot.Route{Name: "x", Handler: handler}
	table, problems := route.Build([]route.Rule[*snapshot.Route]{{
		Match: config.Match{Method: "GET", Path: config.PathMatch{Pattern: "/things/{id}"}}, HeadByGet: true, Name: "x", Value: target,
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s := &snapshot.Snapshot{Listeners: []*snapshot.Listener{{Name: "main", Socket: "main", Table: table, WrongMethod: 405}}}
	for _, c := range change {
		c(s, target)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Connection == nil {
		on := &exchange.Connection{Peer: netip.MustParseAddrPort("192.0.2.1:4000")}
		o.Connection = func(context.Context) *exchange.Connection { return on }
	}
	g := snapshot.NewGateway(o)
	g.Swap(s)
	return g.Handler("main")
}

func do(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return p.Code
}

func ok(w http.ResponseWriter, r *http.Request) {
	id, _ := exchange.Of(r).Params.Get("id")
	_, _ = w.Write([]byte(id))
}

func TestARequestFindsItsRouteWithWhatThePatternCaptured(t *testing.T) {
	w := do(gateway(t, snapshot.Options{}, ok), "GET", "/things/a%20b?c=d")
	if w.Code != 200 || w.Body.String() != "a b" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestAWrongMethodIs405WhereTheSourceWantsIt(t *testing.T) {
	for status, change := range map[int]func(*snapshot.Snapshot, *snapshot.Route){
		405: func(*snapshot.Snapshot, *snapshot.Route) {},
		404: func(s *snapshot.Snapshot, _ *snapshot.Route) { s.Listeners[0].WrongMethod = 404 },
	} {
		w := do(gateway(t, snapshot.Options{}, ok, change), "POST", "/things/1")
		if w.Code != status || (status == 405) != (w.Header().Get("Allow") == "GET, HEAD") {
			t.Errorf("got %d, Allow %q, want %d", w.Code, w.Header().Get("Allow"), status)
		}
	}
}

func TestOnlyAVerboseSnapshotNamesRoutesToStrangers(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		w := do(gateway(t, snapshot.Options{}, ok, func(s *snapshot.Snapshot, _ *snapshot.Route) { s.Verbose = verbose }), "GET", "/thing/1")
		if got := strings.Contains(w.Body.String(), "/things/{id}"); w.Code != 404 || got != verbose {
			t.Errorf("verbose %v: got %d %s", verbose, w.Code, w.Body)
		}
	}
}

func TestAPreflightBelongsToTheRouteOfTheMethodItAsksFor(t *testing.T) {
	cors := func(_ *snapshot.Snapshot, r *snapshot.Route) { r.CORS = true }
	ask := []string{"Origin", "https://shop.dev", "Access-Control-Request-Method", "GET"}
	if w := do(gateway(t, snapshot.Options{}, ok, cors), "OPTIONS", "/things/1", ask...); w.Body.String() != "1" {
		t.Errorf("with a cors guard: got %d %q", w.Code, w.Body)
	}
	if w := do(gateway(t, snapshot.Options{}, ok), "OPTIONS", "/things/1", ask...); w.Code != 405 {
		t.Errorf("without one: got %d, want 405", w.Code)
	}
	if w := do(gateway(t, snapshot.Options{}, ok, cors), "OPTIONS", "/things/1", "Origin", "https://shop.dev"); w.Code != 405 {
		t.Errorf("an OPTIONS that is no preflight: got %d, want 405", w.Code)
	}
}

func TestEncodedSlashNeedsTheRoutesConsent(t *testing.T) {
	if w := do(gateway(t, snapshot.Options{}, ok), "GET", "/things/a%2Fb"); w.Code != 400 || code(t, w) != fault.AmbiguousPath.Code {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	consent := func(_ *snapshot.Snapshot, r *snapshot.Route) { r.EncodedSlash = true }
	if w := do(gateway(t, snapshot.Options{}, ok, consent), "GET", "/things/a%2Fb"); w.Body.String() != "a/b" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}

func TestMoreRequestsThanAllowedAre503(t *testing.T) {
	var h http.Handler
	inner := httptest.NewRecorder()
	h = gateway(t, snapshot.Options{}, func(http.ResponseWriter, *http.Request) {
		inner = do(h, "GET", "/things/1") // a second request while the first is under way
	}, func(s *snapshot.Snapshot, _ *snapshot.Route) { s.InFlight = 1 })
	if w := do(h, "GET", "/things/1"); w.Code != 200 || inner.Code != 503 || inner.Header().Get("Retry-After") != "1" {
		t.Errorf("outer %d, inner %d %v", w.Code, inner.Code, inner.Header())
	}
	if w := do(h, "GET", "/things/1"); w.Code != 200 {
		t.Errorf("after both: %d", w.Code)
	}
}

func TestShortMemoryIs503(t *testing.T) {
	w := do(gateway(t, snapshot.Options{Exhausted: func() bool { return true }}, ok), "GET", "/things/1")
	if w.Code != 503 || code(t, w) != fault.MemoryPressure.Code {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestAPanicIs500WithItsStackInTheLogAndNothingForTheClient(t *testing.T) {
	var log strings.Builder
	var lines strings.Builder
	access, err := accesslog.Open(accesslog.Options{Out: &lines, Fields: []string{"status", "problem"}, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	h := gateway(t, snapshot.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		func(http.ResponseWriter, *http.Request) { panic("swordfish") },
		func(s *snapshot.Snapshot, _ *snapshot.Route) { s.AccessLog = access })
	w := do(h, "GET", "/things/1")
	if w.Code != 500 || code(t, w) != fault.Unexpected.Code || strings.Contains(w.Body.String(), "swordfish") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "swordfish") || !strings.Contains(log.String(), "gateway_test.go") {
		t.Errorf("log: %s", log.String())
	}
	if access.Close(t.Context()); lines.String() != "status=500 problem=unexpected\n" {
		t.Errorf("access log: %s", lines.String())
	}
}

func TestAPanicAfterTheHeadAbortsTheStream(t *testing.T) {
	h := gateway(t, snapshot.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		panic("late")
	})
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler { //nolint:errorlint // the very value
			t.Errorf("got %v, want http.ErrAbortHandler", cause)
		}
	}()
	do(h, "GET", "/things/1")
	t.Error("the stream was not aborted")
}

func TestAnIDIsKeptFromTrustedProxiesOnly(t *testing.T) {
	var id string
	handler := func(_ http.ResponseWriter, r *http.Request) { id = exchange.Of(r).RequestID() }
	trust := func(s *snapshot.Snapshot, _ *snapshot.Route) {
		s.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	do(gateway(t, snapshot.Options{}, handler), "GET", "/things/1", "X-Request-Id", "mine")
	if id == "mine" || len(id) != 32 {
		t.Errorf("from a stranger: %q", id)
	}
	do(gateway(t, snapshot.Options{}, handler, trust), "GET", "/things/1", "X-Request-Id", "mine")
	if id != "mine" {
		t.Errorf("from a trusted proxy: %q", id)
	}
	do(gateway(t, snapshot.Options{}, handler, trust), "GET", "/things/1", "X-Request-Id", "a\"b")
	if len(id) != 32 {
		t.Errorf("one that could break a log: %q", id)
	}
}

func TestTheMostSpecificListenerIsChosenAndNoOtherIsFallenBackTo(t *testing.T) {
	only := func(body string) *route.Table[*snapshot.Route] {
		table, _ := route.Build([]route.Rule[*snapshot.Route]{{
			Match: config.Match{Path: config.PathMatch{Exact: "/" + body}}, Name: body,
			Value: &snapshot.Route{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })},
		}})
		return table
	}
	h := gateway(t, snapshot.Options{}, ok, func(s *snapshot.Snapshot, _ *snapshot.Route) {
		s.Listeners = []*snapshot.Listener{
			{Name: "any", Socket: "main", Table: only("any")},
			{Name: "wide", Socket: "main", Hostname: "*.shop.dev", Table: only("wide")},
			{Name: "exact", Socket: "main", Hostname: "a.shop.dev", Table: only("exact")},
			{Name: "elsewhere", Socket: "other", Hostname: "b.shop.dev", Table: only("elsewhere")},
		}
	})
	for target, want := range map[string]int{
		"http://a.shop.dev/exact": 200, "http://a.shop.dev/wide": 404, "http://a.shop.dev/any": 404,
		"http://b.shop.dev/wide": 200, "http://x.y.shop.dev/wide": 200, "http://shop.dev/any": 200, "http://shop.dev/wide": 404,
	} {
		if w := do(h, "GET", target); w.Code != want {
			t.Errorf("%s: got %d, want %d", target, w.Code, want)
		}
	}
}

func TestBeforeTheFirstSnapshotEverythingIs503(t *testing.T) {
	w := do(snapshot.NewGateway(snapshot.Options{}).Handler("main"), "GET", "/")
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

func TestEveryRequestIsCountedAtItsRoute(t *testing.T) {
	metrics := telemetry.New("test")
	meter, release := metrics.Route("GET /things/{id}")
	defer release()
	var during string
	handler := func(w http.ResponseWriter, _ *http.Request) {
		during = scrape(metrics)
		_, _ = w.Write([]byte("four"))
	}
	h := gateway(t, snapshot.Options{Unmatched: metrics.Unmatched()}, handler, func(_ *snapshot.Snapshot, r *snapshot.Route) { r.Meter = meter })
	do(h, "GET", "/things/1")
	do(h, "GET", "/nowhere")
	want(t, during, `weir_http_requests_in_flight{route="GET /things/{id}"} 1`)
	want(t, scrape(metrics),
		`weir_http_requests_in_flight{route="GET /things/{id}"} 0`,
		`weir_http_requests_total{code="200",method="GET",route="GET /things/{id}"} 1`,
		`weir_http_response_body_bytes_total{route="GET /things/{id}"} 4`,
		`weir_http_requests_total{code="404",method="GET",route="none"} 1`,
		`weir_http_faults_total{problem="route-not-found",route="none"} 1`)
}

func scrape(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func want(t *testing.T, scraped string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(scraped, line+"\n") {
			t.Errorf("not scraped: %s", line)
		}
	}
}

func BenchmarkServe(b *testing.B) {
	metrics := telemetry.New("test")
	meter, release := metrics.Route("x")
	defer release()
	g := gateway(&testing.T{}, snapshot.Options{}, func(http.ResponseWriter, *http.Request) {},
		func(_ *snapshot.Snapshot, r *snapshot.Route) { r.Meter = meter })
	r := httptest.NewRequest(http.MethodGet, "/things/1", nil)
	w := nullWriter{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		g.ServeHTTP(w, r)
	}
}

type nullWriter struct{ h http.Header }

func (w nullWriter) Header() http.Header         { return w.h }
func (w nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w nullWriter) WriteHeader(int)             {}

func TestIDsAreMadeWhenAskedForOf32DigitsAndEachIsAnother(t *testing.T) {
	var got string
	h := gateway(t, snapshot.Options{}, func(_ http.ResponseWriter, r *http.Request) {
		if id := exchange.Of(r).ID; id != "" {
			t.Errorf("nobody has asked for the id %q", id)
		}
		got = exchange.Of(r).RequestID()
	})
	ids, digits := map[string]bool{}, map[rune]bool{}
	for range 200 {
		do(h, "GET", "/things/1")
		for _, digit := range got {
			digits[digit] = true
		}
		ids[got] = true
		if len(got) != 32 || strings.Trim(got, "0123456789abcdef") != "" {
			t.Fatalf("the id is %q", got)
		}
	}
	if len(ids) != 200 || len(digits) != 16 {
		t.Errorf("%d ids of %d digits", len(ids), len(digits))
	}
}

// What serving allocates beside the engine's own allocations: the text of the id.
const allocationsOfServing = 1

func TestServingARequestAllocatesNoMoreThanStated(t *testing.T) {
	metrics := telemetry.New("test")
	meter, release := metrics.Route("x")
	defer release()
	h := gateway(t, snapshot.Options{}, func(http.ResponseWriter, *http.Request) {}, func(_ *snapshot.Snapshot, r *snapshot.Route) { r.Meter = meter })
	r := httptest.NewRequest(http.MethodGet, "/things/1?a=b", nil)
	r.Header = exchange.Ordered("Accept", "*/*")
	w := nullWriter{exchange.Ordered()}
	begun := func() *http.Request { // as our own engine makes requests
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		return r.WithContext(ctx)
	}
	all := testing.AllocsPerRun(1000, func() { h.ServeHTTP(w, begun()) })
	engines := testing.AllocsPerRun(1000, func() { _ = begun() })
	if got := all - engines; got > allocationsOfServing {
		t.Errorf("%v allocations, want %d", got, allocationsOfServing)
	}
}

// The context of a request is reused for the next one only if no code that might keep it has seen it.
func TestAContextIsUsedAgainWhereNobodyCanHaveIt(t *testing.T) {
	alone := func(_ *snapshot.Snapshot, r *snapshot.Route) { r.Alone = true }
	tracer, err := tracing.New(tracing.Options{To: "http://127.0.0.1:1", Getenv: func(string) string { return "" }}, new(tracing.Counts), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	defer tracer.Close(ended) // no collector receives the spans
	traced := func(s *snapshot.Snapshot, _ *snapshot.Route) { s.Tracer = tracer }
	for name, c := range map[string]struct {
		options snapshot.Options
		change  []func(*snapshot.Snapshot, *snapshot.Route)
		again   bool
	}{
		"nobody":          {change: []func(*snapshot.Snapshot, *snapshot.Route){alone}, again: true},
		"a filter":        {},
		"a tracer":        {change: []func(*snapshot.Snapshot, *snapshot.Route){alone, traced}},
		"who is told all": {options: snapshot.Options{Visited: func(*http.Request, *exchange.Exchange, exchange.Outcome) {}}, change: []func(*snapshot.Snapshot, *snapshot.Route){alone}},
	} {
		h := gateway(t, c.options, func(_ http.ResponseWriter, r *http.Request) { exchange.Of(r).Forgo() }, c.change...)
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/things/1", nil).WithContext(ctx))
		if ctx.Cancel(nil); ctx.Leave() != (c.again && !poison.On) {
			t.Errorf("%s: it is used again: %t", name, !c.again)
		}
	}
}

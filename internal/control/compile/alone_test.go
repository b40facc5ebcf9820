package compile_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/filter"
)

// replies is a response writer whose head is of lines, as that of our own engine.
type replies struct {
	io.Writer

	status int
	head   http.Header
}

func (w *replies) Header() http.Header    { return w.head }
func (w *replies) WriteHeader(status int) { w.status = status }

// served asks the gateway as our own engine would, and tells whether what the request was made of is the next one's.
func (w *world) served(method string, fields ...string) (status int, head exchange.Head, again bool) {
	ctx := new(exchange.RequestContext)
	ctx.Under(w.t.Context())
	r := httptest.NewRequest(method, "/a/1", nil).WithContext(ctx)
	r.Header = exchange.Ordered(fields...)
	answer := &replies{Writer: io.Discard, head: exchange.Ordered()}
	w.gateway.Handler(":8080").ServeHTTP(answer, r)
	ctx.Cancel(nil)
	return answer.status, exchange.MapHead(answer.head), ctx.Leave()
}

// keepNothing are the filters that keep nothing of what passes them (folder all holds which these are), in ways in which they take different roads.
var keepNothing = map[string][]string{
	"headers": {
		"headers: { request: { set: { X-A: a }, remove: X-B }, response: { set: { X-C: c }, add: { X-D: d } } }",
		"headers: { request: { set: { X-A: =request.path } }, response: { set: { X-C: =request.id } } }",
		"headers: { request: { set: { X-A: =request.path } } }",
	},
	"secure_headers": {"secure_headers: true"},
	"body":           {"body: 1MB"},
	"ip":             {"ip: { deny: 198.51.100.0/24 }", "ip: { deny: 192.0.2.0/24, dry_run: true }"},
	"cors":           {"cors: https://shop.dev", `cors: "*"`},
	"csrf":           {"csrf: same-origin"},
	"limit":          {"limit: 1000/s per client.ip", "limit: { concurrent: 10 }", "limit: { rate: 1000/s, per: =request.host }"},
	"allow":          {"allow: =request.method == 'GET'", "allow: { rule: '=false', dry_run: true }"},
	"rewrite":        {"rewrite: /b/{id}", "rewrite: { host: shop.dev }"},
}

// route serves requests by a route with these filters.
func (w *world) route(backend string, filters ...string) {
	w.t.Helper()
	w.serve(w.load("routes:\n  GET /a/{id}:\n    " + strings.Join(filters, "\n    ") + "\n    to: " + backend + "\n"))
}

// holdAlone asks thrice, the first time with a connection that is made for it, and holds whether the last request leaves its memory to
// the next one.
func (w *world) holdAlone(what string, want bool) {
	w.t.Helper()
	var again bool
	for range 3 {
		var status int
		if status, _, again = w.served(http.MethodGet, "Origin", "https://shop.dev", "X-B", "b"); status != http.StatusOK {
			w.t.Fatalf("%s: %d", what, status)
		}
	}
	if again != (want && !poison.On) {
		w.t.Errorf("%s: its memory is used again: %t", what, again)
	}
}

// A request past filters that keep nothing leaves all that it is made of to the next one, as one does that passes none.
func TestARequestPastFiltersThatKeepNothingIsAlone(t *testing.T) {
	w, to := newWorld(t), backend(t, "b").URL
	w.route(to)
	w.holdAlone("no filter", true)
	all := []string{keepNothing["headers"][0]}
	for name, ways := range keepNothing {
		for _, way := range ways {
			w.route(to, way)
			w.holdAlone(way, true)
		}
		if name != "headers" {
			all = append(all, ways[0])
		}
	}
	w.route(to, all...)
	w.holdAlone("all of them", true)
}

// One filter that may keep something is enough, wherever it stands, and so is one that has not said anything.
func TestARequestPastAFilterThatMayKeepIsNotAlone(t *testing.T) {
	w, to := newWorld(t), backend(t, "b").URL
	const harmless, inner = "headers: { response: { set: { X-A: a } } }", "rewrite: { host: shop.dev }"
	for _, may := range []string{"transform: { response: { status: 200 } }", "coalesce: true", "inner: ok", "last: ok", "count: { name: a }"} {
		w.route(to, may)
		w.holdAlone(may, false)
		w.route(to, harmless, may, inner)
		w.holdAlone("among others, "+may, false)
	}
	for on, want := range map[string]bool{"headers: { request: { set: { X-A: a } } }": true, "last: ok": false} {
		w.serve(w.load("routes:\n  GET /a/{id}:\n    " + harmless + "\n    to:\n      - { use: \"" + to + "\", share: 100%, " + on + " }\n"))
		w.holdAlone("on a backend, "+on, want)
	}
}

// What an expression waits with for its client is not the next request's.
func TestARequestWhoseContextAnExpressionWaitsOnIsNotAlone(t *testing.T) {
	w, to := newWorld(t), backend(t, "b").URL
	const long = `"=request.headers['x'].matches(request.headers['y'])"` // nobody knows beforehand how long it takes
	w.route(to, "allow: "+long)
	w.holdAlone("a guard", false)
	w.route(to, "headers: { request: { set: { X-A: "+long+" } } }")
	w.holdAlone("a field of the request", false)
	w.route(to, "headers: { response: { set: { X-A: "+long+" } } }")
	w.holdAlone("a field of the response", false)
}

// The first attempt may have borrowed the request, whose context is that attempt's then and has ended with it.
func TestWhatIsComputedForAResponseDoesNotEndWithAnAttemptThatFailed(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	w := newWorld(t)
	// So many rounds that it is looked whether anybody still waits.
	w.route(s.URL, `headers: { response: { set: { X-A: "=request.headers['x-b'].split(',').all(x, request.headers['x-b'].split(',').all(y, x + y != 'zz')) ? 'y' : 'n'" } } }`)
	status, head, _ := w.served(http.MethodGet, "X-B", strings.Repeat("b,", 130))
	if status != http.StatusOK || head.Get("X-A") != "y" || asked.Load() != 2 {
		t.Errorf("%d after %d attempts, X-A: %s", status, asked.Load(), head.Get("X-A"))
	}
}

// The memory is the same, and nothing of one request is seen by the next one.
func TestWhatFiltersChangeIsNotSeenByTheNextRequest(t *testing.T) {
	seen := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	t.Cleanup(s.Close)
	w := newWorld(t)
	w.route(s.URL, "headers: { request: { set: { X-A: a, X-From: \"=request.headers['x-who']\" }, remove: X-B }, response: { set: { X-To: \"=request.headers['x-who']\", X-C: c } } }")
	for _, who := range []string{"ann", "bob", "", "eve"} {
		status, head, _ := w.served(http.MethodGet, "X-Who", who, "X-B", "b", "x-a", "theirs", "X-A", "twice")
		got := <-seen
		if status != http.StatusOK || head.Get("X-To") != who || head.Get("X-C") != "c" || got.Get("X-From") != who || got.Get("X-B") != "" || !slices.Equal(got["X-A"], []string{"a"}) {
			t.Errorf("%q: %d, %v, %v", who, status, head.Names(), got)
		}
	}
}

// A filter's own guard and adapter are asked with the exchange of the request before, where that was alone.
func TestTheExchangeOfARequestThatWasAloneIsTheNextOnes(t *testing.T) {
	w, to := newWorld(t), backend(t, "b").URL
	var had []*exchange.Exchange
	w.parts.Filters = append(w.parts.Filters, filter.Define("honest", "keeps nothing but for this test", filter.StageAuth, func() filterConfig { return filterConfig{} },
		func(filter.Env, *filterConfig) (filter.Policy, error) {
			return filter.Policy{KeepsNothing: true, Guard: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					had = append(had, exchange.Of(r))
					next.ServeHTTP(rw, r)
				})
			}}, nil
		}))
	w.compiler = w.newCompiler()
	t.Cleanup(func() { w.compiler.Close(t.Context()) })
	w.route(to, "honest: ok", "headers: { response: { set: { X-A: a } } }")
	ctx := new(exchange.RequestContext)
	ctx.Under(t.Context())
	for range 4 {
		r := httptest.NewRequest(http.MethodGet, "/a/1", nil).WithContext(ctx)
		r.Header = exchange.Ordered()
		w.gateway.Handler(":8080").ServeHTTP(&replies{Writer: io.Discard, head: exchange.Ordered()}, r)
		if ctx.Cancel(nil); !ctx.Leave() {
			ctx = new(exchange.RequestContext)
			ctx.Under(t.Context())
			continue
		}
		ctx.Again(t.Context())
	}
	if same := had[2] == had[1] && had[3] == had[2]; same == poison.On {
		t.Errorf("they are the same: %t", same)
	}
}

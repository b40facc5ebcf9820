package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The tests of this file play an engine that keeps heads in their original form, in both directions. What it reads
// and writes is compared as text.

// ordered makes a header map of such an engine.
func ordered(lines ...string) http.Header { return exchange.Ordered(lines...) }

// parsed makes a header map of "name: value" lines.
func parsed(text string) http.Header {
	var lines []string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		lines = append(lines, name, value)
	}
	return ordered(lines...)
}

// written formats a head as the engine writes it: header maps may have become plain ones.
func written(head exchange.Head) string {
	var b strings.Builder
	for name, value := range head.All() {
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String()
}

// trailing is a body that is followed by trailers.
type trailing struct {
	io.Reader

	announced exchange.Head
	come      string
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF && b.come != "" {
		for _, name := range b.announced.Names() {
			b.announced.Del(name)
		}
		exchange.CopyAll(b.announced, exchange.MapHead(parsed(b.come)))
		b.come = ""
	}
	return n, err
}

func (*trailing) Close() error { return nil }

// lineWriter is the engine's response writer.
type lineWriter struct {
	strings.Builder

	header http.Header
	final  bool
}

func (w *lineWriter) Header() http.Header { return w.header }
func (w *lineWriter) FlushError() error   { return nil }

func (w *lineWriter) WriteHeader(status int) {
	if !w.final {
		fmt.Fprintf(w, "%d\n%s\n", status, written(exchange.MapHead(w.header)))
		w.final = status >= 200
	}
}

// end writes the trailers.
func (w *lineWriter) end() {
	for name, value := range exchange.MapHead(w.header).All() {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			fmt.Fprintf(w, "\n%s: %s", name, value)
		}
	}
}

// lineBackend is the engine's connection to a backend: it records what it sends, and answers.
type lineBackend struct {
	sent             string
	hints, head      string
	body             string
	announced, after string // trailers
}

func (b *lineBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b.sent = fmt.Sprintf("%s %s\n%s\n%s\n%s", r.Method, r.URL.RequestURI(), written(exchange.RequestHead(r)), body, written(exchange.RequestTrailer(r)))
	if b.hints != "" {
		exchange.Of(r).Informational.Inform(http.StatusEarlyHints, exchange.MapHead(parsed(b.hints)))
	}
	res := &http.Response{StatusCode: http.StatusOK, Header: parsed(b.head), ContentLength: -1, Request: r, ProtoMajor: 1, ProtoMinor: 1}
	if b.announced != "" {
		res.Trailer = ordered(b.announced, "")
	}
	res.Body = &trailing{strings.NewReader(b.body), exchange.ResponseTrailer(res), b.after}
	return res, nil
}

// chain wraps the proxy in the filters of a YAML map, as a route does.
func chain(t *testing.T, filters string, backend http.RoundTripper) http.Handler {
	t.Helper()
	var ps doc.Problems
	node := doc.Parse("test.yaml", []byte(filters), &ps)
	var policies []filter.Policy
	for _, d := range all.Definitions() {
		n := node.Get(d.Name)
		if n == nil {
			continue
		}
		c := d.New()
		doc.Decode(n, c, &ps)
		p, err := d.Build(filter.Env{}, c)
		if err != nil || ps.Failed() {
			t.Fatal(err, ps.Sorted())
		}
		policies = append(policies, p)
	}
	for i := range policies {
		if adapt := policies[len(policies)-1-i].Adapt; adapt != nil {
			backend = adapt(backend)
		}
	}
	h := proxy.New(proxy.Options{Backend: backend})
	for i := range policies {
		if guard := policies[len(policies)-1-i].Guard; guard != nil {
			h = guard(h)
		}
	}
	return h
}

// through sends a request of the engine through h and returns what the client got.
func through(t *testing.T, h http.Handler, r *http.Request) string {
	t.Helper()
	w := &lineWriter{header: ordered()}
	x := &exchange.Exchange{ID: "id-1", Start: time.Now(), Path: "/a"}
	x.Client = forward.Receive(netip.MustParseAddrPort("192.0.2.1:1"), false, "shop.dev", exchange.RequestHead(r), nil)
	ew, r := exchange.Begin(w, r, x)
	h.ServeHTTP(ew, r)
	ew.Finish(nil)
	w.end()
	return w.String()
}

func lineRequest(method, head, body, announced, after string) *http.Request {
	r := httptest.NewRequest(method, "http://shop.dev/a", nil)
	r.Header = parsed(head)
	if body != "" {
		r.ContentLength = -1
		if announced != "" {
			r.Trailer = ordered(announced, "")
		}
		r.Body = &trailing{strings.NewReader(body), exchange.RequestTrailer(r), after}
	}
	return r
}

const bothFilters = `
headers:
  request: { set: { X-Set: s }, add: { X-Many: "3" }, remove: x-gone }
  response: { set: { X-Frame-Options: DENY }, remove: SERVER, add: { X-Seen: "=response.headers['X-kind']" } }
cors: { origins: [https://shop.dev], expose: "*", credentials: true }
`

func TestOrderAndSpellingSurviveThroughTheWholeChain(t *testing.T) {
	backend := &lineBackend{
		hints:     "LINK: </a.css>\nlink: </b.css>\n",
		head:      "x-KIND: odd\nServer: s\nSet-cookie: b=1\nset-Cookie: a=2\nConnection: X-Hop\nX-Hop: 1\nx-frame-options: ALLOW\n",
		body:      "hello",
		announced: "x-SUM",
		after:     "x-SUM: 7\nX-late: 1\nSet-Cookie: smuggled\nx-late: 2\n",
	}
	svc := service.New(service.Options{Name: "shop", Transport: backend, Log: slog.New(slog.DiscardHandler)})
	svc.Set([]discovery.Endpoint{{Address: "192.0.2.2:80", Weight: 1}})
	got := through(t, chain(t, bothFilters, svc), lineRequest(http.MethodPost,
		"ORIGIN: https://shop.dev\nx-many: 1\nConnection: x-private, keep-alive\nX-Many: 2\nX-Private: 1\nTE: trailers\nx-GONE: 1\nx_forwarded_for: 6.6.6.6\ncookie: a=1\n",
		"ping", "x-Digest", "x-Digest: 9\nhost: evil\nx-unannounced: 1\n"))
	wantSent := `POST /a
ORIGIN: https://shop.dev
x-many: 1
X-Many: 2
cookie: a=1
Te: trailers
Via: 1.1 weir
X-Forwarded-Proto: http
X-Forwarded-Port: 80
X-Forwarded-Host: shop.dev
X-Forwarded-For: 192.0.2.1
X-Request-Id: id-1
X-Set: s
X-Many: 3

ping
x-Digest: 9
`
	if backend.sent != wantSent {
		t.Errorf("the backend got\n%s\nwant\n%s", backend.sent, wantSent)
	}
	want := `103
LINK: </a.css>
link: </b.css>

200
x-KIND: odd
Set-cookie: b=1
set-Cookie: a=2
X-Frame-Options: DENY
X-Seen: odd
Trailer: x-SUM
Vary: Origin
Access-Control-Allow-Origin: https://shop.dev
Access-Control-Allow-Credentials: true
Access-Control-Expose-Headers: Trailer, Vary, X-Frame-Options, X-Kind, X-Seen

hello
x-SUM: 7
X-late: 1
x-late: 2`
	if got != want {
		t.Errorf("the client got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatTheGatewayAnswersItselfHasAnOrder(t *testing.T) {
	const origin = "Origin: https://shop.dev\n"
	problem := fault.NoEndpoint.New("Try later.", fault.RetryAfter(time.Second), fault.WithField("WWW-Authenticate", "a"), fault.WithField("WWW-Authenticate", "b"))
	body := string(problem.Answer(fault.Context{RequestID: "id-1"}).Body)
	failing := roundTripper(func(*http.Request) (*http.Response, error) { return nil, problem })
	for _, tt := range []struct{ name, filters, want string }{
		{"respond", "respond: { status: 418, body: tea, headers: { X-b: one, x-A: two } }\ncors: https://shop.dev\n", `418
Content-Type: text/plain; charset=utf-8
X-A: two
X-B: one
Content-Length: 3
Vary: Origin
Access-Control-Allow-Origin: https://shop.dev

tea`},
		{"an expression", "respond: \"={'user': request.headers['ORIGIN']}\"\n", `200
Content-Length: 27
Content-Type: application/json

{"user":"https://shop.dev"}`},
		{"redirect", "redirect: https://new.dev/\nheaders: { response: { set: { X-A: b } } }\n", `302
Location: https://new.dev/
Content-Length: 0
X-A: b

`},
		{"a fault", "headers: { response: { set: { X-A: b, X-C: \"=response.headers['content-type']\" } } }\ncors: https://shop.dev\n", `503
WWW-Authenticate: a
WWW-Authenticate: b
Retry-After: 1
Content-Type: application/problem+json
Content-Length: ` + fmt.Sprint(len(body)) + `
Cache-Control: no-store
X-Content-Type-Options: nosniff
X-A: b
X-C: application/problem+json
Vary: Origin
Access-Control-Allow-Origin: https://shop.dev

` + body},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := through(t, chain(t, tt.filters, failing), lineRequest(http.MethodGet, origin, "", "", "")); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The engine on the backend's side may be net/http's.
func TestLinesMeetABackendBehindNetHTTP(t *testing.T) {
	backend := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Echo")
		w.Header()["X-Got"] = r.Header["X-Odd"]
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Echo", r.Trailer.Get("X-Digest"))
	}))
	for _, protocol := range []string{transport.HTTP, transport.H2C} {
		road, err := transport.New(transport.Options{Protocol: protocol, Engine: config.Engine(*engine)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(road.CloseIdle)
		svc := service.New(service.Options{Name: "shop", Transport: road})
		svc.Set([]discovery.Endpoint{{Address: backend.Listener.Addr().String(), Weight: 1}})
		got := through(t, proxy.New(proxy.Options{Backend: svc}), lineRequest(http.MethodPost,
			"x-ODD: 1\nX-odd: 2\nTE: trailers\n", "ping", "x-Digest", "x-Digest: 9\n"))
		if !strings.HasPrefix(got, "201\n") || !strings.Contains(got, "X-Got: 1\nX-Got: 2\n") || !strings.Contains(got, "Trailer: X-Echo\n") || !strings.HasSuffix(got, "\nX-Echo: 9") {
			t.Errorf("%s: got %s", protocol, got)
		}
	}
}

// A handler that is not Weir's own sees maps that hold the header fields, and what it writes to them is sent.
func TestOthersSeeMaps(t *testing.T) {
	foreign := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange.Plain(r)
		w.Header().Set("x-got", r.Header.Get("x-ODD"))
		w.WriteHeader(http.StatusAccepted)
	})
	got := through(t, foreign, lineRequest(http.MethodGet, "X-odd: 1\n", "", "", ""))
	if !strings.HasPrefix(got, "202\n") || !strings.Contains(got, "X-Got: 1\n") {
		t.Errorf("got %s", got)
	}
}

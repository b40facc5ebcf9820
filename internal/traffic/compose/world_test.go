package compose_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/compose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend answers the steps that call http://NAME.
type backend func(*http.Request) (*http.Response, error)

func (b backend) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b(r)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return res, err
}

// reply is a response of a backend.
func reply(r *http.Request, status int, body string) (*http.Response, error) {
	res := exchange.NewResponse(r, status)
	res.Body, res.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return res, nil
}

// says makes a backend that always gives the same answer, with the header fields head.
func says(status int, body string, head ...string) backend {
	return func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, status, body)
		for i := 0; i < len(head); i += 2 {
			exchange.ResponseHead(res).Add(head[i], head[i+1])
		}
		return res, err
	}
}

// zipped returns a text compressed with gzip.
func zipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err = errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// world holds the backends of compositions, by the host in their URLs.
type world map[string]backend

// route builds the composition on the first route of a config, whose lines begin below `routes:`.
func (w world) route(tb testing.TB, text string) *compose.Composition {
	tb.Helper()
	r := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte("listen: :80\nroutes:\n" + text)}}, config.Vocabulary{
		Schemes: []config.Scheme{{Name: "http", Example: "http://a"}, config.ComposeScheme()},
	})
	if r.Config == nil {
		tb.Fatalf("refused: %v\n%s", r.Problems, text)
	}
	ref := r.Config.Routes[0].Backends[0].Ref
	return w.composition(tb, r.Config, ref.Rest)
}

func (w world) composition(tb testing.TB, c *config.Config, name string) *compose.Composition {
	tb.Helper()
	for i := range c.Compositions {
		m := &c.Compositions[i]
		if m.Name != name {
			continue
		}
		o := compose.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve}
		o.Backend = func(call *config.Step) (compose.Backend, error) {
			ref := call.Ref
			host, plain := strings.CutPrefix(ref.Rest, "//")
			b := compose.Backend{RoundTripper: w[host], Host: host}
			if !plain {
				b.RoundTripper = w.composition(tb, c, ref.Rest)
			}
			if b.RoundTripper == nil || plain && w[host] == nil {
				tb.Fatalf("there is no backend %q", ref.Rest)
			}
			return b, nil
		}
		made, err := compose.New(m, o)
		if err != nil {
			tb.Fatal(err)
		}
		return made
	}
	tb.Fatalf("there is no composition %q", name)
	return nil
}

// request makes a request within an exchange that has captured user = 7.
func request(method, target, body string, head ...string) *http.Request {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, content)
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Add(head[i], head[i+1])
	}
	x := &exchange.Exchange{
		ID: "id-1", Host: "shop.dev", Path: r.URL.Path, Query: r.URL.RawQuery, Route: "GET /home/{user}",
		Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.1"), Scheme: "http", Host: "shop.dev"},
	}
	x.Params.Add("user", "7")
	return exchange.With(r, x)
}

// answered is what the composition returned.
type answered struct {
	status int
	head   exchange.Head
	body   string
	fault  *fault.Fault
	err    error
	x      *exchange.Exchange
}

// ask sends r and reads the whole answer.
func ask(tb testing.TB, c http.RoundTripper, r *http.Request) answered {
	tb.Helper()
	a := answered{x: exchange.Of(r)}
	res, err := c.RoundTrip(r)
	if err != nil {
		a.err = err
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			a.fault, a.status = f, f.Status
		}
		return a
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	a.status, a.head, a.body = res.StatusCode, exchange.ResponseHead(res), string(body)
	return a
}

// get sends a request for /home/7.
func get(tb testing.TB, c http.RoundTripper, head ...string) answered {
	tb.Helper()
	return ask(tb, c, request(http.MethodGet, "/home/7", "", head...))
}

// want checks status and body, or for a problem the status and code.
func (a answered) want(t *testing.T, name string, status int, text string) {
	t.Helper()
	got := a.body
	if a.fault != nil {
		got = a.fault.Code
	}
	if a.err != nil && a.fault == nil {
		got = a.err.Error()
	}
	if a.status != status || got != text {
		t.Errorf("%s: got %d %s (%v), want %d %s", name, a.status, got, a.err, status, text)
	}
}

// barrier blocks until a given number of callers have arrived, or the request is over.
type barrier struct {
	mu      sync.Mutex
	missing int
	full    chan struct{}
}

func newBarrier(n int) *barrier { return &barrier{missing: n, full: make(chan struct{})} }

func (b *barrier) wait(ctx context.Context) error {
	b.mu.Lock()
	if b.missing--; b.missing == 0 {
		close(b.full)
	}
	b.mu.Unlock()
	select {
	case <-b.full:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// diary records which backend was asked for what, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.lines, "\n")
}

// dump formats a request as a backend gets it, with its header fields sorted by name.
func dump(r *http.Request) string {
	var b bytes.Buffer
	_ = r.Header.Write(&b)
	body, _ := io.ReadAll(r.Body)
	return r.Method + " " + r.URL.RequestURI() + " of " + r.Host + "\n" + strings.ReplaceAll(b.String(), "\r", "") + string(body)
}

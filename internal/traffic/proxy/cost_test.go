//go:build !poison

// The poison build scrambles memory that is given back and does not reuse it, so allocations are not counted there.

package proxy_test

import (
	"bytes"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
)

// What passing a request on allocates, beside what its engines allocate: the exchange and its id.
const allocationsOfPassing = 2

// kept is an answer that has arrived whole, like the Body of our own engine.
type kept struct {
	bytes.Reader

	head *exchange.Lines
}

func (*kept) Close() error  { return nil }
func (*kept) Whole() bool   { return true }
func (*kept) Release() bool { return true }

func (k *kept) Head() *exchange.Lines { return k.head }

// taker is a response writer whose head is kept as lines.
type taker struct{ head http.Header }

func (w *taker) Header() http.Header         { return w.head }
func (w *taker) Write(p []byte) (int, error) { return len(p), nil }
func (w *taker) WriteHeader(int)             {}

func TestPassingARequestOnAllocatesNoMoreThanStated(t *testing.T) {
	content := []byte("an answer")
	res := &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(content)), Header: exchange.Ordered("Content-Type", "text/plain")}
	body := &kept{head: exchange.LinesOf(res.Header)}
	p := proxy.New(proxy.Options{
		Timeouts: config.Timeouts{Idle: time.Minute},
		Backend: roundTrip(func(req *http.Request) (*http.Response, error) {
			body.Reset(content)
			res.Body, res.Request = body, req
			return res, nil
		}),
	})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.dev/orders/7", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = exchange.Ordered("Accept", "*/*", "User-Agent", "curl/8")
	w := &taker{exchange.Ordered()}
	client := exchange.Client{Peer: netip.MustParseAddrPort("192.0.2.1:1"), IP: netip.MustParseAddr("192.0.2.1"), Scheme: "http", Host: "shop.dev"}
	on := new(exchange.Connection)
	begun := func() *http.Request { // as an engine makes requests
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		return r.WithContext(ctx)
	}
	all := testing.AllocsPerRun(1000, func() {
		exchange.LinesOf(w.head).Forget()
		x := &exchange.Exchange{Path: "/orders/7", Client: client, Connection: on}
		ew, r := exchange.Begin(w, begun(), x)
		p.ServeHTTP(ew, r)
		if o := ew.Finish(nil); o.Err != nil || o.Written != int64(len(content)) {
			t.Fatalf("%+v", o)
		}
	})
	engines := testing.AllocsPerRun(1000, func() { _ = begun() })
	if got := all - engines; got > allocationsOfPassing+instrumented {
		t.Errorf("%v allocations, want %d", got, allocationsOfPassing)
	}
}

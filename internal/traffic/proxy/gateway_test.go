package proxy_test

import (
	"bufio"
	"context"
	"flag"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// engine is what speaks HTTP/1.1 with the backend in these tests. They demand the same of each engine.
var engine = flag.String("engine", string(config.OwnEngine), "the engine: std or own")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup says how a gateway under test differs from the plain one.
type setup struct {
	protocol  string // towards the backend
	retry     int
	timeouts  config.Timeouts
	bodyBytes int64
	host      string
	trusted   []netip.Prefix
	addresses []string // of the endpoints, instead of the backend's
}

// gateway is a proxy in front of a service, on real sockets.
type gateway struct {
	*httptest.Server

	backend  *httptest.Server // nil if only addresses are given
	service  *service.Service
	outcomes chan exchange.Outcome
	faults   chan string // code of each exchange's fault, "" without one
}

// start serves backend on a socket of its own, with a gateway in front of it.
func start(tb testing.TB, s setup, backend http.Handler) *gateway {
	tb.Helper()
	g := &gateway{outcomes: make(chan exchange.Outcome, 1000), faults: make(chan string, 1000)}
	addresses := s.addresses
	if backend != nil {
		g.backend = serve(tb, backend)
		addresses = append(addresses, g.backend.Listener.Addr().String())
	}
	road, err := transport.New(transport.Options{Protocol: s.protocol, Engine: config.Engine(*engine)})
	if err != nil {
		tb.Fatal(err)
	}
	g.service = service.New(service.Options{
		Name: "users", Transport: road, Log: slog.New(slog.DiscardHandler),
		Retry: config.Retry{Attempts: s.retry}, Timeouts: s.timeouts,
	})
	var endpoints []discovery.Endpoint
	for _, a := range addresses {
		endpoints = append(endpoints, discovery.Endpoint{Address: a, Weight: 1})
	}
	g.service.Set(endpoints)
	g.Server = serve(tb, g.open(s.trusted, proxy.New(proxy.Options{
		Backend: g.service, Host: s.host, Timeouts: s.timeouts, BodyBytes: s.bodyBytes,
	})))
	tb.Cleanup(road.CloseIdle)
	return g
}

// serve starts a server that speaks HTTP/1.1 and h2c.
func serve(tb testing.TB, h http.Handler) *httptest.Server {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	tb.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// open does what the gateway's entry does: it cleans the head and opens the exchange.
func (g *gateway) open(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _ := netip.ParseAddrPort(r.RemoteAddr)
		client := forward.Receive(peer, r.TLS != nil, r.Host, exchange.RequestHead(r), trusted)
		x := &exchange.Exchange{
			ID: "test-id", Start: time.Now(), Client: client, Host: r.Host,
			Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		}
		x.OnDone(func(o exchange.Outcome) {
			code := ""
			if x.Fault != nil {
				code = x.Fault.Code
			}
			g.outcomes <- o
			g.faults <- code
		})
		ew, r := exchange.Begin(w, r, x)
		defer func() {
			if p := recover(); p != nil {
				ew.Finish(http.ErrAbortHandler)
				panic(p)
			}
			ew.Finish(nil)
		}()
		next.ServeHTTP(ew, r)
	})
}

// client returns an HTTP client for a protocol: "http" or "h2c".
func client(tb testing.TB, protocol string) *http.Client {
	tb.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, ExpectContinueTimeout: await.Patience}
	tr.Protocols.SetHTTP1(protocol == transport.HTTP)
	tr.Protocols.SetUnencryptedHTTP2(protocol == transport.H2C)
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: await.Patience, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func request(tb testing.TB, method, url string, body io.Reader) *http.Request {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	tb.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

func do(tb testing.TB, c *http.Client, req *http.Request) *http.Response {
	tb.Helper()
	res, err := c.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func read(tb testing.TB, r io.Reader) string {
	tb.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// rawBackend is a backend at the level of bytes: handle gets each connection.
func rawBackend(tb testing.TB, handle func(net.Conn, *bufio.Reader)) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(await.Patience))
				handle(conn, bufio.NewReader(conn))
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

// readHead reads a request's head from a connection.
func readHead(r *bufio.Reader) string {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// raw opens a connection to the gateway and writes text to it.
func raw(tb testing.TB, g *gateway, text string) (*net.TCPConn, *bufio.Reader) {
	tb.Helper()
	conn, err := net.Dial("tcp", g.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(await.Patience))
	if _, err := io.WriteString(conn, text); err != nil {
		tb.Fatal(err)
	}
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// idleAgain reports whether no endpoint has a request in flight.
func (g *gateway) idleAgain() bool {
	for _, e := range g.service.Status().Endpoints {
		if e.InFlight != 0 {
			return false
		}
	}
	return true
}

package http1_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// usual is a request with the header fields that a browser sends.
const usual = "GET /products/tea.json?page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n" +
	"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Referer: https://shop.example/\r\nCookie: session=0123456789abcdef\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\r\n"

// again is a connection whose client sends the same request n times, each when the previous response has begun to
// arrive, and then leaves.
type again struct {
	request string
	left    int
	sent    int // of this request
	mu      sync.Mutex
	closed  chan struct{}
	once    sync.Once
}

func (a *again) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, a.request[a.sent:])
	if a.sent += n; a.sent == len(a.request) {
		a.sent = 0
		a.left--
	}
	return n, nil
}

func (*again) Write(p []byte) (int, error)      { return len(p), nil }
func (*again) SetDeadline(time.Time) error      { return nil }
func (*again) SetReadDeadline(time.Time) error  { return nil }
func (*again) SetWriteDeadline(time.Time) error { return nil }
func (*again) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "server"} }
func (*again) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "client"} }

func (a *again) Close() error {
	a.once.Do(func() { close(a.closed) })
	return nil
}

var page = []byte(strings.Repeat("x", 1024))

// plainHandler answers with 1 KiB, as handlers written for net/http do.
func plainHandler(w http.ResponseWriter, _ *http.Request) {
	w.Header()["Content-Type"] = []string{"text/plain"}
	w.Header()["Content-Length"] = []string{"1024"}
	_, _ = w.Write(page)
}

var rooms = sync.Pool{New: func() any { return new([16]byte) }}

// headHandler answers with 1 KiB, as Weir's own code does.
func headHandler(w http.ResponseWriter, r *http.Request) {
	if exchange.RequestHead(r).Get("Accept") == "" {
		panic("no Accept")
	}
	if r.ContentLength > 0 {
		room, _ := rooms.Get().(*[16]byte)
		defer rooms.Put(room)
		if n, err := r.Body.Read(room[:]); int64(n) != r.ContentLength || err != io.EOF {
			panic("no content")
		}
	}
	head := exchange.MapHead(w.Header())
	head.Set("Content-Type", "text/plain")
	head.Set("Content-Length", "1024")
	_, _ = w.Write(page)
}

// serveMany has the server answer the request n times on one connection.
func serveMany(tb testing.TB, request string, n int, lines bool, h http.HandlerFunc) {
	tb.Helper()
	conn := &again{request: request, left: n, closed: make(chan struct{})}
	s := http1.NewServer(http1.ServerOptions{Options: http1.Options{Limits: wide}, Handler: h, Lines: lines, KeepAlive: time.Minute})
	s.Serve(conn, time.Time{})
	<-conn.closed
	s.Close()
}

// The one allocation of a request is its context. Everything else is reused, and its texts are those of the previous
// request where they are the same.
const allocationsOfARequest = 1

func TestARequestAllocatesNoMoreThanStated(t *testing.T) {
	const n = 2000
	for name, request := range map[string]string{
		"GET":  usual,
		"POST": "POST /orders HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello",
	} {
		stated := allocationsOfARequest
		if name == "POST" {
			stated++ // its content, which may be read by code that has kept it
		}
		serveMany(t, request, 10, true, headHandler) // allocations that are made only once
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		serveMany(t, request, n, true, headHandler)
		runtime.ReadMemStats(&after)
		per := float64(after.Mallocs-before.Mallocs) / n
		t.Logf("%s: %.2f allocations", name, per)
		if per > float64(stated)+0.5 && exact {
			t.Errorf("%s: %.2f allocations, want %d", name, per, stated)
		}
	}
}

func BenchmarkServer(b *testing.B) {
	b.Run("own, lines", func(b *testing.B) {
		b.ReportAllocs()
		serveMany(b, usual, b.N, true, headHandler)
	})
	b.Run("own, maps", func(b *testing.B) {
		b.ReportAllocs()
		serveMany(b, usual, b.N, false, plainHandler)
	})
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		benchStd(b, func(c net.Conn) net.Conn { return c })
	})
	b.Run("std, sieved", func(b *testing.B) {
		b.ReportAllocs()
		options := &http1.Options{Limits: wide}
		benchStd(b, func(c net.Conn) net.Conn { return http1.NewSieve(c, options, time.Time{}) })
	})
}

func benchStd(b *testing.B, over func(net.Conn) net.Conn) {
	b.Helper()
	conn := &again{request: usual, left: b.N, closed: make(chan struct{})}
	l := &single{conn: make(chan net.Conn, 1), addr: conn.LocalAddr()}
	l.conn <- over(conn)
	s := &http.Server{
		Handler: http.HandlerFunc(plainHandler), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute,
		ConnState: func(c net.Conn, state http.ConnState) {
			if next, ok := c.(interface{ Next() }); ok && state == http.StateIdle {
				next.Next()
			}
		},
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	<-conn.closed
	_ = s.Close()
	<-served
}

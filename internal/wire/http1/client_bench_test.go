package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// parrot is an endpoint's connection in memory that gives the same answer to every write. Its socket is a pipe on
// which nothing arrives, so that the connection is kept.
type parrot struct {
	net.Conn

	answer string
	left   chan string // still to be read
	rest   string
	pipe   *os.File
	once   sync.Once
	closed chan struct{}
}

func newParrot(tb testing.TB, answer string) *parrot {
	tb.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return &parrot{answer: answer, left: make(chan string, 1), pipe: r, closed: make(chan struct{})}
}

func (p *parrot) Write(b []byte) (int, error) {
	p.left <- p.answer
	return len(b), nil
}

func (p *parrot) Read(b []byte) (int, error) {
	if p.rest == "" {
		select {
		case p.rest = <-p.left:
		case <-p.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *parrot) Close() error                          { p.once.Do(func() { close(p.closed) }); return nil }
func (p *parrot) SetDeadline(time.Time) error           { return nil }
func (p *parrot) SyscallConn() (syscall.RawConn, error) { return p.pipe.SyscallConn() }

// parrotAt listens as an endpoint that gives the same answer to whatever arrives in one piece.
func parrotAt(tb testing.TB, answer string) (address string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var serving sync.WaitGroup
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		piece, said := make([]byte, 4096), []byte(answer)
		for {
			if _, err := conn.Read(piece); err != nil {
				return
			}
			if _, err := conn.Write(said); err != nil {
				return
			}
		}
	}
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { serve(conn) })
		}
	})
	tb.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return l.Addr().String()
}

// usualAnswer has 1 KiB of content and the usual header fields.
var usualAnswer = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 1024\r\nConnection: keep-alive\r\nETag: \"5f1e\"\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n\r\n" + strings.Repeat("x", 1024)

// ask1KiB sends a request as the proxy makes it, reads the answer and releases it.
func ask1KiB(tb testing.TB, road http.RoundTripper, req *http.Request, piece []byte) {
	tb.Helper()
	res, err := road.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	for err == nil {
		_, err = res.Body.Read(piece)
	}
	if !errors.Is(err, io.EOF) {
		tb.Fatal(err)
	}
	_ = res.Body.Close()
	exchange.Release(res)
}

// proxied is a request as the proxy makes it.
func proxied(tb testing.TB, host string, lines bool) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+host+"/orders/17?all=1", nil)
	if err != nil {
		tb.Fatal(err)
	}
	if lines {
		req.Header = exchange.Ordered()
	}
	head := exchange.RequestHead(req)
	for _, f := range [][2]string{
		{"User-Agent", "curl/8"}, {"Accept", "*/*"}, {"Accept-Language", "en"}, {"Cookie", "a=b"}, {"X-Forwarded-For", "10.0.0.1"},
		{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Host", "a"}, {"X-Forwarded-Port", "443"}, {"X-Request-Id", "0123456789"}, {"Via", "1.1 weir"},
	} {
		head.Set(f[0], f[1])
	}
	return req
}

func ownClient(dial func() (net.Conn, error)) *http1.Client {
	return http1.NewClient(http1.ClientOptions{
		Dial: func(context.Context, string) (net.Conn, error) { return dial() },
		Idle: time.Minute, IdlePerHost: 256, Limits: wide, ContinueWait: time.Second,
	})
}

// What a request allocates is its share of the bodies, which are made several at once. The texts of the response's
// head are those of the previous response where they are the same.
const allocationsOfAsking = 0.1

func TestAskingAllocatesNoMoreThanStated(t *testing.T) {
	address := parrotAt(t, usualAnswer)
	for name, dial := range map[string]func() (net.Conn, error){
		"memory": func() (net.Conn, error) { return newParrot(t, usualAnswer), nil },
		"socket": func() (net.Conn, error) { return net.Dial("tcp", address) },
	} {
		c := ownClient(dial)
		req, piece := proxied(t, "a", true), make([]byte, 4096)
		ask1KiB(t, c, req, piece)
		const n = 2000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			ask1KiB(t, c, req, piece)
		}
		runtime.ReadMemStats(&after)
		c.CloseIdle()
		per := float64(after.Mallocs-before.Mallocs) / n
		t.Logf("%s: %.2f allocations", name, per)
		if per > allocationsOfAsking && exact {
			t.Errorf("%s: %.2f allocations, want %v", name, per, allocationsOfAsking)
		}
	}
}

func BenchmarkClient(b *testing.B) {
	run := func(name string, road http.RoundTripper, req *http.Request) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			piece := make([]byte, 4096)
			for b.Loop() {
				ask1KiB(b, road, req, piece)
			}
		})
	}
	dial := func() (net.Conn, error) { return newParrot(b, usualAnswer), nil }
	library := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }, DisableCompression: true}
	defer library.CloseIdleConnections()
	run("memory, own, lines", ownClient(dial), proxied(b, "a", true))
	run("memory, own, maps", ownClient(dial), proxied(b, "a", false))
	run("memory, std", library, proxied(b, "a:80", false))

	address := parrotAt(b, usualAnswer)
	own := ownClient(func() (net.Conn, error) { return net.Dial("tcp", address) })
	defer own.CloseIdle()
	sockets := &http.Transport{DisableCompression: true}
	defer sockets.CloseIdleConnections()
	run("loopback, own, lines", own, proxied(b, address, true))
	run("loopback, std", sockets, proxied(b, address, false))
}

package compile_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

// switching is a backend that agrees to every upgrade and then says nothing until
// the other side ends; to anything else it never answers.
func switching(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if r.Header.Get("Upgrade") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		}
		_, _ = io.Copy(io.Discard, in) // until the gateway closes
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// dial sends a request and gives its connection with the status of the response;
// with wait false it does not wait for one.
func dial(t *testing.T, address, request string, wait bool) (net.Conn, int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if !wait {
		return conn, 0
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, res.StatusCode
}

// TestARequestIsUnderWayUntilItHasEnded holds connections open in the ways in which
// they outlive a response's head: upgraded, and waiting for a backend that is silent.
func TestARequestIsUnderWayUntilItHasEnded(t *testing.T) {
	const (
		upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
		plain   = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	)
	for name, c := range map[string]struct {
		request string
		answers bool
	}{"an upgrade": {upgrade, true}, "a client that leaves": {plain, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(w.load("routes:\n  GET /:\n    limit: { concurrent: 2 }\n    to: http://" + switching(t) + "\n"))
			gateway := httptest.NewServer(w.gateway.Handler(":8080"))
			t.Cleanup(gateway.Close)
			address := gateway.Listener.Addr().String()
			first, _ := dial(t, address, c.request, c.answers)
			second, _ := dial(t, address, c.request, c.answers)
			w.awaitUnderWay(2)
			if _, status := dial(t, address, plain, true); status != http.StatusTooManyRequests {
				t.Fatalf("a third one gets %d", status)
			}
			for range 20 { // each that ends makes room for exactly one
				_ = first.Close()
				w.awaitUnderWay(1)
				first, _ = dial(t, address, c.request, c.answers)
				w.awaitUnderWay(2)
				if _, status := dial(t, address, plain, true); status != http.StatusTooManyRequests {
					t.Fatalf("after one has ended and one has come, another gets %d", status)
				}
			}
			_, _ = first.Close(), second.Close()
			w.awaitUnderWay(0)
		})
	}
}

// awaitUnderWay waits until the limit has counted so many.
func (w *world) awaitUnderWay(n int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	want := fmt.Sprintf("2 at once: %d under way", n)
	for tick := time.NewTicker(time.Millisecond); ; {
		e := w.gateway.Current().Explain(":8080", httptest.NewRequest(http.MethodGet, "/", nil), netip.AddrPort{}, nil)
		if e.Filters[0].Why == want {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("%s, want %s", e.Filters[0].Why, want)
		case <-tick.C:
		}
	}
}

package http1

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// okServer listens for requests and answers each with two bytes.
func okServer(tb testing.TB) net.Addr {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
		}
	}()
	return listener.Addr()
}

// What is known of a host is dropped with its last connection. The patrol frees the memory of unused connections.
func TestAHostIsForgottenWithItsLastConnection(t *testing.T) {
	address := okServer(t)
	c := NewClient(ClientOptions{
		Dial: func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address.String())
		},
		Idle: time.Minute, IdlePerHost: 2, Limits: Limits{HeadBytes: 1 << 10, HeadFields: 10},
	})
	ask := func(host string) *http.Response {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/", http.NoBody)
		res, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	read := func(res *http.Response) {
		if text, err := io.ReadAll(res.Body); string(text) != "ok" || err != nil {
			t.Fatalf("%q, %v", text, err)
		}
	}
	open := []*http.Response{ask("a"), ask("b"), ask("a"), ask("a")}
	for _, res := range open {
		read(res)
	}
	read(ask("a"))
	c.mu.Lock()
	if kept, all := c.shelves["a"], len(c.links); kept == nil || len(kept.links) != 2 || all != 3 {
		t.Errorf("of three connections to a host %v are kept, where two may be, and %d in all", kept, all)
	} else if last := kept.links[1]; last.room == nil && last.until == 0 {
		t.Error("a connection that was used just now has no memory any more")
	}
	c.mu.Unlock()
	c.patrol()
	c.mu.Lock()
	for l := range c.links {
		if l.room != nil || l.gather.lines != nil || l.until == 0 {
			t.Error("the patrol has seen a connection that is unused, and it has memory still")
		}
	}
	c.mu.Unlock()
	read(ask("a"))
	c.CloseIdle()
	c.mu.Lock()
	if len(c.links)+len(c.shelves) > 0 || c.latest != nil {
		t.Errorf("%d connections and %d hosts are known that are gone", len(c.links), len(c.shelves))
	}
	c.mu.Unlock()
	read(ask("b"))
	c.CloseIdle()
}

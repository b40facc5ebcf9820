package listen_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// TestARestIsNotSeen plays clients that pause just long enough for their connection to rest, and others that pause
// for a little less. Neither notices a difference, with or without TLS.
func TestARestIsNotSeen(t *testing.T) {
	certificate, _ := selfSigned(t)
	requests := []string{
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"\r\nGET /4 HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("c", 5000) + "\r\n\r\n",
		"GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	}
	want := []string{`GET /1 a ""`, `POST /2 a "hello"`, `POST /3 a "hello"`, `GET /4 a ""`, `GET /5 a ""`}
	for _, between := range []time.Duration{0, http1.RestAfter - time.Millisecond, http1.RestAfter, http1.RestAfter + time.Millisecond, time.Minute} {
		for _, pieces := range []int{1, 2, 30} {
			for name, end := range map[string]*tls.Config{"plain": nil, "TLS": {Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}} {
				t.Run(fmt.Sprintf("%v between requests in %d pieces, %s", between, pieces, name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := begin(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true, TLS: end})
						conn := b.dial()
						if end != nil {
							conn = secure(t, conn, certificate, "http/1.1")
						}
						r := bufio.NewReader(conn)
						for i, request := range requests {
							if i > 0 { // the first head has a deadline of its own
								pause(between)
							}
							sendInPieces(t, conn, request, pieces)
							if res := receive(t, r); res.StatusCode != http.StatusOK || res.body != want[i] {
								t.Errorf("got %d %q, want %q", res.StatusCode, res.body, want[i])
							}
						}
						wantEnd(t, r)
						wantTold(t, b)
					})
				})
			}
		}
	}
}

// sendInPieces waits a third of a second with each piece.
func sendInPieces(t *testing.T, conn net.Conn, text string, pieces int) {
	t.Helper()
	size := (len(text) + pieces - 1) / pieces
	for len(text) > 0 {
		n := min(size, len(text))
		send(t, conn, text[:n])
		text = text[n:]
		pause(time.Second / 3)
	}
}

// A connection that rests is idle: it lasts as long as any idle connection, and a server that shuts down waits for it
// for as long and no longer.
func TestRestingConnectionsEndAsIdleOnes(t *testing.T) {
	ask := func(t *testing.T, conn net.Conn) {
		t.Helper()
		send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res := receive(t, bufio.NewReader(conn)); res.StatusCode != http.StatusOK {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	for name, test := range map[string]struct {
		grace, lasts time.Duration
		asks         bool
	}{
		"by themselves":              {lasts: time.Minute},
		"with the server":            {grace: 20 * time.Second, lasts: 20 * time.Second},
		"with the server, at once":   {grace: time.Nanosecond},
		"after a request within it":  {grace: 20 * time.Second, lasts: 10 * time.Second, asks: true},
		"with a server that is late": {grace: 2 * time.Minute, lasts: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := listen.Options{Handler: http.HandlerFunc(echo)}
				o.Limits.KeepAlive = time.Minute
				pipes := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				o.Listener = pipes
				server := serve(t, &o)
				client, far := net.Pipe()
				pipes.conns <- local{far}
				ask(t, client)
				begun := time.Now()
				synctest.Wait()
				ended := make(chan error, 1)
				if test.grace > 0 {
					idle, cancel := context.WithTimeout(t.Context(), test.grace)
					defer cancel()
					go func() { ended <- server.Shutdown(context.WithoutCancel(t.Context()), idle) }()
				}
				if test.asks {
					pause(10 * time.Second)
					ask(t, client)
				}
				if _, err := io.Copy(io.Discard, client); err != nil {
					t.Errorf("it ended with %v", err)
				}
				if lasted := time.Since(begun).Truncate(time.Second); lasted != test.lasts {
					t.Errorf("it lasted %v, want %v", lasted, test.lasts)
				}
				if test.grace == 0 {
					ended <- server.Shutdown(context.WithoutCancel(t.Context()), atOnce())
				}
				if err := <-ended; err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			})
		})
	}
}

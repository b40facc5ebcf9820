package abuse_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/internal/base/await"
)

// idleness describes how connections became idle: one request was answered on each.
type idleness struct {
	name    string
	n       int // how many connections
	secure  bool
	http2   bool
	guarded bool // the request had a token, and an expression was evaluated on it
}

func idlenesses() []idleness {
	return []idleness{
		{name: "h1", n: 10_000},
		{name: "h1 through a token and an expression", n: 10_000, guarded: true},
		{name: "h1 over TLS", n: 10_000, secure: true},
		{name: "h2 over TLS", n: 500, http2: true},
	}
}

// TestFiguresOfIdleConnections prints how much memory idle connections take, for each engine and nginx.
func TestFiguresOfIdleConnections(t *testing.T) {
	if !*full {
		t.Skip("it takes minutes; `make bench-idle` runs it")
	}
	const rest = 30 * time.Second
	address := backend(t)
	var report strings.Builder
	fmt.Fprintf(&report, "| connections, %v after a request | server | resident, anonymous: empty | with them | each |\n|---|---|---|---|---|\n", rest)
	for _, kind := range idlenesses() {
		kind.n = min(kind.n, mostConnections(t))
		for _, start := range all() {
			t.Run(kind.name, func(t *testing.T) {
				s := start(t, address)
				if kind.guarded && s.name == "nginx" {
					t.SkipNow() // nginx has no such guards
				}
				<-time.After(time.Second) // until memory that the start used has been released
				empty := s.processes.memory()
				conns := settle(t, s, kind)
				<-time.After(rest)
				with := s.processes.memory()
				fmt.Fprintf(&report, "| %d of %s | %s | %v | %v | %s |\n", kind.n, kind.name, s.name, empty, with, with.less(empty).by(kind.n))
				for _, conn := range conns {
					_ = conn.Close() // they only had to exist
				}
			})
		}
	}
	t.Logf("\n%s", report.String())
}

// mostConnections returns how many connections the limit on open files allows, in this process and in a server that
// keeps a quarter of it for other things.
func mostConnections(t testing.TB) int {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	return int(files.Cur)*3/4 - 500
}

// settle opens connections from several addresses, has one request answered on each, and returns them.
func settle(t testing.TB, s *server, kind idleness) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, kind.n)
	if kind.http2 {
		for i := range conns {
			conns[i] = idleHTTP2(t, s)
		}
		return conns
	}
	request := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	if kind.guarded {
		request = "GET /guarded HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + jwttest.Good("p256", "ES256") + "\r\n\r\n"
	}
	const clients = 8
	failed := make([]error, clients)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for i := client; i < kind.n && failed[client] == nil; i += clients {
				conns[i], failed[client] = ask(s, kind.secure, net.IPv4(127, 0, 0, byte(1+client)), request)
			}
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	return conns
}

// ask returns a connection from an address on which one request was answered.
func ask(s *server, secure bool, from net.IP, request string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: await.Patience, LocalAddr: &net.TCPAddr{IP: from}}
	to := s.plain
	if secure {
		to = s.secure
	}
	conn, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	answer := make([]byte, 4096)
	_, err = io.WriteString(conn, request)
	n := 0
	if err == nil {
		n, err = conn.Read(answer)
	}
	if err == nil && !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200 ") {
		err = fmt.Errorf("the answer is %q", answer[:n])
	}
	return conn, err
}

// idleHTTP2 returns an HTTP/2 connection on which one request was answered.
func idleHTTP2(t testing.TB, s *server) net.Conn {
	t.Helper()
	c := dialHTTP2(t, s.secure)
	c.request(1)
	if _, err := c.buf.WriteTo(c.conn); err != nil {
		t.Fatal(err)
	}
	await.That(t, "an answer", func() bool { return c.answer.Load() > 0 })
	return c.conn
}

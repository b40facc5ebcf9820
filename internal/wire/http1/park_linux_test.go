package http1_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })

const greeting = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// greet asks for hello and reads it.
func greet(t *testing.T, client net.Conn) {
	t.Helper()
	if _, err := io.WriteString(client, greeting); err != nil {
		t.Fatal(err)
	}
	wantHello(t, client)
}

func wantHello(t *testing.T, client net.Conn) {
	t.Helper()
	var got []byte
	for piece := make([]byte, 512); len(got) < 5 || string(got[len(got)-5:]) != "hello"; {
		n, err := client.Read(piece)
		if err != nil {
			t.Fatalf("%v after %q", err, got)
		}
		got = append(got, piece[:n]...)
	}
}

// wantClosed reads until the server has closed.
func wantClosed(t *testing.T, client net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// awaitGoroutines waits until there are no more than that.
func awaitGoroutines(t *testing.T, n int) {
	t.Helper()
	await.That(t, "connections need no goroutine", func() bool { return runtime.NumGoroutine() <= n })
}

// closing is a server's end of a connection that tells when it is closed.
type closing struct {
	net.Conn

	once   sync.Once
	closed chan struct{}
}

func (c *closing) NetConn() net.Conn { return c.Conn }

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// parked gives a client that was answered and whose connection rests without a goroutine,
// and what is closed with the server's end of it.
func parked(t *testing.T, s *http1.Server) (client net.Conn, closed <-chan struct{}) {
	t.Helper()
	before := runtime.NumGoroutine() + 1 // and the porter
	client, conn := link(t)
	c := &closing{Conn: conn, closed: make(chan struct{})}
	s.Serve(c, time.Time{})
	greet(t, client)
	awaitGoroutines(t, before)
	return client, c.closed
}

func TestConnectionsThatAskNothingAreNearlyNothing(t *testing.T) {
	const n, bytesEach = 1000, 4 << 10 // of both ends, and what the runtime keeps of a crowd
	s := newServer(t, http1.ServerOptions{Handler: hello})
	used := func() (used runtime.MemStats) {
		runtime.GC()
		runtime.GC() // what was pooled is lost with the second one
		runtime.ReadMemStats(&used)
		return used
	}
	before, goroutines := used(), runtime.NumGoroutine()
	clients := make([]net.Conn, n)
	for i := range clients {
		client, conn := link(t)
		s.Serve(conn, time.Time{})
		greet(t, client)
		clients[i] = client
	}
	awaitGoroutines(t, goroutines+1) // the porter
	after := used()
	heap, stacks := (int64(after.HeapAlloc)-int64(before.HeapAlloc))/n, (int64(after.StackInuse)-int64(before.StackInuse))/n
	if heap+stacks > bytesEach {
		t.Errorf("%d bytes each and %d of stacks, want %d at most", heap, stacks, bytesEach)
	}
	for range 2 {
		for _, client := range clients {
			greet(t, client)
		}
		awaitGoroutines(t, goroutines+1)
	}
}

func TestAParkedConnectionEnds(t *testing.T) {
	ends := func(t *testing.T, closed <-chan struct{}) {
		t.Helper()
		await.From(t, "the end", closed)
	}
	t.Run("when its client leaves", func(t *testing.T) {
		client, closed := parked(t, newServer(t, http1.ServerOptions{Handler: hello}))
		_ = client.Close() // that is what the test is about
		ends(t, closed)
	})
	t.Run("when the server retires", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: hello})
		client, closed := parked(t, s)
		s.Retire()
		wantClosed(t, client)
		ends(t, closed)
	})
	t.Run("when the server is closed", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: hello})
		client, closed := parked(t, s)
		s.Close()
		wantClosed(t, client)
		ends(t, closed)
	})
	t.Run("when it was kept for long enough", func(t *testing.T) {
		s := http1.NewServer(http1.ServerOptions{Options: http1.Options{Limits: wide}, Handler: hello, KeepAlive: time.Second})
		defer s.Close()
		client, conn := link(t)
		s.Serve(conn, time.Time{})
		greet(t, client)
		wantClosed(t, client)
	})
	t.Run("when no first head has come in time", func(t *testing.T) {
		var slow atomic.Int64
		s := newServer(t, http1.ServerOptions{Handler: hello, Options: http1.Options{
			Slow: func(_ net.Addr, r http1.Reason, first bool) {
				if r == http1.HeadIncomplete && first {
					slow.Add(1)
				}
			},
		}})
		client, conn := link(t)
		s.Serve(conn, time.Now().Add(time.Second))
		wantClosed(t, client)
		if n := slow.Load(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
	t.Run("when a head is to hurry", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: hello})
		goroutines := runtime.NumGoroutine() + 1
		client, conn := link(t)
		c := s.Serve(conn, time.Now().Add(time.Hour))
		awaitGoroutines(t, goroutines)
		c.Hurry(time.Now())
		wantClosed(t, client)
	})
}

// A part of a record is nothing that is asked, and no reason to hold a goroutine.
func TestAParkedConnectionOfTLSGoesOn(t *testing.T) {
	pair := securetest.NewAuthority(t, "parked").Issue([]string{"localhost"})
	s := newServer(t, http1.ServerOptions{Handler: hello})
	goroutines := runtime.NumGoroutine() + 1
	client, conn := link(t)
	secured := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})
	shaken := make(chan error, 1)
	go func() { shaken <- secured.Handshake() }()
	pieces := &inPieces{Conn: client}
	asks := tls.Client(pieces, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err := errors.Join(asks.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	s.Serve(secured, time.Time{})
	greet(t, asks)
	awaitGoroutines(t, goroutines)
	pieces.between = func() { awaitGoroutines(t, goroutines) }
	greet(t, asks)
	awaitGoroutines(t, goroutines)
}

// inPieces sends what is written in three pieces.
type inPieces struct {
	net.Conn

	between func() // runs between them; nil: all is sent at once
}

func (p *inPieces) Write(b []byte) (int, error) {
	if p.between == nil {
		return p.Conn.Write(b)
	}
	for _, piece := range [][]byte{b[:2], b[2:9], b[9:]} {
		p.between()
		if _, err := p.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

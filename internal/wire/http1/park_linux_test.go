package http1_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
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

// wantClosed reads until the server has closed the connection.
func wantClosed(t *testing.T, client net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// awaitRest waits until the porter runs and connections have no goroutine.
func awaitRest(t *testing.T) {
	t.Helper()
	await.That(t, "connections need no goroutine", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		porters := bytes.Count(stacks, []byte("http1.(*porter).run("))
		begun := bytes.Count(stacks, []byte("sync.(*WaitGroup).Go.func1(")) // the porter's, and those that have only just started
		return porters > 0 && begun == porters && !bytes.Contains(stacks, []byte("http1.(*Conn)"))
	})
}

// closing is a server's end of a connection that reports when it is closed.
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

// parked returns a client that was answered and whose connection rests without a goroutine, and a channel that is
// closed with the server's end of the connection.
func parked(t *testing.T, s *http1.Server) (client net.Conn, closed <-chan struct{}) {
	t.Helper()
	client, conn := link(t)
	c := &closing{Conn: conn, closed: make(chan struct{})}
	s.Serve(c, time.Time{})
	greet(t, client)
	awaitRest(t)
	return client, c.closed
}

// heapEach is the most heap that one connection of a crowd may take, including both of its ends. It has no goroutine,
// so stacks are those of ended ones, which the runtime keeps: the busier the machine, the more.
const (
	heapEach       = 3 << 10
	withStacksEach = 5 << 10
)

// crowd has clients do something, each on its own connection, and fails if those connections then hold goroutines or
// more than a very small amount of memory.
func crowd(t *testing.T, s *http1.Server, do func(client net.Conn)) []net.Conn {
	t.Helper()
	clients, heap, stacks := weigh(t, s, do, func() { awaitRest(t) })
	if heap > heapEach || heap+stacks > withStacksEach {
		t.Errorf("%d bytes each and %d of stacks, want %d, and %d together, at most", heap, stacks, heapEach, withStacksEach)
	}
	return clients
}

// weigh has clients do something, each on its own connection, waits, and returns how many bytes each of them takes
// then.
func weigh(t *testing.T, s *http1.Server, do func(client net.Conn), wait func()) (clients []net.Conn, heap, stacks int64) {
	t.Helper()
	used := func() (used runtime.MemStats) {
		runtime.GC()
		runtime.GC() // the second one frees what was pooled
		runtime.ReadMemStats(&used)
		return used
	}
	before := used()
	clients = make([]net.Conn, 1000)
	for i := range clients {
		client, conn := link(t)
		s.Serve(conn, time.Time{})
		do(client)
		clients[i] = client
	}
	wait()
	after, n := used(), int64(len(clients))
	return clients, (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n, (int64(after.StackInuse) - int64(before.StackInuse)) / n
}

func TestConnectionsThatAskNothingAreNearlyNothing(t *testing.T) {
	clients := crowd(t, newServer(t, http1.ServerOptions{Handler: hello}), func(client net.Conn) { greet(t, client) })
	for range 2 {
		for _, client := range clients {
			greet(t, client)
		}
		awaitRest(t)
	}
}

// send writes what a client sends.
func send(t *testing.T, client net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(client, text); err != nil {
		t.Fatal(err)
	}
}

func TestHeadsThatAreSlowInComingAreNearlyNothing(t *testing.T) {
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("A") != "1" || r.Header.Get("B") != "2" {
			t.Error(r.Header)
		}
		hello(w, r)
	})})
	clients := crowd(t, s, func(client net.Conn) { send(t, client, "GET / HTTP/1.1\r\nHost: a\r\nA: 1") })
	for _, piece := range []string{"\r", "\nB: 2\r\n"} {
		for _, client := range clients {
			send(t, client, piece)
		}
		awaitRest(t)
	}
	for _, client := range clients {
		send(t, client, "\r\n")
		wantHello(t, client)
	}
}

// exchangeBytes is the room in the context of each request for what the handler keeps of it, which would be elsewhere
// otherwise.
const exchangeBytes = int64(unsafe.Sizeof(exchange.Exchange{}))

// waitingEach is the most heap that one connection may take whose handler waits for content, beside exchangeBytes.
const waitingEach = 4 << 10

// The handler waits for the content on its own stack. The buffers of the request's head and of a response that has
// not begun are free for other connections.
func TestContentThatIsSlowInComingHoldsNoBuffers(t *testing.T) {
	var waiting, read atomic.Int64
	s := newServer(t, http1.ServerOptions{Lines: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var one [1]byte
		for n := 0; r.Method == http.MethodPost && n < len("content"); n++ {
			if _, err := r.Body.Read(one[:]); err != nil && !errors.Is(err, io.EOF) {
				t.Error(err)
				return
			}
			if n == 0 {
				waiting.Add(1)
			}
		}
		if r.Method == http.MethodPost {
			read.Add(1)
		}
		hello(w, r)
	})})
	clients, heap, _ := weigh(t, s, func(client net.Conn) {
		greet(t, client) // and the memory that was lent for that is reused
		send(t, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nc")
	}, func() {
		await.That(t, "all wait for the rest", func() bool { return waiting.Load() == 1000 })
	})
	if most := waitingEach + exchangeBytes; heap > most {
		t.Errorf("%d bytes each beside stacks, want %d at most", heap, most)
	}
	for _, client := range clients {
		send(t, client, "ontent")
		wantHello(t, client)
	}
	if n := read.Load(); n != int64(len(clients)) {
		t.Errorf("%d were read", n)
	}
}

// midHead returns a client whose connection rests without a goroutine although the client has sent a part of a head.
// told counts the server's reports of slow clients.
func midHead(t *testing.T, part string, o http1.Options) (client *net.TCPConn, s *http1.Server, c *http1.Conn, told *atomic.Int64) {
	t.Helper()
	told = new(atomic.Int64)
	o.Slow = func(_ net.Addr, r http1.Reason, _ bool) {
		if r == http1.HeadIncomplete {
			told.Add(1)
		}
	}
	s = newServer(t, http1.ServerOptions{Options: o, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if http1.IsRefusal(r.Method, r.RequestURI) {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		hello(w, r)
	})})
	client, conn := link(t)
	send(t, client, part) // before it is served: on a connection that rests already, the part would not show
	c = s.Serve(conn, time.Time{})
	awaitRest(t)
	return client, s, c, told
}

// drips sends a header field now and then until the channel is closed.
func drips(client net.Conn, until <-chan struct{}) {
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-until:
				return
			case <-tick.C:
				if _, err := io.WriteString(client, "A: 1\r\n"); err != nil {
					return
				}
			}
		}
	}()
}

func TestAHeadThatWasSetAside(t *testing.T) {
	const part = "GET / HTTP/1.1\r\nHost: a\r\n"
	timedOut := func(t *testing.T, client *net.TCPConn) {
		t.Helper()
		if got := talk(t, client, ""); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("%q", got)
		}
	}
	t.Run("has no more time than any other, however often more of it comes", func(t *testing.T) {
		client, _, _, told := midHead(t, part, http1.Options{HeadTime: 700 * time.Millisecond})
		answered := make(chan struct{})
		drips(client, answered)
		timedOut(t, client)
		close(answered)
		if n := told.Load(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
	t.Run("hurries when it is told", func(t *testing.T) {
		client, _, c, told := midHead(t, part, http1.Options{HeadTime: time.Hour})
		c.Hurry(time.Now())
		timedOut(t, client)
		if n := told.Load(); n != 0 {
			t.Errorf("told %d times of what is not the client's fault", n)
		}
	})
	t.Run("hurries though one was answered before", func(t *testing.T) {
		client, _, c, _ := midHead(t, greeting, http1.Options{HeadTime: time.Hour})
		wantHello(t, client)
		send(t, client, part)
		awaitRest(t)
		c.Hurry(time.Now())
		timedOut(t, client)
	})
	t.Run("ends when the server retires", func(t *testing.T) {
		client, s, _, _ := midHead(t, part, http1.Options{})
		s.Retire()
		wantClosed(t, client)
	})
	t.Run("ends when the server is closed", func(t *testing.T) {
		client, s, _, _ := midHead(t, part, http1.Options{})
		s.Close()
		wantClosed(t, client)
	})
	t.Run("ends when its client leaves", func(t *testing.T) {
		client, s, _, _ := midHead(t, part, http1.Options{})
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, client)
		s.Close()
	})
	t.Run("remembers the empty line before it", func(t *testing.T) {
		client, _, _, _ := midHead(t, "\r\n", http1.Options{})
		send(t, client, greeting)
		wantHello(t, client)
		client, _, _, _ = midHead(t, "\r\n", http1.Options{})
		if got := talk(t, client, "\r\n"+greeting); strings.Contains(got, "hello") {
			t.Errorf("two empty lines before a request were taken: %q", got)
		}
	})
	t.Run("leads to a refusal where it cannot become one", func(t *testing.T) {
		client, _, _, told := midHead(t, part, http1.Options{})
		if got := talk(t, client, "A : 1\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 408 ") { // the handler uses this status for all refusals
			t.Errorf("%q", got)
		}
		if n := told.Load(); n != 0 {
			t.Errorf("told %d times of a client that is not slow", n)
		}
	})
}

// A client whose request was rejected gets a moment to read why. It may be one of thousands, so it must take almost
// no memory.
func TestAClientThatWasRefusedIsNearlyNothing(t *testing.T) {
	const refused = "GET / HTTP/9.9\r\n\r\n"
	sorry := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	refuse := func(t *testing.T, s *http1.Server) (client *net.TCPConn, closed <-chan struct{}) {
		t.Helper()
		client, conn := link(t)
		c := &closing{Conn: conn, closed: make(chan struct{})}
		s.Serve(halfClosing{c}, time.Time{})
		send(t, client, refused)
		return client, c.closed
	}
	t.Run("has no goroutine meanwhile", func(t *testing.T) {
		begun := time.Now()
		client, closed := refuse(t, newServer(t, http1.ServerOptions{Handler: sorry}))
		awaitRest(t)
		select {
		case <-closed:
			if had := time.Since(begun); had < 500*time.Millisecond {
				t.Errorf("closed after %v, before the client had its moment", had)
			}
		default:
		}
		send(t, client, "more")
		awaitRest(t)
		if got := talk(t, client, "and more"); !strings.HasPrefix(got, "HTTP/1.1 418 ") {
			t.Errorf("%q", got)
		}
	})
	t.Run("is let go when it has closed", func(t *testing.T) {
		begun := time.Now()
		client, closed := refuse(t, newServer(t, http1.ServerOptions{Handler: sorry}))
		awaitRest(t)
		_ = client.Close() // the test is about this
		await.From(t, "the end", closed)
		t.Log(time.Since(begun)) // less than half a second if the machine is not busy
	})
	t.Run("is let go when it has not closed in time", func(t *testing.T) {
		_, closed := refuse(t, newServer(t, http1.ServerOptions{Handler: sorry}))
		await.From(t, "the end", closed)
	})
	t.Run("is not read for ever", func(t *testing.T) {
		client, closed := refuse(t, newServer(t, http1.ServerOptions{Handler: sorry}))
		piece := make([]byte, 64<<10)
		for {
			if _, err := client.Write(piece); err != nil {
				break
			}
		}
		await.From(t, "the end", closed)
	})
	t.Run("has its moment when the server retires", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: sorry})
		client, _ := refuse(t, s)
		awaitRest(t)
		s.Retire()
		if got := talk(t, client, "more"); !strings.HasPrefix(got, "HTTP/1.1 418 ") {
			t.Errorf("%q", got)
		}
	})
	// Less time than that is a failure; how much longer it takes depends on the machine.
	hasHalfASecond := func(t *testing.T, begun time.Time, closed <-chan struct{}) {
		t.Helper()
		await.From(t, "the end", closed)
		if had := time.Since(begun); had < 500*time.Millisecond {
			t.Errorf("closed after %v", had)
		}
	}
	t.Run("has half a second though something comes when the server has retired", func(t *testing.T) {
		begun, s := time.Now(), newServer(t, http1.ServerOptions{Handler: sorry})
		client, closed := refuse(t, s)
		awaitRest(t)
		s.Retire()
		send(t, client, "more")
		hasHalfASecond(t, begun, closed)
	})
	t.Run("has half a second though it has sent more than is read, and the server retires", func(t *testing.T) {
		begun, s := time.Now(), newServer(t, http1.ServerOptions{Handler: sorry})
		client, closed := refuse(t, s)
		awaitRest(t)
		go func() { _, _ = client.Write(make([]byte, 4<<20)) }() // some of it is never read
		await.That(t, "the server reads no more", func() bool {
			stacks := make([]byte, 1<<20)
			return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("http1.throwAway("))
		})
		s.Retire()
		hasHalfASecond(t, begun, closed)
	})
	t.Run("has half a second where no porter can be had", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: sorry})
		client, conn := link(t)
		c := &closing{Conn: conn, closed: make(chan struct{})}
		withoutDescriptors(t)
		begun := time.Now()
		s.Serve(halfClosing{c}, time.Time{})
		send(t, client, refused)
		hasHalfASecond(t, begun, c.closed)
	})
	t.Run("is closed with the server", func(t *testing.T) {
		s := newServer(t, http1.ServerOptions{Handler: sorry})
		_, closed := refuse(t, s)
		awaitRest(t)
		s.Close()
		await.From(t, "the end", closed)
	})
}

// withoutDescriptors keeps the process from opening any file until the test has ended.
func withoutDescriptors(t *testing.T) {
	t.Helper()
	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
			t.Error(err)
		}
	})
}

// The sweep that ends the wait for a head may run just when the head ends.
func TestTheEndOfAWaitForAHeadIsNoneOfItsContent(t *testing.T) {
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if content, err := io.ReadAll(r.Body); string(content) != "12345" || err != nil {
			t.Errorf("%q, %v", content, err)
		}
		hello(w, r)
	})})
	client, conn := link(t)
	late := &tardy{Conn: conn, mark: []byte("Z: 1"), past: make(chan struct{})}
	send(t, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n")
	s.Serve(late, time.Time{})
	awaitRest(t)
	send(t, client, "Z: 1\r\n\r\n")
	await.From(t, "the sweep", late.past)
	send(t, client, "12345")
	wantHello(t, client)
}

// tardy delivers bytes that contain a mark only once a deadline was set that has passed.
type tardy struct {
	net.Conn

	mark   []byte
	marked atomic.Bool
	once   sync.Once
	past   chan struct{}
}

func (c *tardy) NetConn() net.Conn { return c.Conn }

func (c *tardy) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], c.mark) {
		c.marked.Store(true)
		<-c.past
	}
	return n, err
}

func (c *tardy) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	if c.marked.Load() && !t.IsZero() && t.Before(time.Now()) {
		c.once.Do(func() { close(c.past) })
	}
	return err
}

// halfClosing is a closing connection that can be closed in one direction.
type halfClosing struct{ *closing }

func (h halfClosing) CloseWrite() error { return h.Conn.(*net.TCPConn).CloseWrite() }

func TestAParkedConnectionEnds(t *testing.T) {
	ends := func(t *testing.T, closed <-chan struct{}) {
		t.Helper()
		await.From(t, "the end", closed)
	}
	t.Run("when its client leaves", func(t *testing.T) {
		client, closed := parked(t, newServer(t, http1.ServerOptions{Handler: hello}))
		_ = client.Close() // the test is about this
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
		client, conn := link(t)
		c := s.Serve(conn, time.Now().Add(time.Hour))
		awaitRest(t)
		c.Hurry(time.Now())
		wantClosed(t, client)
	})
}

// A part of a TLS record is not a request, and no reason to hold a goroutine.
func TestAParkedConnectionOfTLSGoesOn(t *testing.T) {
	pair := securetest.NewAuthority(t, "parked").Issue([]string{"localhost"})
	s := newServer(t, http1.ServerOptions{Handler: hello})
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
	awaitRest(t)
	pieces.between = func() { awaitRest(t) }
	greet(t, asks)
	awaitRest(t)
	pieces.between = nil
	send(t, asks, greeting[:20]) // whole records, each with a part of a head
	awaitRest(t)
	send(t, asks, greeting[20:])
	wantHello(t, asks)
	awaitRest(t)
}

// inPieces sends each write in three pieces.
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

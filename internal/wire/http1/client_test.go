package http1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
)

// endpoint is a listener whose connections the test serves.
type endpoint struct {
	address string
	conns   chan net.Conn
	dials   atomic.Int32
	client  *http1.Client
	secured *tls.Config // nil: no TLS

	sendBuffer int                          // of connections, in bytes; 0: the default
	wrap       func(conn net.Conn) net.Conn // what the client gets for a connection; nil: itself
}

// newEndpoint listens, and makes a client that keeps unused connections for idle.
func newEndpoint(t *testing.T, idle time.Duration) *endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{address: l.Addr().String(), conns: make(chan net.Conn, 100)}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(await.Patience))
			e.conns <- conn
		}
	})
	e.client = http1.NewClient(http1.ClientOptions{
		Dial: func(ctx context.Context, host string) (net.Conn, error) {
			e.dials.Add(1)
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
			if err == nil && e.sendBuffer > 0 {
				err = conn.(*net.TCPConn).SetWriteBuffer(e.sendBuffer)
			}
			if err == nil && e.wrap != nil {
				return e.wrap(conn), nil
			}
			if err != nil || e.secured == nil {
				return conn, err
			}
			secured := tls.Client(conn, e.secured)
			err = secured.HandshakeContext(ctx)
			return secured, err
		},
		Idle: idle, IdlePerHost: 2, Limits: wide, ContinueWait: time.Second,
	})
	t.Cleanup(func() {
		e.client.CloseIdle()
		_ = l.Close()
		accepting.Wait()
		close(e.conns)
		for conn := range e.conns {
			_ = conn.Close()
		}
	})
	return e
}

// accepts returns the next connection, with its reader.
func (e *endpoint) accepts(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	select {
	case conn := <-e.conns:
		t.Cleanup(func() { _ = conn.Close() })
		return conn, bufio.NewReader(conn)
	case <-time.After(await.Patience):
		t.Fatal("nobody connects")
		return nil, nil
	}
}

// ask begins a request. The channel receives the result.
func (e *endpoint) ask(ctx context.Context, t *testing.T, method string, content io.Reader) <-chan answered {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+e.address+"/", content)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan answered, 1)
	go func() {
		res, err := e.client.RoundTrip(req)
		answers <- answered{res, err}
	}()
	return answers
}

type answered struct {
	res *http.Response
	err error
}

// hears reads a request with its content.
func hears(t *testing.T, in *bufio.Reader) *http.Request {
	t.Helper()
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		t.Fatal(err)
	}
	return req
}

func says(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// reads reads the content of an answer and closes it.
func (a answered) reads(t *testing.T) string {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	defer func() { _ = a.res.Body.Close() }()
	b, err := io.ReadAll(a.res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// ends waits until the connection has ended.
func ends(t *testing.T, in io.Reader) {
	t.Helper()
	if _, err := io.Copy(io.Discard, in); err != nil && !errors.Is(err, net.ErrClosed) {
		var network net.Error
		if errors.As(err, &network) && network.Timeout() {
			t.Fatal("the connection stays open")
		}
	}
}

// What happens to a connection after an answer, and to the rest of the answer.
func TestAConnectionIsUsedAgainOnlyWhereItsAnswerHasComeWhole(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		method string
		read   int // bytes; -1: all
		kept   bool
	}{
		"read by its length":      {fine, "GET", -1, true},
		"read by chunks":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", "GET", -1, true},
		"none, to HEAD":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "HEAD", -1, true},
		"none, by its status":     {"HTTP/1.1 204 No Content\r\n\r\n", "GET", -1, true},
		"HTTP/1.0 that keeps":     {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "GET", -1, true},
		"HTTP/1.0":                {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "GET", -1, false},
		"closed by the endpoint":  {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "GET", -1, false},
		"not read to its end":     {fine, "GET", 1, false},
		"more than was asked for": {fine + "HTTP/1.1 200 OK\r\n\r\n", "GET", -1, false},
		"content where none is":   {"HTTP/1.1 204 No Content\r\n\r\nno", "GET", -1, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			answer := e.ask(t.Context(), t, c.method, nil)
			conn, in := e.accepts(t)
			hears(t, in)
			says(t, conn, c.answer)
			got := <-answer
			if got.err != nil {
				t.Fatal(got.err)
			}
			if c.read >= 0 {
				_, _ = io.ReadFull(got.res.Body, make([]byte, c.read))
				_ = got.res.Body.Close()
			} else {
				got.reads(t)
			}
			if !c.kept {
				ends(t, in)
			}
			answer = e.ask(t.Context(), t, "GET", nil)
			if !c.kept {
				conn, in = e.accepts(t)
			}
			hears(t, in)
			says(t, conn, fine)
			(<-answer).reads(t)
			if again := e.dials.Load() == 1; again != c.kept {
				t.Errorf("%d connections", e.dials.Load())
			}
		})
	}
}

// A kept connection on which bytes have arrived is not used again, whatever the method: those bytes would be taken
// for the answer, or the request would be lost.
func TestAConnectionIsAskedBeforeItIsUsedAgain(t *testing.T) {
	for name, what := range map[string]func(t *testing.T, conn net.Conn){
		"its end":      func(_ *testing.T, conn net.Conn) { _ = conn.Close() },
		"half its end": func(_ *testing.T, conn net.Conn) { _ = conn.(*net.TCPConn).CloseWrite() },
		"a reset":      func(_ *testing.T, conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0); _ = conn.Close() },
		"unasked bytes": func(t *testing.T, conn net.Conn) {
			t.Helper()
			says(t, conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			answer := e.ask(t.Context(), t, "GET", nil)
			conn, in := e.accepts(t)
			hears(t, in)
			says(t, conn, fine)
			(<-answer).reads(t)
			what(t, conn)
			answer = e.ask(t.Context(), t, "POST", strings.NewReader("order"))
			conn, in = e.accepts(t)
			hears(t, in)
			says(t, conn, fine)
			if body := (<-answer).reads(t); body != "ok" {
				t.Errorf("the answer is %q", body)
			}
		})
	}
}

// On a kept connection, the part of a request that the operating system does not accept at once is sent as the other
// side reads.
func TestARequestThatDoesNotGoAtOnceIsSentAsTheOtherSideReads(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	e.sendBuffer = 1 // the least that is possible
	answer := e.ask(t.Context(), t, "GET", nil)
	conn, in := e.accepts(t)
	hears(t, in)
	says(t, conn, fine)
	(<-answer).reads(t)
	if err := conn.(*net.TCPConn).SetReadBuffer(1); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("order ", 2700)
	answer = e.ask(t.Context(), t, "POST", strings.NewReader(content))
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(req.Body); err != nil || string(got) != content {
		t.Errorf("%d bytes came, and %v", len(got), err)
	}
	says(t, conn, fine)
	if body := (<-answer).reads(t); body != "ok" || e.dials.Load() != 1 {
		t.Errorf("the answer is %q, after %d dials", body, e.dials.Load())
	}
}

func TestTheConnectionThatWasUsedLastIsUsedFirstAndNoMoreAreKeptThanMayBe(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	var conns [3]net.Conn
	var ins [3]*bufio.Reader
	var answers [3]<-chan answered
	for i := range conns {
		answers[i] = e.ask(t.Context(), t, "GET", nil)
		conns[i], ins[i] = e.accepts(t)
		hears(t, ins[i])
	}
	for i := range conns { // the third connection is one too many
		says(t, conns[i], fine)
		(<-answers[i]).reads(t)
	}
	ends(t, ins[2])
	answer := e.ask(t.Context(), t, "GET", nil)
	hears(t, ins[1])
	says(t, conns[1], fine)
	(<-answer).reads(t)
}

func TestUnusedConnectionsAreClosedInTime(t *testing.T) {
	e := newEndpoint(t, 50*time.Millisecond)
	answer := e.ask(t.Context(), t, "GET", nil)
	conn, in := e.accepts(t)
	hears(t, in)
	says(t, conn, fine)
	(<-answer).reads(t)
	ends(t, in)
}

// A connection that the endpoint has closed is not held for as long as it could have been reused.
func TestUnusedConnectionsEndWithTheirOtherSide(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	answer := e.ask(t.Context(), t, "GET", nil)
	conn, in := e.accepts(t)
	hears(t, in)
	says(t, conn, fine)
	(<-answer).reads(t)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	ends(t, in)
}

// If the context ends while the endpoint is silent, the request and its connection end, whatever state the request is
// in.
func TestARequestEndsWithItsContext(t *testing.T) {
	for name, c := range map[string]struct {
		content io.Reader
		says    string
	}{
		"before the head":     {nil, ""},
		"within the head":     {nil, "HTTP/1.1 200 OK\r\n"},
		"within the content":  {nil, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"},
		"while it is sending": {io.LimitReader(zeros{}, 1<<40), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			ctx, cancel := context.WithCancelCause(t.Context())
			answer := e.ask(ctx, t, "POST", c.content)
			conn, in := e.accepts(t)
			if _, err := in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			says(t, conn, c.says)
			wanted := errors.New("nobody wants it")
			var res *http.Response
			if strings.Contains(c.says, "\r\n\r\n") {
				got := <-answer
				if res = got.res; got.err != nil {
					t.Fatal(got.err)
				}
				cancel(wanted)
			} else {
				cancel(wanted)
			}
			var err error
			if res != nil {
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			} else {
				err = (<-answer).err
			}
			if _, ok := errors.AsType[*exchange.SendError](err); !ok || !errors.Is(err, wanted) {
				t.Errorf("%v", err)
			}
			ends(t, in)
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// slowToClose is a connection whose first Close waits for its permission. Close of a socket waits until nobody uses the
// socket any more.
type slowToClose struct {
	net.Conn

	first            sync.Once
	closing, allowed chan struct{}
}

func (c *slowToClose) Close() error {
	c.first.Do(func() {
		close(c.closing)
		<-c.allowed
	})
	return c.Conn.Close()
}

func TestNoRequestWaitsUntilTheConnectionOfAnotherIsClosed(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	slow := &slowToClose{closing: make(chan struct{}), allowed: make(chan struct{})}
	e.wrap = func(conn net.Conn) net.Conn {
		if e.dials.Load() > 1 {
			return conn
		}
		slow.Conn = conn
		return slow
	}
	allow := sync.OnceFunc(func() { close(slow.allowed) })
	t.Cleanup(allow)
	ctx, leave := context.WithCancel(t.Context())
	left := e.ask(ctx, t, "GET", nil)
	_, in := e.accepts(t)
	hears(t, in)
	leave()
	select {
	case <-slow.closing:
	case <-time.After(await.Patience):
		t.Fatal("the connection of a request that nobody wants stays open")
	}
	other := e.ask(t.Context(), t, "GET", nil)
	conn, in := e.accepts(t)
	hears(t, in)
	says(t, conn, fine)
	(<-other).reads(t)
	allow()
	if got := <-left; !errors.Is(got.err, context.Canceled) {
		t.Errorf("the request that nobody wants got %v", got.err)
	}
}

// An answer that arrives before all content was sent is returned at once. Both then go on.
func TestAnAnswerWhileContentIsSent(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	content, client := io.Pipe()
	sent := make(chan struct{})
	answer := e.ask(t.Context(), t, "POST", tells{content, sync.OnceFunc(func() { close(sent) })})
	conn, in := e.accepts(t)
	req, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	says(t, conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	got := <-answer
	if got.err != nil {
		t.Fatal(got.err)
	}
	answers := bufio.NewReader(got.res.Body)
	heard := bufio.NewReader(req.Body)
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(client, line); err != nil {
			t.Fatal(err)
		}
		if asked, err := heard.ReadString('\n'); asked != line || err != nil {
			t.Fatalf("%q, %v", asked, err)
		}
		says(t, conn, "4\r\n"+line+"\r\n")
		if answer, err := answers.ReadString('\n'); answer != line || err != nil {
			t.Fatalf("%q, %v", answer, err)
		}
	}
	_ = client.Close() // the end of the content
	if rest, err := io.ReadAll(heard); len(rest) > 0 || err != nil {
		t.Fatalf("%q, %v", rest, err)
	}
	await.From(t, "the client knows that all was sent", sent) // the connection is kept only if the client soon learns that all was sent
	says(t, conn, "0\r\n\r\n")
	if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
		t.Fatalf("%q, %v", rest, err)
	}
	again := e.ask(t.Context(), t, "GET", nil)
	hears(t, in)
	says(t, conn, fine)
	(<-again).reads(t)
}

// tells is content that reports its Close.
type tells struct {
	io.Reader

	closed func()
}

func (c tells) Close() error { c.closed(); return nil }

// An answer that ends before all content was sent ends the connection, and the reader of the content.
func TestAnAnswerInsteadOfContent(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	content, client := io.Pipe()
	answer := e.ask(t.Context(), t, "POST", content)
	conn, in := e.accepts(t)
	if _, err := http.ReadRequest(in); err != nil {
		t.Fatal(err)
	}
	says(t, conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
	if body := (<-answer).reads(t); body != "no" {
		t.Errorf("%q", body)
	}
	if _, err := io.WriteString(client, "more"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the content is still read: %v", err)
	}
	ends(t, in)
}

// If the content fails, that is the client's failure. The endpoint must not take the part that it got for all of it.
func TestContentThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		content io.Reader
		length  int64
		want    error
	}{
		"by itself": {io.MultiReader(strings.NewReader("some"), failing{io.ErrNoProgress}), -1, io.ErrNoProgress},
		"too short": {strings.NewReader("some"), 5, io.ErrUnexpectedEOF},
		"too long":  {strings.NewReader("some"), 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			req, err := http.NewRequestWithContext(t.Context(), "PUT", "http://"+e.address+"/", io.NopCloser(c.content))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = c.length
			failed := make(chan error, 1)
			go func() {
				_, err := e.client.RoundTrip(req)
				failed <- err
			}()
			_, in := e.accepts(t)
			if req, err := http.ReadRequest(in); err == nil {
				if _, err = io.Copy(io.Discard, req.Body); err == nil {
					t.Error("the endpoint takes it for all")
				}
			}
			err = <-failed
			if send, ok := errors.AsType[*exchange.SendError](err); !ok || send.Sent != exchange.SentPartly || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A request that could be read in more than one way is not sent at all.
func TestRequestsThatCannotBeWritten(t *testing.T) {
	for name, spoil := range map[string]func(r *http.Request){
		"a method with a blank": func(r *http.Request) { r.Method = "GET /evil" },
		"a query with a blank":  func(r *http.Request) { r.URL.RawQuery = "a b" },
		"a query with a line":   func(r *http.Request) { r.URL.RawQuery = "a\r\nX: y" },
		"a host with a line":    func(r *http.Request) { r.Host = "a\r\nX: y" },
		"a field with a line":   func(r *http.Request) { r.Header.Set("A", "b\r\nX: y") },
		"a name with a blank":   func(r *http.Request) { r.Header["A b"] = []string{"c"} },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+e.address+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			spoil(req)
			_, err = e.client.RoundTrip(req)
			if send, ok := errors.AsType[*exchange.SendError](err); !ok || send.Sent != exchange.SentNothing {
				t.Errorf("%v", err)
			}
			_, in := e.accepts(t)
			if _, err := in.ReadByte(); err == nil {
				t.Error("something was sent")
			}
		})
	}
}

// Over TLS, bytes that nobody has asked for may have arrived together with the previous answer.
func TestUnaskedRecordsEndAConnection(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	for name, unasked := range map[string]string{"nothing": "", "an answer": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			e.secured = &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1"}
			certificate := &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"127.0.0.1"})}}
			answer := e.ask(t.Context(), t, "GET", nil)
			plain, _ := e.accepts(t)
			written := &gathering{Conn: plain}
			conn := tls.Server(written, certificate)
			in := bufio.NewReader(conn)
			hears(t, in)
			written.gathers = true
			says(t, conn, fine)
			says(t, conn, unasked)
			if _, err := plain.Write(written.held); err != nil {
				t.Fatal(err)
			}
			written.gathers = false
			(<-answer).reads(t)
			answer = e.ask(t.Context(), t, "GET", nil)
			if unasked != "" {
				plain, _ = e.accepts(t)
				conn = tls.Server(plain, certificate)
				in = bufio.NewReader(conn)
			}
			hears(t, in)
			says(t, conn, fine)
			if body := (<-answer).reads(t); body != "ok" {
				t.Errorf("the answer is %q", body)
			}
		})
	}
}

// gathering is a connection that sends several records in one write.
type gathering struct {
	net.Conn

	gathers bool
	held    []byte
}

func (g *gathering) Write(p []byte) (int, error) {
	if !g.gathers {
		return g.Conn.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

// A reader does not have to wait for content that has arrived. A separate Read reports the end.
func TestContentThatHasComeIsReadAtOnce(t *testing.T) {
	e := newEndpoint(t, await.Patience)
	answer := e.ask(t.Context(), t, "GET", nil)
	conn, in := e.accepts(t)
	hears(t, in)
	says(t, conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
	got := <-answer
	if got.err != nil {
		t.Fatal(got.err)
	}
	body := got.res.Body
	once, ok := body.(exchange.Lent)
	if !ok {
		t.Fatalf("a %T cannot be read at once", body)
	}
	p := make([]byte, 99)
	if n := once.ReadAtOnce(p); n != 3 {
		t.Errorf("%d bytes have come with the head, want 3", n)
	}
	if n := once.ReadAtOnce(p[3:]); n != 0 {
		t.Errorf("%d bytes came that nobody has sent", n)
	}
	says(t, conn, "defghi")
	for have, until := 3, time.Now().Add(await.Patience); have < 9 && time.Now().Before(until); {
		have += once.ReadAtOnce(p[have:])
	}
	if n, err := body.Read(p[9:]); n != 0 || !errors.Is(err, io.EOF) || string(p[:9]) != "abcdefghi" {
		t.Errorf("%q, then %d bytes, and %v", p[:9], n, err)
	}
	if n := once.ReadAtOnce(p); n != 0 {
		t.Errorf("%d bytes came behind the end", n)
	}
	answer = e.ask(t.Context(), t, "GET", nil)
	hears(t, in)
	says(t, conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
	got = <-answer
	if got.err != nil || e.dials.Load() != 1 {
		t.Fatalf("%v, over %d connections", got.err, e.dials.Load())
	}
	says(t, conn, "abcdefEXTRA")
	once, _ = got.res.Body.(exchange.Lent)
	have := 0
	for until := time.Now().Add(await.Patience); have < 6 && time.Now().Before(until); {
		have += once.ReadAtOnce(p[have:])
	}
	if n, err := got.res.Body.Read(p[have:]); n != 0 || !errors.Is(err, io.EOF) || string(p[:have]) != "abcdef" {
		t.Errorf("%q, then %d bytes, and %v", p[:have], n, err)
	}
	answer = e.ask(t.Context(), t, "GET", nil)
	conn, in = e.accepts(t) // another one
	hears(t, in)
	says(t, conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	got = <-answer
	if got.err != nil {
		t.Fatal(got.err)
	}
	says(t, conn, "2\r\nok\r\n0\r\n\r\n")
	once, _ = got.res.Body.(exchange.Lent)
	if n := once.ReadAtOnce(p); n != 0 {
		t.Errorf("%d bytes of chunks are given as content", n)
	}
	if text := got.reads(t); text != "ok" {
		t.Errorf("the content is %q", text)
	}
}

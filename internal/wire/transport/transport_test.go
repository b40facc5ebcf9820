package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// engine is what speaks HTTP/1.1 in these tests. They demand the same of each engine.
var engine = flag.String("engine", string(config.OwnEngine), "the engine: std or own")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTransport(tb testing.TB, o transport.Options) *transport.Transport {
	tb.Helper()
	o.Engine = config.Engine(*engine)
	tr, err := transport.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(tr.CloseIdle)
	return tr
}

func request(tb testing.TB, method, address string, body io.Reader) *http.Request {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	tb.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/", body)
	if err != nil {
		tb.Fatal(err)
	}
	req.GetBody = nil // no engine provides one
	return req
}

// listen serves each connection with handle until the test ends.
func listen(tb testing.TB, handle func(net.Conn)) string {
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
				handle(conn)
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return l.Addr().String()
}

// answering reads n requests from a connection and answers each.
func answering(c net.Conn, n int) *bufio.Reader {
	r := bufio.NewReader(c)
	for range n {
		req, err := http.ReadRequest(r)
		if err != nil {
			return r
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
	return r
}

func TestProtocolsAndTheirMistakes(t *testing.T) {
	for _, o := range []transport.Options{{Protocol: "spdy"}, {Protocol: transport.H2}} {
		if _, err := transport.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// roundTrip sends a request and returns its status, protocol and body.
func roundTrip(t *testing.T, tr http.RoundTripper, req *http.Request) (int, string, string) {
	t.Helper()
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Proto, string(body)
}

func TestEachProtocolSpeaksItself(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" ua="+r.Header.Get("User-Agent")+" ae="+r.Header.Get("Accept-Encoding"))
	})
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewUnstartedServer(handler)
	plain.Config.Protocols = new(http.Protocols)
	plain.Config.Protocols.SetHTTP1(true)
	plain.Config.Protocols.SetUnencryptedHTTP2(true)
	plain.Start()
	defer plain.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	identity, err := transport.Identity{CA: ca, ServerName: "example.com"}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		protocol string
		tls      *tls.Config
		server   *httptest.Server
		want     string
	}{
		{"", nil, plain, "HTTP/1.1"},
		{transport.HTTP, nil, plain, "HTTP/1.1"},
		{transport.H2C, nil, plain, "HTTP/2.0"},
		{transport.GRPC, nil, plain, "HTTP/2.0"},
		{transport.HTTP, identity, secure, "HTTP/1.1"},
		{transport.H2, identity, secure, "HTTP/2.0"},
		{transport.H2C, identity, secure, "HTTP/2.0"},
		{transport.GRPC, identity, secure, "HTTP/2.0"},
	} {
		tr := newTransport(t, transport.Options{Protocol: c.protocol, TLS: c.tls})
		_, proto, body := roundTrip(t, tr, request(t, "GET", c.server.Listener.Addr().String(), nil))
		if want := c.want + " ua= ae="; proto != c.want || body != want {
			t.Errorf("%q over TLS %v: %s, %q", c.protocol, c.tls != nil, proto, body)
		}
		tr.CloseIdle()
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS() // its certificate is for example.com and 127.0.0.1
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, c := range map[string]struct {
		identity transport.Identity
		ok       bool
	}{
		"the endpoint's own address":   {transport.Identity{CA: ca}, true},
		"its name":                     {transport.Identity{CA: ca, ServerName: "example.com"}, true},
		"another name":                 {transport.Identity{CA: ca, ServerName: "evil.dev"}, false},
		"an unknown authority":         {transport.Identity{}, false},
		"one of the SANs":              {transport.Identity{CA: ca, ServerName: "sni.dev", SANs: []string{"evil.dev", "example.com"}}, true},
		"none of the SANs":             {transport.Identity{CA: ca, ServerName: "example.com", SANs: []string{"evil.dev"}}, false},
		"SANs of an unknown authority": {transport.Identity{SANs: []string{"example.com"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := c.identity.TLS()
			if err != nil {
				t.Fatal(err)
			}
			tr := newTransport(t, transport.Options{TLS: config})
			res, err := tr.RoundTrip(request(t, "POST", server.Listener.Addr().String(), strings.NewReader("secret")))
			if err == nil {
				_ = res.Body.Close()
			}
			var send *exchange.SendError
			if c.ok != (err == nil) || !c.ok && (!errors.As(err, &send) || !send.Dial || send.Sent != exchange.SentNothing) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := (transport.Identity{CA: []byte("nonsense")}).TLS(); err == nil {
		t.Error("a broken CA falls back to something")
	}
}

func TestErrorsSayHowMuchWasSent(t *testing.T) {
	silent := func(c net.Conn) { // reads everything and never answers
		_, _ = io.Copy(io.Discard, c)
	}
	for name, c := range map[string]struct {
		address func(t testing.TB) string
		options transport.Options
		body    io.Reader
		ctx     time.Duration
		want    exchange.SendError
	}{
		"nobody listens": {freeport.Address, transport.Options{}, nil, 0, exchange.SendError{Dial: true, Sent: exchange.SentNothing}},
		"the dial takes too long": {freeport.Address, transport.Options{Connect: 10 * time.Millisecond, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil, 0, exchange.SendError{Dial: true, Sent: exchange.SentNothing, Timeout: true}},
		"closed after the request": {func(tb testing.TB) string {
			tb.Helper()
			return listen(tb, func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) })
		}, transport.Options{}, nil, 0, exchange.SendError{Sent: exchange.SentAll}},
		"given up while it waits": {func(tb testing.TB) string {
			tb.Helper()
			return listen(tb, silent)
		}, transport.Options{}, strings.NewReader("all of it"), time.Second, // enough to send the content on any machine
			exchange.SendError{Sent: exchange.SentAll}},
		"broken off in the body": {func(tb testing.TB) string {
			tb.Helper()
			return listen(tb, func(c net.Conn) {
				_, _ = io.CopyN(io.Discard, c, 100)
				_ = c.(*net.TCPConn).SetLinger(0)
			})
		}, transport.Options{}, io.MultiReader(strings.NewReader(strings.Repeat("x", 64<<20))), 0, exchange.SendError{Sent: exchange.SentPartly}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, c.options)
			req := request(t, "POST", c.address(t), c.body)
			if c.ctx > 0 {
				ctx, cancel := context.WithTimeout(req.Context(), c.ctx)
				defer cancel()
				req = req.WithContext(ctx)
			}
			closed := &closeSpy{Reader: req.Body}
			req.Body = closed
			if c.body == nil {
				req.Body = http.NoBody
			}
			_, err := tr.RoundTrip(req)
			var got *exchange.SendError
			if !errors.As(err, &got) {
				t.Fatalf("%v", err)
			}
			if got.Sent != c.want.Sent || got.Dial != c.want.Dial || got.Timeout != c.want.Timeout || got.Reused || got.GoAway {
				t.Errorf("%+v", got)
			}
			if c.ctx > 0 && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v hides the context's end", err)
			}
			if c.body != nil && !closed.closed.Load() {
				t.Error("the request's body was not closed")
			}
		})
	}
}

type closeSpy struct {
	io.Reader

	closed atomic.Bool
}

func (s *closeSpy) Close() error { s.closed.Store(true); return nil }

func TestBodyErrorsSayThatTheHeadWasSeen(t *testing.T) {
	address := listen(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	})
	res, err := newTransport(t, transport.Options{}).RoundTrip(request(t, "GET", address, nil))
	if err != nil {
		t.Fatal(err)
	}
	ends := 0
	var how error
	res.Body.(interface{ OnEnd(e exchange.Ending) }).OnEnd(exchange.EndingFunc(func(err error) { ends, how = ends+1, err }))
	_, err = io.ReadAll(res.Body)
	var send *exchange.SendError
	if !errors.As(err, &send) || send.Sent != exchange.SentHeadSeen || send.Endpoint != address || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	_ = res.Body.Close()
	if ends != 1 || how == nil || how.Error() != err.Error() {
		t.Errorf("the body ended %d times, at last by %v", ends, how)
	}
}

// Code that judges an endpoint must be able to tell a body that broke off from one that nobody wanted.
func TestHowABodyEnds(t *testing.T) {
	address := listen(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
	})
	for name, c := range map[string]struct {
		read func(io.ReadCloser)
		want error
	}{
		"read to its end": {func(b io.ReadCloser) { _, _ = io.ReadAll(b) }, io.EOF},
		"closed early":    {func(b io.ReadCloser) { _, _ = b.Read(make([]byte, 1)) }, nil},
	} {
		res, err := newTransport(t, transport.Options{}).RoundTrip(request(t, "GET", address, nil))
		if err != nil {
			t.Fatal(err)
		}
		how := errors.New("never")
		res.Body.(interface{ OnEnd(e exchange.Ending) }).OnEnd(exchange.EndingFunc(func(err error) { how = err }))
		c.read(res.Body)
		_ = res.Body.Close()
		if how != c.want { //nolint:errorlint // it is given bare
			t.Errorf("%s: %v", name, how)
		}
	}
}

// A request meets a kept connection that the other side closes. For an unsafe request this is an error that says so.
// A safe one is sent once more, and both attempts are reported.
func TestAKeptConnectionThatIsClosedUnderARequest(t *testing.T) {
	var conns atomic.Int32
	address := listen(t, func(c net.Conn) {
		if conns.Add(1)%2 == 1 {
			r := answering(c, 1)
			_, _ = http.ReadRequest(r) // the second request is read and never answered
			return
		}
		answering(c, 10)
	})
	send := func(t *testing.T, method string) (*exchange.Exchange, error) {
		t.Helper()
		tr := newTransport(t, transport.Options{})
		roundTrip(t, tr, request(t, "GET", address, nil))
		x := &exchange.Exchange{}
		res, err := tr.RoundTrip(exchange.With(request(t, method, address, nil), x))
		if err == nil {
			_ = res.Body.Close()
		}
		tr.CloseIdle()
		return x, err
	}
	_, err := send(t, "POST")
	var unsafe *exchange.SendError
	if !errors.As(err, &unsafe) || !unsafe.Reused || unsafe.Sent != exchange.SentAll || unsafe.Unprocessed() {
		t.Errorf("POST: %+v", err)
	}
	conns.Store(0)
	x, err := send(t, "GET")
	if err != nil || len(x.Attempts) != 1 || x.Attempts[0].Endpoint != address || x.Attempts[0].Err == nil {
		t.Errorf("GET: %v, attempts %+v", err, x.Attempts)
	}
}

func TestIdleConnectionsAreUsedAgainAndClosed(t *testing.T) {
	var conns, open atomic.Int32
	address := listen(t, func(c net.Conn) {
		conns.Add(1)
		open.Add(1)
		defer open.Add(-1)
		answering(c, 10)
	})
	tr := newTransport(t, transport.Options{})
	for range 3 {
		roundTrip(t, tr, request(t, "GET", address, nil))
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 3 requests", n)
	}
	tr.CloseIdle()
	for end := time.Now().Add(await.Patience); open.Load() > 0; {
		if time.Now().After(end) {
			t.Fatal("the idle connection stays open")
		}
		<-time.After(time.Millisecond)
	}
}

// h2Server speaks just enough HTTP/2 to answer the first HEADERS frame with script.
func h2Server(t *testing.T, script func(f *http2.Framer, stream uint32, requests int)) string {
	t.Helper()
	var requests atomic.Int32
	return listen(t, func(c net.Conn) {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(c, preface); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.HeadersFrame:
				script(f, frame.StreamID, int(requests.Add(1)))
			}
		}
	})
}

// refusals are the ways in which a backend says that it has not processed a stream.
var refusals = map[string]func(f *http2.Framer, stream uint32, _ int){
	"REFUSED_STREAM": func(f *http2.Framer, stream uint32, _ int) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
	"GOAWAY below the stream": func(f *http2.Framer, _ uint32, _ int) {
		_ = f.WriteGoAway(0, http2.ErrCodeNo, nil)
	},
}

func TestRefusedStreamsAreUnprocessed(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			var seen atomic.Int32
			address := h2Server(t, func(f *http2.Framer, stream uint32, n int) {
				seen.Store(int32(n))
				refuse(f, stream, n)
			})
			tr := newTransport(t, transport.Options{Protocol: transport.H2C})
			in, out := io.Pipe()
			go func() { _, _ = io.WriteString(out, "begin") }()
			defer func() { _ = out.Close() }()
			_, err := tr.RoundTrip(request(t, "POST", address, in))
			var send *exchange.SendError
			if !errors.As(err, &send) || !send.GoAway || !send.Unprocessed() {
				t.Fatalf("%v", err)
			}
			if n := seen.Load(); n != 1 {
				t.Errorf("the stream was opened %d times", n)
			}
		})
	}
}

// stubborn is content that Close does not end, such as a client's content that another attempt may still read.
type stubborn struct{ io.Reader }

func (stubborn) Close() error { return nil }

// severing dials connections that are closed when the test ends, even if a stream on them still waits for its
// content.
func severing(t *testing.T) func(ctx context.Context, network, address string) (net.Conn, error) {
	t.Helper()
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return c, err
	}
}

func TestARefusedStreamIsUnprocessedWhateverItsContentWaitsFor(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, transport.Options{Protocol: transport.H2C, Dial: severing(t)})
			in, out := io.Pipe()
			go func() { _, _ = io.WriteString(out, "begin") }()
			defer func() { _ = out.Close() }()
			_, err := tr.RoundTrip(request(t, "POST", h2Server(t, refuse), stubborn{in}))
			var send *exchange.SendError
			if !errors.As(err, &send) || !send.GoAway || !send.Unprocessed() {
				t.Errorf("%v", err)
			}
		})
	}
}

// The client may leave while the transport waits for its content and the backend is silent.
func TestAnAttemptWhoseContentIsWaitedForEndsWithItsCaller(t *testing.T) {
	seen := make(chan struct{}, 1)
	address := h2Server(t, func(*http2.Framer, uint32, int) { seen <- struct{}{} })
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	req := request(t, "POST", address, stubborn{in})
	ctx, leave := context.WithCancel(req.Context())
	go func() {
		<-seen
		_, _ = io.WriteString(out, "begin")
		leave()
	}()
	_, err := newTransport(t, transport.Options{Protocol: transport.H2C, Dial: severing(t)}).RoundTrip(req.WithContext(ctx))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAResetStreamIsNotUnprocessed(t *testing.T) {
	address := h2Server(t, func(f *http2.Framer, stream uint32, _ int) { _ = f.WriteRSTStream(stream, http2.ErrCodeInternal) })
	_, err := newTransport(t, transport.Options{Protocol: transport.H2C}).RoundTrip(request(t, "POST", address, strings.NewReader("x")))
	var send *exchange.SendError
	if !errors.As(err, &send) || send.Unprocessed() {
		t.Errorf("%v", err)
	}
}

// net/http would retry a refused GET for a minute; here only one retry is allowed.
func TestARefusedGETIsNotTriedForEver(t *testing.T) {
	var seen atomic.Int32
	address := h2Server(t, func(f *http2.Framer, stream uint32, n int) {
		seen.Store(int32(n))
		_ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
	})
	tr := newTransport(t, transport.Options{Protocol: transport.H2C})
	_, err := tr.RoundTrip(request(t, "GET", address, nil))
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	var send *exchange.SendError
	if !errors.As(err, &send) || seen.Load() > 3 {
		t.Errorf("%v after %d streams", err, seen.Load())
	}
}

func TestInformationalResponsesStopWithTheHead(t *testing.T) {
	address := listen(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	x := &exchange.Exchange{}
	var got []int
	x.Informational = exchange.InformerFunc(func(status int, head exchange.Head) {
		if head.Get("Link") == "</a>" {
			got = append(got, status)
		}
	})
	status, _, _ := roundTrip(t, newTransport(t, transport.Options{}), exchange.With(request(t, "GET", address, nil), x))
	if status != http.StatusOK || len(got) != 1 || got[0] != http.StatusEarlyHints {
		t.Errorf("%d after %v", status, got)
	}
}

// net/http does not limit 1xx responses; it leaves counting them to the code that observes them.
func TestInformationalResponsesAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</"+strings.Repeat("a", 100)+">") // once: the server may still read the header when a stream is reset
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	for _, protocol := range []string{transport.HTTP, transport.H2C} {
		t.Run(protocol, func(t *testing.T) {
			hints := 0
			x := &exchange.Exchange{Informational: exchange.InformerFunc(func(int, exchange.Head) { hints++ })}
			tr := newTransport(t, transport.Options{Protocol: protocol, HeadBytes: 10_000})
			_, err := tr.RoundTrip(exchange.With(request(t, "GET", server.Listener.Addr().String(), nil), x))
			var f *fault.Fault
			if !errors.As(err, &f) || f.Code != fault.BackendInvalid.Code || hints == 0 || hints > 100 {
				t.Errorf("%v after %d hints", err, hints)
			}
		})
	}
}

func TestUpgradeOverHTTP2IsRefused(t *testing.T) {
	req := request(t, "GET", "127.0.0.1:1", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	_, err := newTransport(t, transport.Options{Protocol: transport.H2C}).RoundTrip(req)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != fault.UpgradeRefused.Code {
		t.Errorf("%v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	tr := newTransport(b, transport.Options{})
	req := request(b, "GET", server.Listener.Addr().String(), nil)
	b.ReportAllocs()
	for b.Loop() {
		res, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

// If an endpoint says for how long it keeps unused connections, the transport does not use one that the endpoint is
// about to close.
func TestAConnectionIsClosedBeforeTheEndpointDoes(t *testing.T) {
	closed := make(chan error, 1)
	address := listen(t, func(c net.Conn) {
		r := answering(c, 0)
		if _, err := http.ReadRequest(r); err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok")
		_, err := r.ReadByte()
		closed <- err
	})
	tr := newTransport(t, transport.Options{Idle: time.Hour})
	res, err := tr.RoundTrip(request(t, http.MethodGet, address, nil))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err := <-closed; !errors.Is(err, io.EOF) {
		t.Errorf("the endpoint saw %v", err)
	}
}

package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/weir-gateway/weir/internal/base/await"
)

// origin is an HTTP and a gRPC server that answer with their name.
type origin struct {
	http           *httptest.Server
	address, calls string
	held           atomic.Pointer[held]
}

// held is a request that the origin answers when the test says so.
type held struct{ entered, leave chan struct{} }

func startSoakOrigin(t *testing.T, name string) *origin {
	t.Helper()
	o := &origin{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /who", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("GET /ticks", func(w http.ResponseWriter, r *http.Request) {
		for i := 0; ; i++ {
			_, _ = fmt.Fprintf(w, "tick %d\n", i)     // if the client has left, the context ends
			_ = http.NewResponseController(w).Flush() // as above
			if !thinks(r.Context()) {
				return
			}
		}
	})
	mux.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, " ", err)
	})
	mux.HandleFunc("POST /held", func(w http.ResponseWriter, r *http.Request) {
		h := o.held.Load()
		close(h.entered)
		<-h.leave
		_, _ = io.Copy(w, r.Body)
	})
	mux.Handle("GET /chat", &chat{ended: make(chan error, 1<<16)})
	o.http = httptest.NewServer(mux)
	t.Cleanup(o.http.Close)
	o.address = o.http.Listener.Addr().String()
	_, o.calls = startGRPC(t, grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-server", name)) // the probe would notice that it is missing
		return handle(ctx, req)
	}))
	return o
}

// thinks pauses as the user of a client does, and reports whether to go on.
func thinks(ctx context.Context) bool {
	select {
	case <-time.After(20 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// secureClient speaks HTTP/2 over TLS with whatever https URL it is given.
func (s *soak) secureClient() *http.Client {
	s.t.Helper()
	transport := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: s.trust(),
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.secure())
		},
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * await.Patience}
}

func (s *soak) trust() *tls.Config {
	return &tls.Config{RootCAs: s.issuer.Pool(), ServerName: "shop.dev"}
}

func (s *soak) secureCalls() *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.secure(), grpc.WithTransportCredentials(credentials.NewTLS(s.trust())), grpc.WithAuthority("shop.dev"))
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// startClients begins to send short requests of all kinds; a lost one is a failure. end waits for the clients and
// leaves no connection.
func (s *soak) startClients() (l *crowd, end func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l = &crowd{t: s.t, stop: ctx, counts: map[string]*atomic.Int64{}}
	plain, secure := "http://"+s.plain(), "https://shop.dev"
	var clients []*http.Client
	many := func(kind string, workers int, client *http.Client, url string) {
		clients = append(clients, client)
		l.many(kind, workers, func(i int) error {
			thinks(ctx)
			return echoed(client, url, struct{ io.Reader }{bytes.NewReader(message(i))}, i) // net/http cannot send it again
		})
	}
	fresh, secureFresh := h1Client(s.t), s.secureClient()
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	secureFresh.Transport.(*http.Transport).DisableKeepAlives = true
	many("HTTP/1.1", 4, h1Client(s.t), plain)
	many("HTTP/1.1 on new connections", 2, fresh, plain)
	many("HTTP/2", 4, h2Client(s.t), plain)
	many("HTTP/2 over TLS", 4, s.secureClient(), secure)
	many("HTTP/2 over TLS on new connections", 1, secureFresh, secure)
	calls, secureCalls := dialGRPC(s.t, s.gateway), s.secureCalls()
	for kind, conn := range map[string]*grpc.ClientConn{"gRPC": calls, "gRPC over TLS": secureCalls} {
		l.many(kind, 2, func(i int) error {
			thinks(ctx)
			return pingPong(context.Background(), conn, i%7)
		})
	}
	l.many("WebSocket", 2, func(i int) error {
		thinks(ctx)
		conn, _, err := websocket.Dial(context.Background(), "ws://"+s.plain()+"/chat", nil)
		if err != nil {
			return err
		}
		if err := wantEcho(context.Background(), conn, websocket.MessageText, message(i)); err != nil {
			return err
		}
		return conn.Close(websocket.StatusNormalClosure, "")
	})
	return l, func() {
		cancel()
		l.workers.Wait()
		_, _ = calls.Close(), secureCalls.Close() // nothing uses them any more
		var told []string
		for kind, n := range l.counts {
			told = append(told, fmt.Sprintf("%s %d", kind, n.Load()))
		}
		s.t.Logf("answered: %s", strings.Join(told, ", "))
		for _, c := range clients {
			c.CloseIdleConnections()
		}
	}
}

// streams are conversations of all kinds that go on until they are ended.
type streams struct {
	stop    context.Context //nolint:containedctx // of all of them
	cancel  context.CancelFunc
	workers sync.WaitGroup
	close   []func()
}

// startStreams opens the streams and waits until each has carried something.
func (s *soak) startStreams() *streams {
	s.t.Helper()
	o := &streams{}
	o.stop, o.cancel = context.WithCancel(context.Background())
	plain, secure := "http://"+s.plain(), "https://shop.dev"
	h1, h2, tls2 := h1Client(s.t), h2Client(s.t), s.secureClient()
	for _, c := range []*http.Client{h1, h2, tls2} {
		c.Timeout = 0
		o.close = append(o.close, c.CloseIdleConnections)
	}
	calls, secureCalls := dialGRPC(s.t, s.gateway), s.secureCalls()
	o.close = append(o.close, func() { _ = calls.Close() }, func() { _ = secureCalls.Close() })
	var begun sync.WaitGroup
	for kind, converse := range map[string]func(said func()) error{
		"ticks over HTTP/1.1":        func(said func()) error { return hear(o.stop, h1, plain, said) },
		"ticks over HTTP/2":          func(said func()) error { return hear(o.stop, h2, plain, said) },
		"ticks over HTTP/2 over TLS": func(said func()) error { return hear(o.stop, tls2, secure, said) },
		"an upload over HTTP/1.1":    func(said func()) error { return upload(o.stop, h1, plain, said) },
		"an upload over HTTP/2":      func(said func()) error { return upload(o.stop, h2, plain, said) },
		"a gRPC stream":              func(said func()) error { return converse(o.stop, calls, said) },
		"a gRPC stream over TLS":     func(said func()) error { return converse(o.stop, secureCalls, said) },
		"a WebSocket":                func(said func()) error { return chatter(o.stop, h1, plain, said) },
		"a WebSocket over TLS":       func(said func()) error { return chatter(o.stop, s.secureUpgrades(), secure, said) },
	} {
		begun.Add(1)
		o.workers.Go(func() {
			once := sync.OnceFunc(begun.Done)
			defer once()
			n := 0
			if err := converse(func() { n++; once() }); err != nil {
				s.t.Errorf("%s, after %d messages: %v", kind, n, err)
			}
		})
	}
	begun.Wait()
	return o
}

// secureUpgrades speaks HTTP/1.1 over TLS, as WebSockets do.
func (s *soak) secureUpgrades() *http.Client {
	c := s.secureClient()
	transport := c.Transport.(*http.Transport)
	transport.ForceAttemptHTTP2, transport.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	c.Timeout = 0
	return c
}

// end ends them as their clients would; a second call does nothing.
func (o *streams) end() {
	o.cancel()
	o.workers.Wait()
	for _, c := range o.close {
		c()
	}
}

// hear receives ticks, none of which may be missing.
func hear(ctx context.Context, client *http.Client, url string, said func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ticks", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(request)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for i := 0; ; i++ {
		line, err := lines.ReadString('\n')
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case line != fmt.Sprintf("tick %d\n", i):
			return fmt.Errorf("got %q, want tick %d", line, i)
		}
		said()
	}
}

// upload sends pieces until ctx ends; all of them must have arrived.
func upload(ctx context.Context, client *http.Client, url string, said func()) error {
	body, pieces := io.Pipe()
	sent := 0
	go func() {
		for thinks(ctx) {
			n, err := pieces.Write(message(1))
			if sent += n; err != nil {
				return // the request has failed, and its error says why
			}
			said()
		}
		_ = pieces.Close() // its error tells nothing
	}()
	res, err := client.Post(url+"/sum", "text/plain", body)
	if err != nil {
		_ = body.CloseWithError(err)
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return differs(err, string(got), fmt.Sprint(sent, " <nil>"))
}

// converse keeps one call going in both directions.
func converse(ctx context.Context, conn *grpc.ClientConn, said func()) error {
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(context.Background())
	if err != nil {
		return err
	}
	for size := int32(1); ; size = size%100 + 1 {
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}}}); err != nil {
			_, err = stream.Recv() // the error of Send only says that the stream has ended
			return err
		}
		reply, err := stream.Recv()
		if err != nil {
			return err
		}
		if got := len(reply.GetPayload().GetBody()); got != int(size) {
			return fmt.Errorf("%d bytes came, want %d", got, size)
		}
		said()
		if !thinks(ctx) {
			break
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the end: %w", err)
	}
	return nil
}

// chatter talks over one WebSocket, and closes it properly.
func chatter(ctx context.Context, client *http.Client, url string, said func()) error {
	conn, _, err := websocket.Dial(context.Background(), url+"/chat", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for i := 0; ; i++ {
		if err := wantEcho(context.Background(), conn, websocket.MessageText, message(i)); err != nil {
			return err
		}
		said()
		if !thinks(ctx) {
			return conn.Close(websocket.StatusNormalClosure, "")
		}
	}
}

// visitors use a listener until it is gone. The only error that they may see is a refused connection, and only while
// the listener is being removed.
type visitors struct {
	s       *soak
	address string
	leaving atomic.Bool // the listener is being removed
	workers sync.WaitGroup
	clients []*http.Client
}

func (s *soak) startVisitors(address string) *visitors {
	s.t.Helper()
	v := &visitors{s: s, address: address}
	for i := range 3 {
		client := h1Client(s.t)
		client.Transport.(*http.Transport).DisableKeepAlives = i > 0
		v.clients = append(v.clients, client)
		v.workers.Go(func() { v.visit(client) })
	}
	s.t.Cleanup(v.wait)
	return v
}

func (v *visitors) visit(client *http.Client) {
	for i := 0; ; i++ {
		err := echoed(client, "http://"+v.address, struct{ io.Reader }{bytes.NewReader(message(i))}, i)
		switch {
		case v.s.t.Context().Err() != nil:
			return // the test has failed
		case err == nil:
			thinks(v.s.t.Context())
		case v.leaving.Load() && errors.Is(err, syscall.ECONNREFUSED):
			return
		default:
			v.s.t.Errorf("a visitor, after %d answers: %v", i, err)
			return
		}
	}
}

// beforeRemoval begins a request that is under way when the listener is removed. The function that it returns checks
// that the request is answered.
func (v *visitors) beforeRemoval() (answered func()) {
	s := v.s
	s.t.Helper()
	h := &held{make(chan struct{}), make(chan struct{})}
	for _, o := range s.origins {
		o.held.Store(h)
	}
	client := h1Client(s.t)
	told := make(chan error, 1)
	go func() {
		res, err := client.Post("http://"+v.address+"/held", "text/plain", strings.NewReader("held"))
		if err != nil {
			told <- err
			return
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		told <- differs(err, string(got), "held")
	}()
	select {
	case <-h.entered:
	case err := <-told:
		s.t.Fatalf("a request before the listener is removed: %v", err)
	case <-time.After(2 * await.Patience):
		s.t.Fatal("a request before the listener is removed does not arrive")
	}
	v.leaving.Store(true)
	return func() {
		s.t.Helper()
		close(h.leave)
		if err := await.From(s.t, "the answer to a request on a listener that is gone", told); err != nil {
			s.t.Errorf("a request under way on a listener that is removed: %v", err)
		}
		client.CloseIdleConnections()
	}
}

// wait returns when all have noticed that the listener is gone.
func (v *visitors) wait() {
	v.workers.Wait()
	for _, c := range v.clients {
		c.CloseIdleConnections()
	}
}

package listen_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

const patience = await.Patience

// start serves o on a free port of the loopback interface until the test ends, and returns the address.
func start(t *testing.T, o listen.Options) string {
	t.Helper()
	server := serve(t, &o)
	t.Cleanup(func() { stop(t, server, 0) })
	return o.Listener.Addr().String()
}

// serve is start without the shutdown at the end.
func serve(t *testing.T, o *listen.Options) *listen.Server {
	t.Helper()
	if o.Listener == nil {
		listener, err := listen.Open(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listener = listener
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Engine = config.Engine(*engine)
	server := listen.New(*o)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		if err := <-served; err != nil {
			t.Errorf("Serve gave %v, want nil after Shutdown", err)
		}
	})
	return server
}

// atOnce is a context for a Shutdown that closes idle connections at once.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// stop shuts the server down, at once if grace is 0.
func stop(t *testing.T, server *listen.Server, grace time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), grace)
	defer cancel()
	if err := server.Shutdown(ctx, atOnce()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

// dial connects to address. The connection is closed when the test ends and has a deadline.
func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func send(t *testing.T, conn io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// response is a response that was read whole.
type response struct {
	*http.Response

	body string
}

func receive(t *testing.T, r *bufio.Reader) response {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("read a response: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("read a response's body: %v", err)
	}
	return response{res, string(body)}
}

// wantEnd fails unless the server closed the connection.
func wantEnd(t *testing.T, r io.Reader) {
	t.Helper()
	rest, err := io.ReadAll(r)
	if len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the connection went on with %q, %v; want its end", rest, err)
	}
}

// echo answers with the body that it read, or with a line that says the body is broken.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body: "+err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s %s %q", r.Method, r.RequestURI, r.Host, body)
}

func TestKeepAliveServesRequestsInTurn(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo)}))
	r := bufio.NewReader(conn)
	for i := range 3 {
		send(t, conn, fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", i))
		if got, want := receive(t, r).body, fmt.Sprintf(`POST /%d a "hi"`, i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	receive(t, r)
	wantEnd(t, r)
}

func TestPipelinedResponsesComeBeforeTheRefusal(t *testing.T) {
	release := make(chan struct{})
	address := start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		echo(w, r)
	})})
	conn := dial(t, address)
	send(t, conn, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"+
		"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+
		"GET /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
	close(release)
	r := bufio.NewReader(conn)
	for _, want := range []string{`GET /1 a ""`, `POST /2 a "abc"`} {
		if got := receive(t, r).body; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	res := receive(t, r)
	if res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Type") != "application/problem+json" || !res.Close {
		t.Errorf("the refusal is %d %v %s, want a closing 400 problem", res.StatusCode, res.Header, res.body)
	}
	wantEnd(t, r)
}

func TestRefusalsHaveTheirStatus(t *testing.T) {
	address := start(t, listen.Options{
		Handler: http.HandlerFunc(echo),
		Limits:  config.Limits{HeadBytes: 2000, HeadFields: 10, URLBytes: 100},
	})
	long := strings.Repeat("a", 4000)
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"a line that ends with LF":          {"GET / HTTP/1.1\nHost: a\n\n", 400},
		"TLS":                               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		"another protocol":                  {"\x00\x00\x00", 400},
		"HTTP/0.9":                          {"GET /\r\n", 400},
		"HTTP/2.0 in the form of HTTP/1.1":  {"GET / HTTP/2.0\r\n", 505},
		"the HTTP/2 preface without h2c":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		"a long target":                     {"GET /" + long[:100] + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		"a target without end":              {"GET /" + long, 414},
		"a large head":                      {"GET / HTTP/1.1\r\nHost: a\r\nA: " + long + "\r\n\r\n", 431},
		"a head without end":                {"GET / HTTP/1.1\r\nHost: a\r\nA: " + long, 431},
		"many fields":                       {"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 10) + "\r\n", 431},
		"another expectation":               {"POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 1\r\n\r\n", 417},
		"CONNECT":                           {"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501},
		"an unknown transfer coding":        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400},
		"the request that stands for these": {"GET * HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, address)
			send(t, conn, test.request)
			r := bufio.NewReader(conn)
			if res := receive(t, r); res.StatusCode != test.status || res.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %d %s, want problem %d", res.StatusCode, res.body, test.status)
			}
			wantEnd(t, r)
		})
	}
}

func TestBrokenChunksFailTheBodyAndEndTheConnection(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo)}))
	send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0x3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	if res := receive(t, r); res.StatusCode != http.StatusBadRequest || !strings.Contains(res.body, "malformed-request") {
		t.Errorf("got %d %s, want the handler's 400", res.StatusCode, res.body)
	}
	wantEnd(t, r)
}

// If a connection is closed with unread data, the operating system resets it, and a client that is still sending may
// never see the response.
func TestAnAnswerBeforeTheEndOfTheBodyIsNotLostInAReset(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		control := http.NewResponseController(w)
		if err := errors.Join(control.EnableFullDuplex(), control.SetReadDeadline(time.Unix(1, 0))); err != nil {
			t.Error(err)
		}
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "enough")
	})})
	conn := dial(t, address)
	send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("x", 100_000))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "enough") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestExpectContinueIsAnsweredWhenTheBodyIsRead(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo)}))
	send(t, conn, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
	r := bufio.NewReader(conn)
	if res := receive(t, r); res.StatusCode != http.StatusContinue {
		t.Fatalf("got %d, want 100", res.StatusCode)
	}
	send(t, conn, "abc")
	if got, want := receive(t, r).body, `POST / a "abc"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAbsoluteFormBecomesOriginForm(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo)}))
	r := bufio.NewReader(conn)
	for target, want := range map[string]string{
		"http://A:80/x?y": "/x?y", "https://a:80": "/", "http://a:80?q": "/?q", "/x": "/x",
	} {
		send(t, conn, "GET "+target+" HTTP/1.1\r\nHost: a:80\r\n\r\n")
		if got, want := receive(t, r).body, `GET `+want+` a:80 ""`; got != want {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
	}
}

func TestSlowHeadIsCutInTime(t *testing.T) {
	address := start(t, listen.Options{
		Handler: http.HandlerFunc(echo),
		Limits:  config.Limits{HeadTime: 50 * time.Millisecond, KeepAlive: time.Hour, FirstRequest: time.Hour},
	})
	conn := dial(t, address)
	r := bufio.NewReader(conn)
	for range 2 { // the first request on a connection and a later one
		send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		receive(t, r)
	}
	send(t, conn, "GET / HTTP/1.1\r\nHos")
	if res := receive(t, r); res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %d, want 408", res.StatusCode)
	}
	wantEnd(t, r)
}

func TestSilentClientIsCutInTime(t *testing.T) {
	listener, err := listen.Open(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	late := dial(t, listener.Addr().String())
	send(t, late, "GET") // before the connection is accepted, so that the request is in time on any machine
	address := start(t, listen.Options{
		Listener: listener,
		Handler:  http.HandlerFunc(echo),
		Limits:   config.Limits{HeadTime: time.Hour, KeepAlive: time.Hour, FirstRequest: 50 * time.Millisecond},
	})
	wantEnd(t, dial(t, address))
	r := bufio.NewReader(late)
	if res := receive(t, r); res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("got %d, want 408", res.StatusCode)
	}
	wantEnd(t, r)
}

func TestIdleConnectionIsClosed(t *testing.T) {
	conn := dial(t, start(t, listen.Options{
		Handler: http.HandlerFunc(echo),
		Limits:  config.Limits{KeepAlive: 50 * time.Millisecond},
	}))
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	receive(t, r)
	wantEnd(t, r)
}

func TestHijackPassesEveryByteUnread(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buffered.Flush()
		_, _ = io.Copy(conn, buffered.Reader)
	})})
	for _, early := range []bool{true, false} {
		conn := dial(t, address)
		head := "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
		said := "\x00\nGET / HTTP/1.1\n\n\xff"
		r := bufio.NewReader(conn)
		if early {
			send(t, conn, head+said)
		} else {
			send(t, conn, head)
		}
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("got %v, %v, want 101", res, err)
		}
		if !early {
			send(t, conn, said)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); string(got) != said || err != nil {
			t.Errorf("early %v: the echo is %q, %v, want %q", early, got, err, said)
		}
	}
}

func TestHalfClosedClientGetsItsResponse(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo)}))
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if got, want := receive(t, r).body, `GET / a ""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantEnd(t, r)
}

func TestHandlerLearnsThatTheClientLeft(t *testing.T) {
	left := make(chan struct{})
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(left)
	})}))
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = conn.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("the handler was not told")
	}
}

func TestPipelinedBytesDoNotLookLikeALeavingClient(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			close(arrived)
			<-release
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		echo(w, r)
	})}))
	r := bufio.NewReader(conn)
	send(t, conn, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	send(t, conn, "GET /2 HTTP/1.1\r\nHo")
	close(release)
	receive(t, r)
	send(t, conn, "st: a\r\n\r\n")
	if got, want := receive(t, r).body, `GET /2 a ""`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestH2CByPriorKnowledge(t *testing.T) {
	for _, enabled := range []bool{true, false} {
		address := start(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: enabled})
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols}
		client := &http.Client{Transport: transport, Timeout: patience}
		res, err := client.Post("http://"+address+"/x", "text/plain", strings.NewReader("hi"))
		if !enabled {
			if err == nil {
				t.Errorf("got %v without h2c, want an error", res.Status)
				_ = res.Body.Close()
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if want := fmt.Sprintf("POST /x %s %q", address, "hi"); res.ProtoMajor != 2 || string(body) != want {
			t.Errorf("got %s %s, want HTTP/2 %s", res.Proto, body, want)
		}
		transport.CloseIdleConnections()
	}
}

func TestHTTP1IsServedBesideH2C(t *testing.T) {
	conn := dial(t, start(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true}))
	r := bufio.NewReader(conn)
	send(t, conn, "P")
	send(t, conn, "OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxA / HTTP/1.0\r\n\r\n")
	for _, want := range []string{`POST / a "x"`, `A /  ""`} {
		if got := receive(t, r).body; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTLSServesBothVersionsByALPN(t *testing.T) {
	certificate, pool := selfSigned(t)
	address := start(t, listen.Options{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer := listen.ConnectionFrom(r.Context()).Peer
			fmt.Fprintf(w, "%d %v %v", r.ProtoMajor, r.TLS != nil && r.TLS.HandshakeComplete, peer.IsValid())
		}),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	for major, offered := range map[int]string{1: "http/1.1", 2: "h2"} {
		var protocols http.Protocols
		protocols.SetHTTP1(major == 1)
		protocols.SetHTTP2(major == 2)
		transport := &http.Transport{
			Protocols:       &protocols,
			TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "weir.test", NextProtos: []string{offered}},
		}
		client := &http.Client{Transport: transport, Timeout: patience}
		res, err := client.Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if got, want := string(body), fmt.Sprintf("%d true true", major); got != want {
			t.Errorf("%s: got %s, want %s", offered, got, want)
		}
		transport.CloseIdleConnections()
	}
}

func TestTLSConnectionIsSieved(t *testing.T) {
	certificate, pool := selfSigned(t)
	address := start(t, listen.Options{
		Handler: http.HandlerFunc(echo),
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	conn := tls.Client(dial(t, address), &tls.Config{RootCAs: pool, ServerName: "weir.test"})
	send(t, conn, "GET / HTTP/1.1\nHost: a\n\n")
	if res := receive(t, bufio.NewReader(conn)); res.StatusCode != http.StatusBadRequest || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s, want the Sieve's 400", res.StatusCode, res.body)
	}
}

func TestPlainHTTPOnATLSPortIsTold(t *testing.T) {
	certificate, _ := selfSigned(t)
	conn := dial(t, start(t, listen.Options{
		Handler: http.HandlerFunc(echo),
		TLS:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}))
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	r := bufio.NewReader(conn)
	if res := receive(t, r); res.StatusCode != http.StatusBadRequest || !strings.Contains(res.body, "HTTPS") {
		t.Errorf("got %d %s, want a 400 that says HTTPS", res.StatusCode, res.body)
	}
	wantEnd(t, r)
}

func TestConnectionsOverTheLimitAreTurnedAway(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(echo), Limits: config.Limits{Connections: 1}})
	first := dial(t, address)
	send(t, first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, bufio.NewReader(first))
	second := bufio.NewReader(dial(t, address))
	if res := receive(t, second); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(res.body, `"overloaded"`) {
		t.Errorf("got %d %s, want 503 overloaded", res.StatusCode, res.body)
	}
	wantEnd(t, second)
	_ = first.Close()
	until(t, func() bool {
		third := dial(t, address)
		send(t, third, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(third), nil)
		_ = third.Close()
		return err == nil && res.StatusCode == http.StatusOK
	})
}

// until waits until condition holds, which it will without further action.
func until(t *testing.T, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about in time")
		}
	}
}

func TestShutdownLetsRequestsFinishAndClosesTheConnection(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	o := listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		if listen.ConnectionFrom(r.Context()).Server.Leaving() { // as an exchange.Writer does for a request that began before
			w.Header().Set("Connection", "close")
		}
		echo(w, r)
	})}
	server := serve(t, &o)
	conn := dial(t, server.Addr().String())
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(context.Background(), atOnce()) }()
	until(t, func() bool { return !listens(server.Addr().String()) })
	close(release)
	r := bufio.NewReader(conn)
	if res := receive(t, r); res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("got %d, close %v, want 200 with Connection: close", res.StatusCode, res.Close)
	}
	wantEnd(t, r)
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownServesIdleConnectionsOnceMoreInTheirGrace(t *testing.T) {
	o := listen.Options{Handler: http.HandlerFunc(echo)}
	idle, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	server := serve(t, &o)
	conn := dial(t, server.Addr().String())
	r := bufio.NewReader(conn)
	send(t, conn, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, r)
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(context.WithoutCancel(t.Context()), idle) }()
	until(t, func() bool { return !listens(server.Addr().String()) })
	send(t, conn, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	if res := receive(t, r); res.StatusCode != http.StatusOK || !res.Close {
		t.Errorf("got %d, close %v, want 200 with Connection: close", res.StatusCode, res.Close)
	}
	wantEnd(t, r)
	if err := <-ended; err != nil { // long before the grace period is over, because no connection is left
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownDoesNotWaitForClientsThatNeverAsked(t *testing.T) {
	certificate, _ := selfSigned(t)
	for name, config := range map[string]*tls.Config{
		"no head": nil, "no handshake": {Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	} {
		o := listen.Options{Handler: http.HandlerFunc(echo), TLS: config, Limits: patientLimits()}
		server := serve(t, &o)
		conn := dial(t, server.Addr().String())
		until(t, func() bool { return server.Connections() == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := server.Shutdown(ctx, atOnce()); err != nil {
			t.Errorf("%s: Shutdown: %v", name, err)
		}
		cancel()
		wantEnd(t, conn)
	}
}

func patientLimits() config.Limits {
	return config.Limits{FirstRequest: time.Hour, HeadTime: time.Hour, KeepAlive: time.Hour}
}

func TestShutdownLetsHTTP2StreamsFinish(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	o := listen.Options{H2C: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		echo(w, r)
	})}
	server := serve(t, &o)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	answered := make(chan error, 1)
	go func() {
		res, err := client.Get("http://" + server.Addr().String())
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
		answered <- err
	}()
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(context.WithoutCancel(t.Context()), atOnce()) }()
	until(t, func() bool { return !listens(server.Addr().String()) })
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the stream: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// listens reports whether address accepts connections.
func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestShutdownClosesUpgradedConnectionsAtTheDeadline(t *testing.T) {
	hijacked := make(chan struct{})
	o := listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		close(hijacked)
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	})}
	server := serve(t, &o)
	conn := dial(t, server.Addr().String())
	send(t, conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-hijacked
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx, atOnce()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connection") {
		t.Errorf("Shutdown gave %v, want that one connection was closed", err)
	}
	wantEnd(t, conn)
}

func TestLargeBodiesPassUnchanged(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
	})})
	content := bytes.Repeat([]byte("0123456789\r\n\r\n"), 50_000)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	for name, body := range map[string]func() io.Reader{
		"length": func() io.Reader { return bytes.NewReader(content) },
		"chunks": func() io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} },
	} {
		for range 3 {
			res, err := client.Post("http://"+address, "application/octet-stream", body())
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes came back, %v, want the %d that were sent", name, len(got), err, len(content))
			}
		}
	}
}

package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

// patience is how long a client may stay connected. The first of a thousand clients stays until the last one was
// answered, which takes ten seconds on a busy machine.
const patience = 2 * time.Minute

// newServer makes a Server that is closed when the test ends.
func newServer(tb testing.TB, o http1.ServerOptions) *http1.Server {
	tb.Helper()
	if o.Limits == (http1.Limits{}) {
		o.Limits = wide
	}
	o.KeepAlive, o.Log = time.Minute, slog.New(slog.DiscardHandler)
	s := http1.NewServer(o)
	tb.Cleanup(s.Close)
	return s
}

// link returns both ends of a connection over the loopback interface.
func link(tb testing.TB) (client *net.TCPConn, server net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	client = dialed.(*net.TCPConn)
	tb.Cleanup(func() { _, _ = client.Close(), server.Close() })
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	return client, server
}

// talk sends raw and returns all that arrives until the server closes the connection, possibly before it has read all
// of raw.
func talk(t *testing.T, client *net.TCPConn, raw string) string {
	t.Helper()
	if _, err := io.WriteString(client, raw); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Fatal(err)
	}
	got, err := io.ReadAll(client)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("%v after %q", err, got)
	}
	return string(got)
}

// single is a listener with one connection.
type single struct {
	conn chan net.Conn
	once sync.Once
	addr net.Addr
}

func (s *single) Accept() (net.Conn, error) {
	if c, ok := <-s.conn; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.once.Do(func() { close(s.conn) })
	return nil
}

func (s *single) Addr() net.Addr { return s.addr }

// byStd returns what net/http's server answers to raw.
func byStd(t *testing.T, h http.Handler, raw string) string {
	t.Helper()
	client, conn := link(t)
	l := &single{conn: make(chan net.Conn, 1), addr: conn.LocalAddr()}
	l.conn <- conn
	s := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: patience}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() { _ = s.Close(); <-served }()
	return talk(t, client, raw)
}

// byOwn returns what our own server answers to raw.
func byOwn(t *testing.T, h http.Handler, raw string, lines bool) string {
	t.Helper()
	client, conn := link(t)
	newServer(t, http1.ServerOptions{Handler: h, Lines: lines}).Serve(conn, time.Time{})
	return talk(t, client, raw)
}

var dates = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)

// comparableForm normalises responses: header fields in alphabetical order, without dates.
func comparableForm(responses string) string {
	var out strings.Builder
	for responses != "" {
		head, rest, found := strings.Cut(responses, "\r\n\r\n")
		if !found || !strings.HasPrefix(head, "HTTP/1.") {
			out.WriteString(responses)
			break
		}
		lines := strings.Split(dates.ReplaceAllString(head, "Date: (date)"), "\r\n")
		slices.Sort(lines[1:])
		fmt.Fprintf(&out, "%s\n\n", strings.Join(lines, "\n"))
		next := strings.Index(rest, "HTTP/1.")
		if next < 0 {
			next = len(rest)
		}
		out.WriteString(rest[:next] + "\n")
		responses = rest[next:]
	}
	return out.String()
}

// TestResponsesAreThoseOfNetHTTP has both servers answer the same requests with the same handlers. Apart from the
// order of header fields, no byte differs.
func TestResponsesAreThoseOfNetHTTP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, bytes.Repeat([]byte("0123456789"), 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	set := func(fields ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(fields); i += 2 {
				w.Header().Add(fields[i], fields[i+1])
			}
		}
	}
	text := set("Content-Type", "text/plain")
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"small":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		"small with a type": func(w http.ResponseWriter, _ *http.Request) {
			text(w)
			w.WriteHeader(http.StatusTeapot)
			_, _ = w.Write([]byte("hel"))
			_, _ = w.Write([]byte("lo"))
			w.WriteHeader(http.StatusOK) // superfluous
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		},
		"a length": func(w http.ResponseWriter, _ *http.Request) {
			set("Content-Length", "5", "Content-Type", "text/plain")(w)
			_, _ = io.WriteString(w, "hello")
		},
		"a length that is exceeded": func(w http.ResponseWriter, _ *http.Request) {
			set("Content-Length", "5", "Content-Type", "text/plain")(w)
			if _, err := io.WriteString(w, "hello, world"); !errors.Is(err, http.ErrContentLength) {
				panic(err)
			}
			_, _ = io.WriteString(w, "hello")
		},
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			text(w)
			for range 3 {
				_, _ = io.WriteString(w, "piece")
				_ = http.NewResponseController(w).Flush()
			}
		},
		"flushed at once": func(w http.ResponseWriter, _ *http.Request) {
			text(w)
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "after")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"not modified": func(w http.ResponseWriter, _ *http.Request) {
			set("Etag", `"a"`)(w)
			w.WriteHeader(http.StatusNotModified)
		},
		"content where there is none": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		},
		"announced trailers": func(w http.ResponseWriter, _ *http.Request) {
			set("Trailer", "X-Sum", "Content-Type", "text/plain")(w)
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "4")
		},
		"other trailers": func(w http.ResponseWriter, _ *http.Request) {
			text(w)
			_, _ = io.WriteString(w, "body")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "4")
		},
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			set("Link", "</a>; rel=preload")(w)
			w.WriteHeader(http.StatusEarlyHints)
			text(w)
			_, _ = io.WriteString(w, "body")
		},
		"closes": func(w http.ResponseWriter, _ *http.Request) {
			set("Connection", "close")(w)
			text(w)
			_, _ = io.WriteString(w, "bye")
		},
		"own date": func(w http.ResponseWriter, _ *http.Request) {
			set("Date", "never")(w)
			text(w)
			_, _ = io.WriteString(w, "x")
		},
		"a long head": func(w http.ResponseWriter, _ *http.Request) {
			set("Long", strings.Repeat("long ", 20_000), "Content-Type", "text/plain", "Content-Length", "200000")(w)
			_, _ = w.Write(bytes.Repeat([]byte("x"), 200_000))
		},
		"bad fields": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["B ad"] = []string{"x"}
			set("Fine", "a\r\nInjected: yes", "Content-Type", "text/plain")(w)
			_, _ = io.WriteString(w, "x")
		},
		"another coding": func(w http.ResponseWriter, _ *http.Request) {
			set("Transfer-Encoding", "chunked")(w)
			text(w)
			_, _ = io.WriteString(w, "x")
		},
		"an unknown status": func(w http.ResponseWriter, _ *http.Request) { text(w); w.WriteHeader(799) },
		"reads": func(w http.ResponseWriter, r *http.Request) {
			text(w)
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%.20q %d %v %v %d", b, len(b), err, r.Trailer, r.ContentLength)
		},
		"reads a little": func(w http.ResponseWriter, r *http.Request) {
			text(w)
			_, _ = io.ReadFull(r.Body, make([]byte, 2))
			_, _ = io.WriteString(w, "enough")
		},
		"tells": func(w http.ResponseWriter, r *http.Request) {
			text(w)
			fmt.Fprintf(w, "%s %s %s %q %q %q %v %s %v", r.Method, r.RequestURI, r.Proto, r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery, r.Host, r.Header)
		},
		"a file": func(w http.ResponseWriter, r *http.Request) { text(w); http.ServeFile(w, r, file) },
		"aborts": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	requests := map[string]string{
		"GET":       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD":      "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET 1.0":   "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		"kept 1.0":  "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		"two":       "GET /a%2Fb%41?q=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\n\r\nGET /b?  HTTP/1.1\r\nHost: b\r\n\r\n",
		"odd":       "GET /x|y? HTTP/1.1\r\nHost: a\r\n\r\n",
		"a range":   "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=5-100000\r\n\r\n",
		"length":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"chunks":    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n3;a=b\r\n123\r\n0\r\nX-Sum: 8\r\n\r\n",
		"much":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
		"an upload": "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
	}
	last := "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	requests["two"] = strings.Replace(requests["two"], "?  HTTP", "? HTTP", 1)
	for name, h := range handlers {
		for kind, request := range requests {
			if name == "early hints" && strings.HasSuffix(kind, "1.0") {
				continue // RFC 9110 section 15.2: no 1xx to HTTP/1.0 clients; net/http sends it
			}
			t.Run(name+"/"+kind, func(t *testing.T) {
				raw := request + last
				want := comparableForm(byStd(t, h, raw))
				if got := comparableForm(byOwn(t, h, raw, false)); got != want {
					t.Errorf("got\n%.2000s\nnet/http\n%.2000s", got, want)
				}
			})
		}
	}
}

// TestTheCorpusReachesAHandlerStrictly is TestSievePassesTheCorpusStrictly for the server.
func TestTheCorpusReachesAHandlerStrictly(t *testing.T) {
	for _, c := range http1test.Corpus(t, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {0}, {1}, {6}, {0, 40, 3}} {
				checkServer(t, c.Raw(), sizes)
			}
		})
	}
}

// FuzzServer checks that the server calls its handler with exactly the requests that the plain reading finds, however
// the stream is cut, and whether or not heads are kept as lines.
func FuzzServer(f *testing.F) {
	for _, c := range http1test.Corpus(f, "testdata") {
		f.Add(c.Raw(), []byte{})
		f.Add(c.Raw(), []byte{0, 7})
	}
	f.Fuzz(func(t *testing.T, raw, sizes []byte) { checkServer(t, raw, sizes) })
}

// checkServer has the server read raw, cut into pieces, and compares the result with the plain reading.
func checkServer(t *testing.T, raw, sizes []byte) {
	t.Helper()
	want, rest, err := http1test.Read(raw)
	malformed := errors.Is(err, http1test.ErrMalformed)
	for _, lines := range []bool{false, true} {
		got := readByServer(t, raw, sizes, lines)
		if len(got.requests) > len(want) || len(got.requests) < len(want) && !got.closes {
			t.Fatalf("%q: %d requests, want %d: %+v", raw, len(got.requests), len(want), got)
		}
		for i, g := range got.requests {
			w := want[i]
			if g.Method != w.Method || g.Target != w.Target || g.Host != w.Host || g.Body != w.Body {
				t.Fatalf("%q: request %d is %+v, want %+v", raw, i, g, w)
			}
		}
		ended := bytes.Contains(rest, []byte("\r\n\r\n")) // a head that never ends is neither passed nor rejected
		if malformed && ended && !got.refused && !got.broken && !got.closes {
			t.Fatalf("%q: it was neither passed nor refused: %+v", raw, got)
		}
		if errors.Is(err, io.EOF) && (got.refused || got.broken && !got.short) {
			t.Fatalf("%q: it was refused, but is valid: %+v", raw, got)
		}
	}
}

// outcomeOfServer is outcome, and whether a request has asked for the connection to be closed.
type outcomeOfServer struct {
	outcome

	closes bool
}

func readByServer(t *testing.T, raw, sizes []byte, lines bool) outcomeOfServer {
	t.Helper()
	var got outcomeOfServer
	conn := &piped{segments: segments{pieces: cut(bytes.Clone(raw), sizes)}, closed: make(chan struct{})}
	var c *http1.Conn
	begun := make(chan struct{})
	s := http1.NewServer(http1.ServerOptions{
		Options: http1.Options{Limits: http1.Limits{HeadBytes: 1 << 20, HeadFields: 1 << 20, TargetBytes: 1 << 20}},
		Lines:   lines, KeepAlive: time.Hour, Log: slog.New(slog.DiscardHandler),
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-begun
			if http1.IsRefusal(r.Method, r.RequestURI) {
				got.refused = true
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				got.broken, got.short = c.Fault() != nil, c.Fault() == nil
				return
			}
			got.closes = got.closes || r.Close
			got.requests = append(got.requests, http1test.Request{Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: latin1(body)})
		}),
	})
	c = s.Serve(conn, time.Time{})
	close(begun)
	await.From(t, "the end of the connection", conn.closed)
	s.Close()
	return got
}

// piped is segments with the other methods of a connection. Its writes always succeed.
type piped struct {
	segments

	once   sync.Once
	closed chan struct{}
}

func (*piped) Write(p []byte) (int, error)      { return len(p), nil }
func (*piped) SetDeadline(time.Time) error      { return nil }
func (*piped) SetWriteDeadline(time.Time) error { return nil }
func (*piped) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "server"} }
func (*piped) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "client"} }
func (p *piped) Close() error                   { p.once.Do(func() { close(p.closed) }); return nil }

// TestAClientThatLeavesEndsTheContext waits for the end of the context with each kind of request.
func TestAClientThatLeavesEndsTheContext(t *testing.T) {
	for name, raw := range map[string]string{
		"without content": "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"with content":    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
	} {
		for _, leave := range []struct {
			how string
			do  func(*net.TCPConn) error
		}{{"closes", (*net.TCPConn).Close}, {"half-closes", (*net.TCPConn).CloseWrite}, {"resets", func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) }}} {
			t.Run(name+" "+leave.how, func(t *testing.T) {
				reached, gone := make(chan struct{}), make(chan struct{})
				client, conn := link(t)
				newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					close(reached)
					<-r.Context().Done()
					close(gone)
				})}).Serve(conn, time.Time{})
				if _, err := io.WriteString(client, raw); err != nil {
					t.Fatal(err)
				}
				await.From(t, "the request", reached)
				if err := leave.do(client); err != nil {
					t.Fatal(err)
				}
				await.From(t, "the end of its context", gone)
			})
		}
	}
}

// A client that has already sent its next request is still there.
func TestPipelinedRequestsAreNoLeave(t *testing.T) {
	client, conn := link(t)
	newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			_, _ = io.WriteString(w, "left")
		case <-time.After(3 * 100 * time.Millisecond): // longer than it takes to notice that a client has gone
			_, _ = io.WriteString(w, "there")
		}
	})}).Serve(conn, time.Time{})
	got := talk(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if n := strings.Count(got, "there"); n != 2 {
		t.Errorf("got %q", got)
	}
}

// A body or writer that a handler keeps after it has returned no longer works, and does no harm.
func TestWhatIsKeptIsOfNoUse(t *testing.T) {
	var body io.Reader
	var writer http.ResponseWriter
	client, conn := link(t)
	newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body == nil {
			body, writer = r.Body, w
			return
		}
		if n, err := body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("the body of the request before gave %d, %v", n, err)
		}
		if _, err := io.WriteString(writer, "late"); err == nil {
			t.Error("the writer of the request before writes")
		}
	})}).Serve(conn, time.Time{})
	got := talk(t, client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if strings.Contains(got, "late") || strings.Count(got, "HTTP/1.1 200 OK") != 2 {
		t.Errorf("got %q", got)
	}
}

// A goroutine that reads the content and outlives the handler, as a transport's does, is woken.
func TestAReaderThatWaitsIsWoken(t *testing.T) {
	ended := make(chan error, 1)
	client, conn := link(t)
	reading := make(chan struct{})
	newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			_, _ = io.ReadFull(r.Body, make([]byte, 2))
			close(reading)
			_, err := r.Body.Read(make([]byte, 1))
			ended <- err
		}()
		<-reading
		_, _ = io.WriteString(w, "early")
	})}).Serve(conn, time.Time{})
	got := talk(t, client, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhi")
	if err := await.From(t, "the end of the read", ended); err == nil {
		t.Error("the read has succeeded")
	}
	if !strings.Contains(got, "early") {
		t.Errorf("got %q", got)
	}
}

func TestExpectationsAreMetWhenTheContentIsRead(t *testing.T) {
	for name, test := range map[string]struct {
		reads bool
		want  []string
	}{
		"read":   {true, []string{"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK", `"hello"`}},
		"unread": {false, []string{"HTTP/1.1 200 OK", "Connection: close"}},
	} {
		t.Run(name, func(t *testing.T) {
			client, conn := link(t)
			newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.reads {
					b, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%q", b)
				}
			})}).Serve(conn, time.Time{})
			r := bufio.NewReader(client)
			if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if test.reads {
				if line, err := r.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" || err != nil {
					t.Fatalf("got %q, %v", line, err)
				}
				if _, err := io.WriteString(client, "hello"); err != nil {
					t.Fatal(err)
				}
			}
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want[len(test.want)-2:] {
				if !strings.Contains(string(got), want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		})
	}
}

func TestAHandlerTakesTheConnectionOver(t *testing.T) {
	client, conn := link(t)
	taken := make(chan net.Conn, 1)
	s := newServer(t, http1.ServerOptions{
		Hijacked: func(c net.Conn) { taken <- c },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c, both, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if n := both.Reader.Buffered(); n != len("early") {
				t.Errorf("%d bytes are buffered", n)
			}
			word, _ := io.ReadAll(both)
			_, _ = fmt.Fprintf(c, "got %s", word)
		}),
	})
	s.Serve(conn, time.Time{})
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly"); err != nil {
		t.Fatal(err)
	}
	await.From(t, "the take-over", taken)
	if _, err := io.WriteString(client, " and late"); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); string(got) != "got early and late" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// Lines reach the handler as they were received, and are sent as the handler wrote them.
func TestLinesPassAsTheyAre(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := exchange.MapHead(w.Header())
		for name, value := range exchange.RequestHead(r).All() {
			out.Add(name, value)
		}
		out.Set("Content-Length", "0")
	})
	got := byOwn(t, h, "GET / HTTP/1.1\r\nhost: a\r\nx-ODD: 1\r\nB: 2\r\nX-odd:3\r\nConnection: close\r\n\r\n", true)
	if want := "HTTP/1.1 200 OK\r\nx-ODD: 1\r\nB: 2\r\nX-odd: 3\r\nContent-Length: 0\r\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q first", got, want)
	}
}

// A Content-Length is sent as it was understood. Of several, the last valid one counts, and no other value is sent
// under that name.
func TestALengthIsSentAsItIsMeant(t *testing.T) {
	for _, odd := range []string{"0000000000000000200", "3\r\nX-Injected: 1", "", " 3", "3 ", "+3", "9999999999999999999"} {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			out := exchange.MapHead(w.Header())
			out.Add("Content-Length", odd)
			out.Add("content-length", "5")
			out.Add("Content-Length", odd)
			out.Add("Content_Length", "6")
			_, _ = io.WriteString(w, "hello")
		})
		got := byOwn(t, h, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true)
		if strings.Count(strings.ToLower(got), "content-length: ") != 1 || !strings.Contains(got, "\r\ncontent-length: 5\r\n") || strings.Contains(got, "Injected") {
			t.Errorf("%q: got %q", odd, got)
		}
	}
}

// TestTrailersOfLines checks what package exchange says of trailers, for requests and responses.
func TestTrailersOfLines(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		announced := exchange.RequestTrailer(r).Names()
		_, _ = io.Copy(io.Discard, r.Body)
		exchange.MapHead(w.Header()).Add(http.TrailerPrefix+"x-got", fmt.Sprint(announced, exchange.RequestTrailer(r).Get("X-Sum")))
	})
	got := byOwn(t, h, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\nConnection: close\r\n\r\n0\r\nX-SUM: 9\r\n\r\n", true)
	if !strings.HasSuffix(got, "\r\n\r\n0\r\nx-got: [x-sum]9\r\n\r\n") {
		t.Errorf("got %q", got)
	}
}

// Close ends connections that wait and requests that are being answered, and leaves no goroutine behind (goleak).
func TestCloseEndsEverything(t *testing.T) {
	reached, ended := make(chan struct{}), make(chan struct{})
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-r.Context().Done()
		close(ended)
	})})
	_, waiting := link(t)
	s.Serve(waiting, time.Time{})
	client, asking := link(t)
	s.Serve(asking, time.Time{})
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	await.From(t, "the request", reached)
	s.Close()
	await.From(t, "the end of its context", ended)
	_, late := link(t)
	s.Serve(late, time.Time{})
	if _, err := late.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection that came too late gives %v", err)
	}
}

// A client that sends much more than the server takes can read the answer before it learns that the server does not
// take the rest. Otherwise Go's client, and SDKs that use it, would report the failed write instead of the answer.
func TestAnAnswerComesBeforeTheEndOfWhatIsNotTaken(t *testing.T) {
	s := newServer(t, http1.ServerOptions{Lines: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})})
	for range 40 {
		near, far := link(t)
		s.Serve(far, time.Time{})
		road := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
		res, err := (&http.Client{Transport: road}).Post("http://a/", "text/plain", strings.NewReader(strings.Repeat("x", 6<<20)))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", res.StatusCode)
		}
		road.CloseIdleConnections()
	}
}

// A request uses the context of the previous request on its connection if that one was given up (Forgo) and nothing
// has waited for its end. Nothing else of the previous request is in it.
func TestAContextThatWasForgoneIsTheNextRequests(t *testing.T) {
	forgo := func(x *exchange.Exchange) { x.Alone(); x.Forgo() }
	for name, c := range map[string]struct {
		do    func(x *exchange.Exchange, r *http.Request)
		again bool
	}{
		"forgone":           {func(x *exchange.Exchange, _ *http.Request) { forgo(x) }, !poison.On},
		"by one of several": {func(x *exchange.Exchange, _ *http.Request) { x.Forgo() }, false},
		"by nobody":         {func(x *exchange.Exchange, _ *http.Request) { x.Alone() }, false},
		"waited for":        {func(x *exchange.Exchange, r *http.Request) { forgo(x); r.Context().Done() }, false},
		"waited for below": {func(x *exchange.Exchange, r *http.Request) {
			forgo(x)
			_, end := context.WithCancel(r.Context())
			end()
		}, false},
		"detached": {func(x *exchange.Exchange, r *http.Request) { x.Alone(); exchange.Detach(r); x.Forgo() }, false},
	} {
		var before *exchange.RequestContext
		var kept *exchange.Exchange
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchange.New(r)
			if x.ID != "" || exchange.From(r.Context()) != nil || r.Context().Err() != nil {
				t.Errorf("%s: a request begins with %+v, %v", name, x, r.Context().Err())
			}
			ctx, _ := r.Context().(*exchange.RequestContext)
			if again := ctx == before; before != nil && again != c.again {
				t.Errorf("%s: it has the same context: %t", name, again)
			}
			if poison.On && kept != nil && c.again && kept.ID == "an id" {
				t.Errorf("%s: who has kept the exchange finds %q", name, kept.ID)
			}
			if r.Method == http.MethodGet && (r.ContentLength != 0 || r.TransferEncoding != nil || r.Trailer != nil || r.Host != "" || r.Body != http.NoBody) {
				t.Errorf("%s: it is %+v", name, r)
			}
			before, kept = ctx, x
			ew, r := exchange.Begin(w, r, x)
			x.ID = "an id"
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			c.do(x, r)
			ew.Finish(nil)
		})
		got := byOwn(t, h, "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"+
			"GET /second HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPOST /third HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", true)
		if strings.Count(got, " 200 OK") != 3 {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

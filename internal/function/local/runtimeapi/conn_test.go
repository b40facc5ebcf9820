package runtimeapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

// wire is a connection on which everything that the instance will ever send has been
// sent; a Read gives at most piece bytes of it.
type wire struct {
	net.Conn // nil: only what is below is used

	in    []byte
	piece int
	out   bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), w.piece)], w.in)
	if w.in = w.in[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (w *wire) Write(p []byte) (int, error)     { return w.out.Write(p) }
func (w *wire) Close() error                    { return nil }
func (w *wire) SetReadDeadline(time.Time) error { return nil }

var date = regexp.MustCompile("Date: .{29}\r\n")

// hear gives what a server answers to input. It has given the invocation "id" to the
// instance before, and another one waits.
func hear(input string, piece int) string {
	s := &Server{
		address: "127.0.0.1:9", log: slog.New(slog.DiscardHandler), conns: map[*conn]struct{}{},
		feed: telemetryapi.New(telemetryapi.About{}, slog.New(slog.DiscardHandler)), ready: make(chan struct{}), full: make(chan struct{}), ended: make(chan struct{}), most: 2,
	}
	given := NewInvocation("id", "arn:f", "Root=1", []byte("{}"), time.UnixMilli(1))
	given.Answered, given.Settled = func() {}, func() {}
	given.abandoned = true // a stream would wait for a reader
	s.given = []*Invocation{given}
	w := &wire{in: []byte(input), piece: piece}
	(&conn{server: s, net: w}).serve()
	return date.ReplaceAllString(w.out.String(), "")
}

const (
	host     = "Host: 127.0.0.1:9\r\n"
	response = "POST /2018-06-01/runtime/invocation/id/response HTTP/1.1\r\n" + host
	unknown  = "GET /x HTTP/1.1\r\n" + host + "\r\n"
	taken    = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}"
)

// status gives the statuses of the answers in what was heard.
func statuses(t *testing.T, heard string) string {
	t.Helper()
	var all []string
	for in := bufio.NewReader(strings.NewReader(heard)); ; {
		if _, err := in.Peek(1); err != nil {
			return strings.Join(all, " ")
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%q is no answer: %v", heard, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatalf("%q is no answer: %v", heard, err)
		}
		told := fmt.Sprint(res.StatusCode)
		if res.Close {
			told += "+close"
		}
		all = append(all, told)
	}
}

func TestFormsOfHTTP(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	for name, test := range map[string]struct{ input, want string }{
		"nothing":                          {"", ""},
		"half a head":                      {"GET /x HTTP/1.1\r\nHo", ""},
		"a length":                         {response + "Content-Length: 2\r\n\r\n{}", "202"},
		"no content":                       {response + "\r\n", "202"},
		"chunks":                           {response + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\n\r\n", "202"},
		"chunks and a trailer":             {response + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\nLambda-Runtime-Function-Error-Type: A\r\n\r\n", "202"},
		"a trailer that may not be":        {response + "Transfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n" + unknown, ""},
		"a stream":                         {response + "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n" + unknown, "202 404"},
		"a stream that breaks off":         {response + "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{", ""},
		"the same again":                   {response + "Content-Length: 2\r\n\r\n{}" + response + "Content-Length: 2\r\n\r\n{}", "202 403"},
		"content that breaks off":          {response + "Content-Length: 3\r\n\r\n{}", ""},
		"chunks that break off":            {response + "Transfer-Encoding: chunked\r\n\r\n2\r\n{", ""},
		"chunks that are none":             {response + "Transfer-Encoding: chunked\r\n\r\nx\r\n" + unknown, ""},
		"both lengths":                     {response + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400+close"},
		"no HTTP":                          {"hello\r\n\r\n" + unknown, "400+close"},
		"empty lines before":               {"\r\n\r\n" + unknown, "404"},
		"several":                          {unknown + unknown, "404 404"},
		"content that nobody wants":        {"POST /x HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello" + unknown, "404 404"},
		"too much of it":                   {"POST /x HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)) + large + unknown, "404"},
		"the end is announced":             {"GET /x HTTP/1.1\r\n" + host + "Connection: te, Close\r\n\r\n" + unknown, "404+close"},
		"HTTP/1.0":                         {"GET /x HTTP/1.0\r\n" + host + "\r\n" + unknown, "404+close"},
		"an absolute target":               {"GET http://127.0.0.1:9/2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n", ""},
		"another host":                     {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "403"},
		"another method":                   {"DELETE /2018-06-01/runtime/invocation/next HTTP/1.1\r\n" + host + "\r\n", "405"},
		"a query":                          {"POST /2018-06-01/runtime/init/error?x=/y HTTP/1.1\r\n" + host + "\r\n", "202"},
		"a long head":                      {"GET /x HTTP/1.1\r\n" + host + "Lambda-Runtime-Function-XRay-Error-Cause: " + large + "\r\n\r\n" + unknown, "404 404"},
		"a head without an end":            {"GET /x HTTP/1.1\r\nA: " + strings.Repeat("x", maxHeadBytes), "400+close"},
		"a word is waited for":             {response + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", "202"},
		"content is not asked for":         {"POST /x HTTP/1.1\r\n" + host + "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", "404"},
		"an answer to what is not there":   {strings.Replace(response, "/id/", "/other/", 1) + "\r\n", "400"},
		"a path below that of an endpoint": {"GET /2018-06-01/runtime/invocation/id/response/x HTTP/1.1\r\n" + host + "\r\n", "404"},
	} {
		for _, piece := range []int{len(test.input) + 1, 1} {
			if piece == 1 && len(test.input) > 1<<20 {
				continue // a second of CPU
			}
			heard := strings.TrimPrefix(hear(test.input, piece), "HTTP/1.1 100 Continue\r\n\r\n")
			if got := statuses(t, heard); got != test.want {
				t.Errorf("%s, by %d: got %q, want %q", name, piece, got, test.want)
			}
		}
	}
	if got := hear(response+"Content-Length: 2\r\n\r\n{}", 100); got != taken {
		t.Errorf("got %q", got)
	}
}

// TestQuestionsAreAnsweredInTheirOrder: what is sent ahead of an answer waits for that.
func TestQuestionsAreAnsweredInTheirOrder(t *testing.T) {
	s, err := Listen(slog.New(slog.DiscardHandler), About{}, 1, telemetryapi.New(telemetryapi.About{}, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(errEnded)
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	where := "Host: " + s.Address() + "\r\n\r\n"
	_, _ = io.WriteString(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n"+where+"GET /x HTTP/1.1\r\n"+where)
	i := NewInvocation("id", "arn:f", "Root=1", []byte("{}"), time.UnixMilli(1))
	i.Client = "{\r\n}"
	i.Answered, i.Settled = func() {}, func() {}
	if err := s.Invoke(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		res, err := http.ReadResponse(in, nil)
		if err != nil || res.StatusCode != want {
			t.Fatalf("got %+v, %v; want %d", res, err, want)
		}
		if context := res.Header.Get("Lambda-Runtime-Client-Context"); want == http.StatusOK && context != "{  }" {
			t.Errorf("the client context is %q", context)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}

// round is a runtime that speaks from a buffer, for what the server needs by itself.
type round struct {
	tb     testing.TB
	server *Server
	conn   net.Conn
	room   []byte
}

func startRound(tb testing.TB) *round {
	tb.Helper()
	s, err := Listen(slog.New(slog.DiscardHandler), About{}, 1, telemetryapi.New(telemetryapi.About{}, slog.New(slog.DiscardHandler)))
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		s.Close(errEnded)
	})
	r := &round{tb, s, conn, make([]byte, 4<<10)}
	r.send("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: " + s.Address() + "\r\n\r\n")
	<-s.Ready()
	return r
}

func (r *round) send(text string) {
	r.tb.Helper()
	if _, err := io.WriteString(r.conn, text); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *round) receive(end string) {
	r.tb.Helper()
	for n := 0; !bytes.HasSuffix(r.room[:n], []byte(end)); {
		more, err := r.conn.Read(r.room[n:])
		if err != nil {
			r.tb.Fatal(err)
		}
		n += more
	}
}

// invoke plays one invocation whose answer has chunks, as that of AWS's library for Go.
func (r *round) invoke(answer, next string) {
	r.tb.Helper()
	i := NewInvocation("id", "arn:f", "Root=1", []byte(`{"n":1}`), time.UnixMilli(1))
	settled := make(chan struct{})
	i.Answered, i.Settled = func() {}, func() { close(settled) }
	if err := r.server.Invoke(r.tb.Context(), i); err != nil {
		r.tb.Fatal(err)
	}
	r.receive(`{"n":1}`)
	r.send(answer)
	if got := <-i.Result(); string(got.Payload) != "hello" {
		r.tb.Fatalf("got %q, %v", got.Payload, got.Err)
	}
	r.receive(`{"status":"OK"}`)
	r.send(next)
	<-settled
}

func (r *round) texts() (answer, next string) {
	where := "Host: " + r.server.Address() + "\r\nUser-Agent: aws-lambda-go/go1.26.0\r\n"
	return "POST /2018-06-01/runtime/invocation/id/response HTTP/1.1\r\n" + where + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n" + where + "\r\n"
}

// TestAnInvocationAllocatesLittle: the invocation with its channels and functions, two
// calls, the id and the payload.
func TestAnInvocationAllocatesLittle(t *testing.T) {
	const most = 12
	r := startRound(t)
	answer, next := r.texts()
	if got := testing.AllocsPerRun(200, func() { r.invoke(answer, next) }); got > most {
		t.Errorf("an invocation allocates %v times, want at most %d", got, most)
	}
}

func BenchmarkInvocation(b *testing.B) {
	r := startRound(b)
	answer, next := r.texts()
	b.ReportAllocs()
	for b.Loop() {
		r.invoke(answer, next)
	}
}

func FuzzConnection(f *testing.F) {
	f.Add(unknown+response+"Content-Length: 2\r\n\r\n{}", uint8(7))
	f.Add(response+"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;a=b\r\n}\r\n0\r\nA: b\r\n\r\n"+unknown, uint8(1))
	f.Add(response+"Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Length: 1\r\n\r\nx"+unknown, uint8(3))
	f.Add("POST /2020-01-01/extension/register HTTP/1.1\r\n"+host+"Lambda-Extension-Name: a\r\nContent-Length: 13\r\n\r\n{\"events\":[]}", uint8(2))
	f.Add("POST /2018-06-01/runtime/init/error HTTP/1.1\r\n"+host+"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", uint8(9))
	f.Fuzz(func(t *testing.T, input string, piece uint8) {
		if strings.Contains(input, "/register") || strings.Contains(input, "/next") && strings.Contains(input, "GET") {
			hear(input, int(piece)+1) // an identifier is random, and nobody answers what was put off
			return
		}
		whole, parts := hear(input, len(input)+1), hear(input, int(piece)+1)
		whole = strings.ReplaceAll(whole, "HTTP/1.1 100 Continue\r\n\r\n", "") // said only where the content had not come yet
		parts = strings.ReplaceAll(parts, "HTTP/1.1 100 Continue\r\n\r\n", "")
		if whole != parts {
			t.Errorf("%q in pieces of %d is answered %q, and in one %q", input, int(piece)+1, parts, whole)
		}
		statuses(t, whole)
	})
}

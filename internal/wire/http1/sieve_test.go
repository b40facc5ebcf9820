package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// segments is a connection whose client sent these pieces and then half-closed it.
type segments struct {
	net.Conn

	pieces [][]byte
	closed bool
}

func (s *segments) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *segments) SetReadDeadline(time.Time) error { return nil }

func (s *segments) Close() error {
	s.closed = true
	return nil
}

// cut cuts b into pieces, whose lengths are sizes, repeated as needed.
func cut(b []byte, sizes []byte) [][]byte {
	var pieces [][]byte
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(sizes) > 0 {
			n = min(n, int(sizes[i%len(sizes)])+1)
		}
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}

// outcome is what a server behind a Sieve reads.
type outcome struct {
	requests []http1test.Request
	refused  bool // the refusal came instead of another request
	broken   bool // the content of a last request broke off
	short    bool // the client's stream ended within a message
}

// serve reads all requests as net/http's server does. If awaits is true, it is handed the Sieve anew for each
// request.
func serve(t *testing.T, sieve *http1.Sieve, awaits bool) outcome {
	t.Helper()
	var got outcome
	r := bufio.NewReader(sieve)
	for {
		if awaits && sieve.Await() != nil {
			return got
		}
		request, err := http.ReadRequest(r)
		if err != nil {
			got.short = errors.Is(err, io.ErrUnexpectedEOF)
			if !got.short && !errors.Is(err, io.EOF) {
				t.Fatalf("net/http refuses what the Sieve passed: %v", err)
			}
			return got
		}
		if http1.IsRefusal(request.Method, request.RequestURI) {
			got.refused = true
			if sieve.Fault() == nil {
				t.Fatal("a refusal without a fault")
			}
			wantEnd(t, r)
			return got
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			var f *fault.Fault
			got.broken = errors.As(err, &f)
			got.short = !got.broken
			if got.broken != (sieve.Fault() != nil) {
				t.Fatalf("the body failed with %v, but the Sieve's fault is %v", err, sieve.Fault())
			}
			wantEnd(t, r)
			return got
		}
		got.requests = append(got.requests, http1test.Request{
			Method: request.Method, Target: request.RequestURI, Host: request.Host, Body: latin1(body),
		})
		if n, err := sieve.Read(make([]byte, 1)); n != 0 || err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("a Read while the request is answered gave %d, %v", n, err)
		}
		sieve.Next()
	}
}

func wantEnd(t *testing.T, r io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Fatalf("after the end came %q, %v", rest, err)
	}
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// check serves raw, cut into pieces, and compares with the plain reading.
func check(t *testing.T, raw, sizes []byte) {
	t.Helper()
	options := &http1.Options{Limits: http1.Limits{HeadBytes: 1 << 20, HeadFields: 1 << 20, TargetBytes: 1 << 20}}
	sieve := func() *http1.Sieve {
		return http1.NewSieve(&segments{pieces: cut(bytes.Clone(raw), sizes)}, options, time.Time{})
	}
	got := serve(t, sieve(), false)
	if awaited := serve(t, sieve(), true); !reflect.DeepEqual(got, awaited) {
		t.Fatalf("%q: awaited, it is %+v, and %+v otherwise", raw, awaited, got)
	}
	want, rest, err := http1test.Read(raw)
	if len(got.requests) != len(want) {
		t.Fatalf("%q: %d requests passed, want %d: %+v", raw, len(got.requests), len(want), got)
	}
	for i := range want {
		g, w := got.requests[i], want[i]
		if g.Method != w.Method || g.Target != w.Target || g.Host != w.Host || g.Body != w.Body {
			t.Fatalf("%q: request %d is %+v, want %+v", raw, i, g, w)
		}
	}
	ended := bytes.Contains(rest, []byte("\r\n\r\n")) // a head that never ends is neither passed nor rejected
	if malformed := errors.Is(err, http1test.ErrMalformed); malformed && ended && !got.refused && !got.broken && !got.short {
		t.Fatalf("%q: it was neither passed nor refused: %+v", raw, got)
	}
	if errors.Is(err, io.EOF) && (got.refused || got.broken) {
		t.Fatalf("%q: it was refused, but is valid: %+v", raw, got)
	}
}

func TestSievePassesTheCorpusStrictly(t *testing.T) {
	for _, c := range http1test.Corpus(t, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			for _, sizes := range [][]byte{nil, {0}, {1}, {6}, {0, 40, 3}} {
				check(t, c.Raw(), sizes)
			}
			requests, _, err := http1test.Read(c.Raw())
			if c.Expect == "reject" && (len(requests) > 0 || !errors.Is(err, http1test.ErrMalformed)) {
				t.Errorf("%s: %d requests and %v, want none and a refusal", c.Why, len(requests), err)
			}
			if len(requests) > c.Most {
				t.Errorf("%d requests, want at most %d", len(requests), c.Most)
			}
		})
	}
}

// FuzzSieve checks that net/http behind a Sieve reads exactly the requests that the plain reading finds, however the
// stream is cut.
func FuzzSieve(f *testing.F) {
	for _, c := range http1test.Corpus(f, "testdata") {
		f.Add(c.Raw(), []byte{})
		f.Add(c.Raw(), []byte{0, 7})
	}
	f.Fuzz(func(t *testing.T, raw, sizes []byte) { check(t, raw, sizes) })
}

func TestValidPipelinePassesHoweverItIsCut(t *testing.T) {
	raw := []byte("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n2\r\n\r\n\r\n0\r\nX-Sum: 1\r\n\r\n" +
		"POST http://a HTTP/1.1\r\nProxy: x\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"GET /5 HTTP/1.0\r\n\r\n")
	for size := range 80 {
		check(t, raw, []byte{byte(size)})
	}
	if requests, _, err := http1test.Read(raw); len(requests) != 5 || !errors.Is(err, io.EOF) {
		t.Errorf("the plain reading gives %d requests and %v", len(requests), err)
	}
}

func TestNothingOfARefusedMessageIsPassed(t *testing.T) {
	raw := "GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /secret HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"
	conn := &segments{pieces: cut([]byte(raw), []byte{9})}
	sieve := http1.NewSieve(conn, &http1.Options{Limits: wide}, time.Time{})
	first, err := io.ReadAll(io.LimitReader(sieve, int64(strings.Index(raw, "GET /secret"))))
	if err != nil || !strings.HasPrefix(raw, string(first)) {
		t.Fatalf("got %q, %v", first, err)
	}
	sieve.Next()
	rest, err := io.ReadAll(sieve)
	if err != nil || !strings.HasPrefix(string(rest), "GET * HTTP/1.1\r\n") || strings.Contains(string(rest), "secret") {
		t.Errorf("got %q, %v, want the refusal", rest, err)
	}
	if f := sieve.Fault(); f == nil || f.Status != http.StatusBadRequest {
		t.Errorf("the fault is %v, want a 400", f)
	}
}

func TestNextWithinContentEndsTheStream(t *testing.T) {
	conn := &segments{pieces: cut([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"), nil)}
	sieve := http1.NewSieve(conn, &http1.Options{Limits: wide}, time.Time{})
	if _, err := http.ReadRequest(bufio.NewReader(sieve)); err != nil {
		t.Fatal(err)
	}
	sieve.Next() // the server never read the content
	wantEnd(t, sieve)
}

func TestTrailersThatActAsHeadAreRefused(t *testing.T) {
	for trailer, want := range map[string]bool{
		"X-Sum: 1\r\n": true, "": true, "Server-Timing: a\r\nB: c\r\n": true,
		"Content-Length: 1\r\n": false, "HOST: b\r\n": false, "Authorization: x\r\n": false, "Transfer_Encoding: x\r\n": false,
		"X-Forwarded-For: 1\r\n": false, "If-Match: x\r\n": false, "A : b\r\n": false, " A: b\r\n": false, "A: b\n": false,
		"A: " + strings.Repeat("b", 5000) + "\r\n": false,
	} {
		raw := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailer + "\r\n"
		sieve := http1.NewSieve(&segments{pieces: cut([]byte(raw), nil)}, &http1.Options{Limits: wide}, time.Time{})
		if got := serve(t, sieve, false); (len(got.requests) == 1) != want || got.broken == want {
			t.Errorf("%q: %+v, want it passed: %v", trailer, got, want)
		}
	}
}

func TestPrefaceOfHTTP2EndsTheInspection(t *testing.T) {
	raw := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, sizes := range [][]byte{nil, {0}, {13}, {23}} {
		for _, awaits := range []bool{false, true} {
			options := &http1.Options{Limits: wide, H2C: true}
			sieve := http1.NewSieve(&segments{pieces: cut([]byte(raw), sizes)}, options, time.Time{})
			if awaits {
				if err := sieve.Await(); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := io.ReadAll(sieve); string(got) != raw || err != nil {
				t.Errorf("got %q, %v, want all bytes", got, err)
			}
		}
	}
	late := "GET / HTTP/1.1\r\nHost: a\r\n\r\n" + raw
	sieve := http1.NewSieve(&segments{pieces: cut([]byte(late), nil)}, &http1.Options{Limits: wide, H2C: true}, time.Time{})
	if got := serve(t, sieve, false); len(got.requests) != 1 || !got.refused {
		t.Errorf("a preface after a request: %+v, want it refused", got)
	}
}

func TestSieveAddsNoAllocationToARequest(t *testing.T) {
	endless := &repeating{piece: []byte(typicalHead)}
	sieve := http1.NewSieve(endless, &http1.Options{Limits: wide}, time.Time{})
	p := make([]byte, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := sieve.Read(p); n != len(typicalHead) || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
		sieve.Next()
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// repeating is a connection on which every Read returns the same piece.
type repeating struct {
	net.Conn

	piece []byte
}

func (r *repeating) Read(p []byte) (int, error)      { return copy(p, r.piece), nil }
func (r *repeating) SetReadDeadline(time.Time) error { return nil }

func BenchmarkSieveRequest(b *testing.B) {
	options := &http1.Options{Limits: wide, HeadTime: time.Minute}
	sieve := http1.NewSieve(&repeating{piece: []byte(typicalHead)}, options, time.Time{})
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(typicalHead)))
	for b.Loop() {
		if _, err := sieve.Read(p); err != nil {
			b.Fatal(err)
		}
		sieve.Next()
	}
}

// pair returns the two ends of a real connection.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err = net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestDeadlineOfTheServerHoldsInContent(t *testing.T) {
	client, server := pair(t)
	sieve := http1.NewSieve(server, &http1.Options{Limits: wide, BodyRate: 1}, time.Time{})
	if _, err := io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	request, err := http.ReadRequest(bufio.NewReader(sieve))
	if err != nil {
		t.Fatal(err)
	}
	if err := sieve.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(request.Body); !errors.Is(err, os.ErrDeadlineExceeded) || sieve.Fault() != nil {
		t.Errorf("got %v and the fault %v, want the server's own deadline", err, sieve.Fault())
	}
}

func TestBlockedReadEndsByADeadlineInThePast(t *testing.T) {
	_, server := pair(t)
	sieve := http1.NewSieve(server, &http1.Options{Limits: wide, HeadTime: time.Hour}, time.Now().Add(time.Hour))
	ended := make(chan error, 1)
	go func() {
		_, err := sieve.Read(make([]byte, 1))
		ended <- err
	}()
	if err := sieve.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestVetAppliesTheRulesToHTTP2(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *http.Request)
		want   http1.Reason
	}{
		"valid":             {func(*http.Request) {}, http1.OK},
		"CONNECT":           {func(r *http.Request) { r.Method = "CONNECT" }, http1.ConnectMethod},
		"a method":          {func(r *http.Request) { r.Method = "G T" }, http1.BadMethod},
		"no slash":          {func(r *http.Request) { r.RequestURI = "x" }, http1.TargetForm},
		"an absolute URL":   {func(r *http.Request) { r.RequestURI = "http://a/" }, http1.TargetForm},
		"no path":           {func(r *http.Request) { r.RequestURI = "" }, http1.TargetForm},
		"an asterisk":       {func(r *http.Request) { r.RequestURI = "*" }, http1.TargetForm},
		"OPTIONS *":         {func(r *http.Request) { r.Method, r.RequestURI = "OPTIONS", "*" }, http1.OK},
		"a fragment":        {func(r *http.Request) { r.RequestURI = "/a#b" }, http1.TargetFragment},
		"a blank":           {func(r *http.Request) { r.RequestURI = "/a b" }, http1.TargetByte},
		"a long target":     {func(r *http.Request) { r.RequestURI = "/" + strings.Repeat("a", 9000) }, http1.TargetTooLong},
		"no host":           {func(r *http.Request) { r.Host = "" }, http1.NoHost},
		"a bad host":        {func(r *http.Request) { r.Host = "a@b" }, http1.BadHost},
		"another Host":      {func(r *http.Request) { r.Header["Host"] = []string{"b"} }, http1.HostMismatch},
		"the same Host":     {func(r *http.Request) { r.Header["Host"] = []string{"A"} }, http1.OK},
		"an alias":          {func(r *http.Request) { r.Header["X_forwarded_for"] = []string{"1"} }, http1.AliasFieldName},
		"many fields":       {func(r *http.Request) { r.Header["A"] = make([]string, 101) }, http1.TooManyFields},
		"a bad length":      {func(r *http.Request) { r.Header["Content-Length"] = []string{"+1"} }, http1.BadLength},
		"two lengths":       {func(r *http.Request) { r.Header["Content-Length"] = []string{"1", "1"} }, http1.RepeatedLength},
		"content promised":  {func(r *http.Request) { r.Header["Content-Length"], r.ContentLength = []string{"5"}, 5 }, http1.OK},
		"content missing":   {func(r *http.Request) { r.Header["Content-Length"] = []string{"5"} }, http1.LengthMismatch},
		"an expectation":    {func(r *http.Request) { r.Header["Expect"] = []string{"x"} }, http1.BadExpectation},
		"a field to remove": {func(r *http.Request) { r.Header["Proxy"] = []string{"x"} }, http1.OK},
	} {
		r := &http.Request{Method: http.MethodGet, RequestURI: "/", Host: "a", Header: http.Header{}, ProtoMajor: 2}
		test.change(r)
		if got := http1.Vet(r, wide); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if len(r.Header["Proxy"])+len(r.Header["Host"]) > 0 && test.want == http1.OK {
			t.Errorf("%s: %v was left", name, r.Header)
		}
	}
}

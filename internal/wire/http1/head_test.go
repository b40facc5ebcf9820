package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http1/http1test"
)

var wide = http1.Limits{HeadBytes: 64 << 10, HeadFields: 100, TargetBytes: 8 << 10}

func TestHeadRules(t *testing.T) {
	const host = "Host: a\r\n"
	for _, test := range []struct {
		head string // the empty line is added
		want http1.Reason
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n", http1.OK},
		{"GET / HTTP/1.1\r\nhOST:a\r\n", http1.OK},
		{"GET / HTTP/1.1\r\nHost:\t a \t\r\n", http1.OK},
		{"GET / HTTP/1.0\r\n", http1.OK},
		{"M-SEARCH / HTTP/1.1\r\n" + host, http1.OK},
		{"get / HTTP/1.1\r\n" + host, http1.OK}, // methods are case-sensitive: another method
		{"GET / HTTP/1.1\r\n" + host + "A: caf\xc3\xa9 \t x\r\nB:\r\n", http1.OK},

		{"GET / HTTP/1.1\nHost: a\r\n", http1.BareLF},
		{"GET / HTTP/1.1\r\nHost: a\n", http1.BareLF},
		{"GET / HTTP/1.1\rHost: a\r\n", http1.BadRequestLine},
		{"GET / HTTP/1.1\r\n" + host + "A: b\rC: d\r\n", http1.BareCR},

		{"GET\r\n", http1.BadRequestLine},
		{"GET /\r\n", http1.BadRequestLine},
		{"GET  / HTTP/1.1\r\n" + host, http1.BadRequestLine},
		{"GET /  HTTP/1.1\r\n" + host, http1.BadRequestLine},
		{"GET / HTTP/1.1 \r\n" + host, http1.BadRequestLine},
		{" GET / HTTP/1.1\r\n" + host, http1.BadMethod},
		{"GET\t/ HTTP/1.1\r\n" + host, http1.BadMethod},
		{"G(T / HTTP/1.1\r\n" + host, http1.BadMethod},
		{"GET / HTTP/2.0\r\n" + host, http1.BadVersion},
		{"GET / HTTP/1.2\r\n" + host, http1.BadVersion},
		{"GET / http/1.1\r\n" + host, http1.BadRequestLine},
		{"GET / HTTP/1\r\n" + host, http1.BadRequestLine},
		{"GET / HTTP/01.1\r\n" + host, http1.BadRequestLine},
		{"GET / HTTP/1.10\r\n" + host, http1.BadRequestLine},

		{"GET a HTTP/1.1\r\n" + host, http1.TargetForm},
		{"GET a:80 HTTP/1.1\r\n" + host, http1.TargetForm},
		{"GET ftp://a/ HTTP/1.1\r\n" + host, http1.TargetForm},
		{"GET * HTTP/1.1\r\n" + host, http1.TargetForm},
		{"OPTIONS * HTTP/1.1\r\n" + host, http1.OK},
		{"OPTIONS ** HTTP/1.1\r\n" + host, http1.TargetForm},
		{"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n", http1.ConnectMethod},
		{"GET /#x HTTP/1.1\r\n" + host, http1.TargetFragment},
		{"GET /?a#x HTTP/1.1\r\n" + host, http1.TargetFragment},
		{"GET /\x00 HTTP/1.1\r\n" + host, http1.TargetByte},
		{"GET /\xc3\xa9 HTTP/1.1\r\n" + host, http1.TargetByte},
		{"GET /a\\b HTTP/1.1\r\n" + host, http1.TargetByte},
		{"GET /a?b\\c|{} HTTP/1.1\r\n" + host, http1.OK},
		{"GET /a?<b> HTTP/1.1\r\n" + host, http1.TargetByte},
		{"GET /%4 HTTP/1.1\r\n" + host, http1.TargetEscape},
		{"GET /%zz HTTP/1.1\r\n" + host, http1.TargetEscape},
		{"GET /?100% HTTP/1.1\r\n" + host, http1.OK},
		{"GET http://A/x HTTP/1.1\r\n" + host, http1.OK},
		{"GET HTTPS://a?x HTTP/1.1\r\n" + host, http1.OK},
		{"GET http://b/ HTTP/1.1\r\n" + host, http1.HostMismatch},
		{"GET http://a:80/ HTTP/1.1\r\n" + host, http1.HostMismatch},
		{"GET http://u@a/ HTTP/1.1\r\n" + host, http1.TargetAuthority},
		{"GET http:///x HTTP/1.1\r\n" + host, http1.TargetAuthority},
		{"GET http://a/ HTTP/1.0\r\n", http1.NoHost},

		{"GET / HTTP/1.1\r\n", http1.NoHost},
		{"GET / HTTP/1.1\r\n" + host + host, http1.RepeatedHost},
		{"GET / HTTP/1.0\r\n" + host + host, http1.RepeatedHost},
		{"GET / HTTP/1.1\r\nHost:\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: a, b\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: a/b\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: u@a\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: a:\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: a:65536\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: a:8x\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: %61\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: [::1]:80\r\n", http1.OK},
		{"GET / HTTP/1.1\r\nHost: [::1\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: [::1%25eth0]\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n", http1.BadHost},
		{"GET / HTTP/1.1\r\nHost: [::1]x\r\n", http1.BadHost},

		{"GET / HTTP/1.1\r\n" + host + " folded\r\n", http1.LeadingBlank},
		{"GET / HTTP/1.1\r\n \r\n" + host, http1.LeadingBlank},
		{"GET / HTTP/1.1\r\n" + host + "A\r\n", http1.NoColon},
		{"GET / HTTP/1.1\r\n" + host + ": a\r\n", http1.BadFieldName},
		{"GET / HTTP/1.1\r\n" + host + "A[: a\r\n", http1.BadFieldName},
		{"GET / HTTP/1.1\r\n" + host + "A\x85: a\r\n", http1.BadFieldName},
		{"GET / HTTP/1.1\r\n" + host + "A : a\r\n", http1.BlankBeforeColon},
		{"GET / HTTP/1.1\r\n" + host + "A: \x00\r\n", http1.BadFieldValue},
		{"GET / HTTP/1.1\r\n" + host + "A: \x7f\r\n", http1.BadFieldValue},
		{"GET / HTTP/1.1\r\n" + host + "Transfer_Encoding: x\r\n", http1.AliasFieldName},
		{"GET / HTTP/1.1\r\n" + host + "Content.Length: 1\r\n", http1.AliasFieldName},
		{"GET / HTTP/1.1\r\n" + host + "X_Forwarded_For: 1\r\n", http1.AliasFieldName},
		{"GET / HTTP/1.1\r\n" + host + "x-forwarded_client-cert: 1\r\n", http1.AliasFieldName},
		{"GET / HTTP/1.1\r\n" + host + "X_Tenant: 1\r\n", http1.OK},

		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n", http1.OK},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 00\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 010\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: +1\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 1, 1\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 1000000000000000000\r\n", http1.BadLength},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 1\r\n", http1.RepeatedLength},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n", http1.OK},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n", http1.BadCoding},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, identity\r\n", http1.BadCoding},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: \"chunked\"\r\n", http1.BadCoding},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n", http1.BadCoding},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", http1.RepeatedCoding},
		{"POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n", http1.CodingOnHTTP10},
		{"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", http1.LengthAndCoding},
		{"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", http1.LengthAndCoding},
		{"TRACE / HTTP/1.1\r\n" + host + "Content-Length: 1\r\n", http1.TraceContent},

		{"GET / HTTP/1.1\r\n" + host + "Connection: close, , Keep-Alive\r\n", http1.OK},
		{"GET / HTTP/1.1\r\n" + host + "Connection: Content-Length\r\n", http1.BadConnection},
		{"GET / HTTP/1.1\r\n" + host + "Connection: close, host\r\n", http1.BadConnection},
		{"GET / HTTP/1.1\r\n" + host + "Connection: a b\r\n", http1.BadConnection},
		{"POST / HTTP/1.1\r\n" + host + "Expect: 100-CONTINUE\r\n", http1.OK},
		{"POST / HTTP/1.1\r\n" + host + "Expect: 100-continue, more\r\n", http1.BadExpectation},
		{"POST / HTTP/1.1\r\n" + host + "Expect:\r\n", http1.BadExpectation},
	} {
		var h http1.Head
		if got := h.Parse([]byte(test.head+"\r\n"), wide); got != test.want {
			t.Errorf("%q: %q, want %q", test.head, got, test.want)
		}
	}
}

func TestHeadLimits(t *testing.T) {
	head := []byte("GET /abc HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n")
	for _, test := range []struct {
		limits http1.Limits
		want   http1.Reason
	}{
		{http1.Limits{HeadBytes: len(head), HeadFields: 2, TargetBytes: 4}, http1.OK},
		{http1.Limits{HeadBytes: len(head) - 1, HeadFields: 2, TargetBytes: 4}, http1.HeadTooLarge},
		{http1.Limits{HeadBytes: len(head), HeadFields: 1, TargetBytes: 4}, http1.TooManyFields},
		{http1.Limits{HeadBytes: len(head), HeadFields: 2, TargetBytes: 3}, http1.TargetTooLong},
	} {
		var h http1.Head
		if got := h.Parse(head, test.limits); got != test.want {
			t.Errorf("%+v: %q, want %q", test.limits, got, test.want)
		}
	}
}

func TestRewrite(t *testing.T) {
	for head, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                           "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n":                                "GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n":                                    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n":                                  "GET /?y HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n":                                "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nProxy: evil\r\nHost: a\r\npRoXy: evil\r\n\r\n":             "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x, h2c\r\nHTTP2-Settings: x\r\n\r\n":   "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n":                     "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
		"GET https://a:1/x HTTP/1.1\r\nProxy: evil\r\nHost: A:1\r\nB: c\r\n\r\n":      "GET /x HTTP/1.1\r\nHost: A:1\r\nB: c\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade:h2c\r\nUpgrade: H2C ,x\r\nA: b\r\n\r\n": "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n",
	} {
		b := []byte(head)
		var h http1.Head
		if reason := h.Parse(b, wide); reason != http1.OK {
			t.Errorf("%q: %q", head, reason)
			continue
		}
		if h.Rewrites() != (head != want) {
			t.Errorf("%q: Rewrites() is %v", head, h.Rewrites())
		}
		if got := string(h.Rewrite(b)); got != want {
			t.Errorf("%q became %q, want %q", head, got, want)
		}
	}
}

func TestFieldsAreInOrder(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\nB:  c d \r\nA:\r\nB: e:f\r\n\r\n")
	var got strings.Builder
	line := bytes.IndexByte(head, '\n') + 1
	for name, value := range http1.Fields(head[line:]) {
		got.WriteString(string(name) + "=" + string(value) + ";")
	}
	if want := "Host=a;B=c d;A=;B=e:f;"; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

const typicalHead = "GET /products/42?colour=blue HTTP/1.1\r\n" +
	"Host: shop.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-GB,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n" +
	"Sec-Fetch-Site: same-origin\r\n\r\n"

func TestParseAllocatesNothing(t *testing.T) {
	head := []byte(typicalHead)
	if n := testing.AllocsPerRun(100, func() {
		var h http1.Head
		if h.Parse(head, wide) != http1.OK {
			t.Fail()
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkParseHead(b *testing.B) {
	head := []byte(typicalHead)
	b.ReportAllocs()
	b.SetBytes(int64(len(head)))
	for b.Loop() {
		var h http1.Head
		if h.Parse(head, wide) != http1.OK {
			b.Fatal("refused")
		}
	}
}

// FuzzHead checks the parser against a plain reading of the grammar, and checks that net/http understands every
// accepted head in the same way.
func FuzzHead(f *testing.F) {
	for _, c := range http1test.Corpus(f, "testdata") {
		f.Add(c.Raw())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 || bytes.HasPrefix(b, []byte("\r\n")) {
			return
		}
		b = b[:end+4]
		var h http1.Head
		reason := h.Parse(b, http1.Limits{HeadBytes: len(b), HeadFields: len(b), TargetBytes: len(b)})
		want, _, err := http1test.Read(b)
		if ok := !errors.Is(err, http1test.ErrMalformed); ok != (reason == http1.OK) {
			t.Fatalf("%q: %q, but the plain reading says %v", b, reason, err)
		}
		if reason != http1.OK {
			return
		}
		framing, length := h.Framing, h.Length
		passed := h.Rewrite(bytes.Clone(b))
		got, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(passed)))
		if err != nil {
			t.Fatalf("%q: net/http refuses it: %v", passed, err)
		}
		if len(want) == 1 && (got.Method != want[0].Method || got.RequestURI != want[0].Target || got.Host != want[0].Host) {
			t.Fatalf("%q: net/http reads %s %s %s, want %+v", passed, got.Method, got.RequestURI, got.Host, want[0])
		}
		if chunked := len(got.TransferEncoding) > 0; chunked != (framing == http1.ByChunks) || !chunked && got.ContentLength != length {
			t.Fatalf("%q: net/http frames it as %v, %d; want %v, %d", passed, got.TransferEncoding, got.ContentLength, framing, length)
		}
		_, _ = io.Copy(io.Discard, got.Body)
	})
}

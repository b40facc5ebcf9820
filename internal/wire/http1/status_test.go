package http1_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

func TestResponseHeadRules(t *testing.T) {
	const line = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct {
		head string // the empty line is added
		want http1.Reason
	}{
		{line, http1.OK},
		{"HTTP/1.0 200 OK\r\n", http1.OK},
		{"HTTP/1.1 200 \r\n", http1.OK},
		{"HTTP/1.1 200\r\n", http1.OK},
		{"HTTP/1.1 999 As caf\xe9 says\r\n", http1.OK},
		{line + "X_Forwarded_For: a\r\nA:\r\n", http1.OK}, // these rules are for requests

		{"HTTP/1.1  200 OK\r\n", http1.BadStatusLine},
		{"HTTP/1.1 200OK\r\n", http1.BadStatusLine},
		{"HTTP/1.1 20 OK\r\n", http1.BadStatusLine},
		{"HTTP/1.1 2000 OK\r\n", http1.BadStatusLine},
		{"HTTP/1.1 +20 OK\r\n", http1.BadStatusLine},
		{"HTTP/1.1 200 O\x00K\r\n", http1.BadStatusLine},
		{"HTTP/2.0 200 OK\r\n", http1.BadStatusLine},
		{"HTTP/1.2 200 OK\r\n", http1.BadStatusLine},
		{"http/1.1 200 OK\r\n", http1.BadStatusLine},
		{"SSH-2.0-OpenSSH\r\n", http1.BadStatusLine},
		{"HTTP/1.1 099 OK\r\n", http1.BadStatus},
		{"HTTP/1.1 200 OK\n", http1.BareLF},
		{line + "A: b\n", http1.BareLF},
		{line + "A: b\rc\r\n", http1.BareCR},
		{line + " A: b\r\n", http1.LeadingBlank},
		{line + "A: b\r\n folded\r\n", http1.LeadingBlank},
		{line + "A : b\r\n", http1.BlankBeforeColon},
		{line + "A\r\n", http1.NoColon},
		{line + ": b\r\n", http1.BadFieldName},
		{line + "A: \x01\r\n", http1.BadFieldValue},

		{line + "Content-Length: 0\r\n", http1.OK},
		{line + "Content-Length: 5\r\ncontent-length: 5\r\n", http1.OK},
		{line + "Content-Length: 5\r\nContent-Length: 6\r\n", http1.RepeatedLength},
		{line + "Content-Length: 5, 5\r\n", http1.BadLength},
		{line + "Content-Length: +5\r\n", http1.BadLength},
		{line + "Content-Length: 05\r\n", http1.BadLength},
		{line + "Content-Length: \r\n", http1.BadLength},
		{line + "Content-Length: 9999999999999999999\r\n", http1.BadLength},
		{line + "Transfer-Encoding: Chunked\r\n", http1.OK},
		{line + "Transfer-Encoding: gzip, chunked\r\n", http1.BadCoding},
		{line + "Transfer-Encoding: identity\r\n", http1.BadCoding},
		{line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", http1.RepeatedCoding},
		{line + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", http1.LengthAndCoding},
		{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", http1.CodingOnHTTP10},

		{line + strings.Repeat("A: b\r\n", wide.HeadFields+1), http1.TooManyFields},
		{line + "A: " + strings.Repeat("b", wide.HeadBytes) + "\r\n", http1.HeadTooLarge},
	} {
		var h http1.ResponseHead
		if got := h.Parse([]byte(test.head+"\r\n"), wide); got != test.want {
			t.Errorf("%q: %s, not %s", test.head, got, test.want)
		}
	}
}

func TestFramingOfResponses(t *testing.T) {
	for _, test := range []struct {
		method, head string
		want         http1.Framing
	}{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", http1.ByLength},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", http1.NoContent},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", http1.ByChunks},
		{"GET", "HTTP/1.1 200 OK\r\n\r\n", http1.ByClose},
		{"GET", "HTTP/1.0 200 OK\r\n\r\n", http1.ByClose},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", http1.NoContent},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", http1.NoContent},
		{"HEAD", "HTTP/1.1 200 OK\r\n\r\n", http1.NoContent},
		{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", http1.NoContent},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", http1.NoContent},
		{"GET", "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\n", http1.NoContent},
	} {
		var h http1.ResponseHead
		if reason := h.Parse([]byte(test.head), wide); reason != http1.OK {
			t.Errorf("%q: %s", test.head, reason)
		}
		if got := h.Framing(test.method); got != test.want {
			t.Errorf("%s, %q: %d, not %d", test.method, test.head, got, test.want)
		}
	}
}

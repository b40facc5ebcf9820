package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"reflect"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// scripted is an endpoint's connection that sends certain pieces, whatever is written to it.
type scripted struct {
	net.Conn

	pieces [][]byte
}

func (s *scripted) Read(p []byte) (int, error) {
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error) { return len(p), nil }
func (s *scripted) Close() error                { return nil }

// told is the part of a response on which both readers must agree.
type told struct {
	Status  int
	Reason  string
	Length  int64
	Close   bool
	Head    http.Header
	Body    string
	Trailer http.Header
	Chunked bool
}

func tellOf(res *http.Response, body []byte) told {
	exchange.Plain(&http.Request{Header: res.Header, Trailer: res.Trailer})
	trailer := http.Header{}
	for name, values := range res.Trailer {
		if len(values) > 0 {
			trailer[name] = values
		}
	}
	return told{
		Status: res.StatusCode, Reason: res.Status, Length: res.ContentLength, Close: res.Close, Head: res.Header,
		Body: string(body), Trailer: trailer, Chunked: len(res.TransferEncoding) > 0,
	}
}

// byOwnClient reads raw as the answer to a request, in pieces.
func byOwnClient(method string, raw, sizes []byte, lines bool) (told, error) {
	c := http1.NewClient(http1.ClientOptions{
		Dial: func(context.Context, string) (net.Conn, error) { return &scripted{pieces: cut(raw, sizes)}, nil },
		Idle: time.Second, Limits: wide,
	})
	req, err := http.NewRequestWithContext(context.Background(), method, "http://a/", nil)
	if err != nil {
		return told{}, err
	}
	if lines {
		req.Header = exchange.Ordered()
	}
	res, err := c.RoundTrip(req)
	if err != nil {
		return told{}, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return tellOf(res, nil), nil
	}
	body, err := io.ReadAll(res.Body)
	return tellOf(res, body), err
}

// byLibrary reads raw as net/http's Transport does.
func byLibrary(method string, raw []byte) (told, error) {
	in := bufio.NewReaderSize(bytes.NewReader(raw), wide.HeadBytes)
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return told{}, err
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			return tellOf(res, nil), nil
		}
		body, err := io.ReadAll(res.Body)
		return tellOf(res, body), err
	}
}

// checkResponse checks that what our reader accepts, net/http's reader accepts with the same result; ours may be the
// stricter one. The result is the same however raw is cut and in whichever form heads are kept.
func checkResponse(t *testing.T, head bool, raw, sizes []byte) {
	t.Helper()
	method := http.MethodGet
	if head {
		method = http.MethodHead
	}
	whole, err := byOwnClient(method, raw, nil, false)
	pieces, piecesErr := byOwnClient(method, raw, sizes, true)
	if (err == nil) != (piecesErr == nil) || err == nil && !reflect.DeepEqual(whole, pieces) {
		t.Fatalf("%q: in pieces it is %+v, %v, and else %+v, %v", raw, pieces, piecesErr, whole, err)
	}
	if err != nil {
		return
	}
	library, err := byLibrary(method, raw)
	if err != nil {
		t.Fatalf("%q: taken as %+v, by net/http refused: %v", raw, whole, err)
	}
	alike(&whole)
	alike(&library)
	if !reflect.DeepEqual(whole, library) {
		t.Fatalf("%q:\n own %+v\n std %+v", raw, whole, library)
	}
}

// alike removes what the two may differ in: net/http joins and removes lengths, sets Close for responses that have no
// end of their own, and keeps Trailer where no trailers can follow.
func alike(a *told) {
	a.Reason = textproto.TrimString(a.Reason)
	a.Head = maps.Clone(a.Head)
	for _, name := range []string{"Content-Length", "Trailer", "Connection", "Pragma", "Cache-Control"} {
		delete(a.Head, name)
	}
	a.Close = false
}

// FuzzResponse compares our reader of responses with net/http's.
func FuzzResponse(f *testing.F) {
	for _, raw := range responses {
		f.Add(false, []byte(raw), []byte{1, 7, 30})
		f.Add(true, []byte(raw), []byte{200, 1})
	}
	f.Fuzz(func(t *testing.T, head bool, raw, sizes []byte) { checkResponse(t, head, raw, sizes) })
}

// responses are those that readers have disagreed about.
var responses = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b\"\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
	"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nbytes",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
	"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
	"HTTP/1.1 200\r\nset-cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nB;0=\"0\"\r\n00000000000\r\n0\r\n0:\r0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n00000\r\n1\r\n0",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n00000\r0",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA : b\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding:\tchunked\t\r\n\r\n0;0=\"\xf1\"\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length:1 \r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
	"HTTP/1.0 100 \r\n\r\nHTTP/1.0 100\r\n\r\n0",
	"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.0 200 OK\r\nConnection:\r\n\r\n",
	"HTTP/1.1 205 Reset Content\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
	"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
	"SSH-2.0-OpenSSH_9.6\r\n",
	"HTTP/1.1 200 OK\r\nContent-Le",
}

package transport_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// outcome returns the result of a request that is answered with certain bytes and the end of the connection: the
// body, or how it failed.
func outcome(t *testing.T, engine config.Engine, method, raw string) string {
	t.Helper()
	address := listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, raw)
		}
	})
	tr, err := transport.New(transport.Options{Engine: engine, HeadBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.CloseIdle()
	res, err := tr.RoundTrip(request(t, method, address, nil))
	if err != nil {
		return failure(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return string(body) + "..." + failure(err)
	}
	return string(body)
}

// failure returns what is known of an error, except its text.
func failure(err error) string {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok && send.Sent == exchange.SentPartly {
		return exchange.SentAll.String() // net/http may learn of the end before it learns that all was sent
	} else if ok {
		return send.Sent.String()
	}
	return err.Error()
}

// Both engines give the same result for a response, except for the differences that docs/engines.md describes.
func TestEnginesReadResponsesAlike(t *testing.T) {
	const (
		line    = "HTTP/1.1 200 OK\r\n"
		chunked = line + "Transfer-Encoding: chunked\r\n\r\n"
		invalid = "backend-invalid-response"
		reset   = "sent whole"
		broken  = "...response head seen"
	)
	for _, test := range []struct{ method, raw, std, own string }{
		{"GET", line + "Content-Length: 2\r\n\r\nok", "ok", "ok"},
		{"GET", line + "Content-Length: 2\r\n\r\nok and more", "ok", "ok"},
		{"GET", line + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok", "ok"},
		{"GET", line + "\r\nok", "ok", "ok"},
		{"GET", "HTTP/1.0 200 OK\r\n\r\nok", "ok", "ok"},
		{"GET", "HTTP/1.1 200\r\n\r\nok", "ok", "ok"},
		{"GET", chunked + "2\r\nok\r\n0\r\n\r\n", "ok", "ok"},
		{"GET", chunked + "1;a=b\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n", "ok", "ok"},
		{"HEAD", line + "Content-Length: 2\r\n\r\n", "", ""},
		{"HEAD", chunked, "", ""},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\nno", "", ""},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nno", "", ""},
		{"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + line + "Content-Length: 2\r\n\r\nok", "ok", "ok"},

		{"GET", line + "Content-Length: 3\r\n\r\nok", "ok" + broken, "ok" + broken},
		{"GET", chunked + "3\r\nok", "ok" + broken, "ok" + broken},
		{"GET", chunked + "2\r\nok\r\n", "ok" + broken, "ok" + broken},
		{"GET", chunked + "x\r\nok\r\n", broken, broken},
		{"GET", "", reset, reset},
		{"GET", "HTTP/1.1 20", reset, reset},
		{"GET", line + "Content-Length: 2\r\n", reset, reset},
		{"GET", "SSH-2.0-OpenSSH\r\n\r\n", invalid, invalid},
		{"GET", "HTTP/1.1 OK\r\n\r\n", invalid, invalid},
		{"GET", line + "Content-Length: two\r\n\r\nok", invalid, invalid},
		{"GET", line + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", invalid, invalid},
		{"GET", line + "Transfer-Encoding: gzip\r\n\r\nok", invalid, invalid},
		{"GET", line + "A: " + strings.Repeat("b", 8<<10) + "\r\n\r\nok", invalid, invalid},

		// The documented differences.
		{"GET", line + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", invalid},
		{"GET", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok", invalid},
		{"GET", line + "A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", "ok", invalid},
		{"GET", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", invalid},
		{"GET", line + "Content-Length: 02\r\n\r\nok", "ok", invalid},
		{"GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok", "ok", invalid},
		{"GET", chunked + "2 \r\nok\r\n0\r\n\r\n", "ok", broken},
		{"GET", chunked + "2;a b\r\nok\r\n0\r\n\r\n", "ok", broken},
		{"GET", line + strings.Repeat("A:\r\n", 1001) + "Content-Length: 2\r\n\r\nok", "ok", invalid},
		{"GET", line + "A : b\r\n\r\nok", "ok", invalid},
	} {
		t.Run(test.raw[:min(len(test.raw), 60)], func(t *testing.T) {
			if got := outcome(t, config.StdEngine, test.method, test.raw); got != test.std {
				t.Errorf("%s %.90q: std makes %q of it, not %q", test.method, test.raw, got, test.std)
			}
			if got := outcome(t, config.OwnEngine, test.method, test.raw); got != test.own {
				t.Errorf("%s %.90q: own makes %q of it, not %q", test.method, test.raw, got, test.own)
			}
		})
	}
}

package transport_test

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// An engine that keeps heads as lines works with any transport behind it.
func TestLinesReachNetHTTPAsFields(t *testing.T) {
	got := make(chan *http.Request, 1)
	address := listen(t, func(c net.Conn) {
		r := answering(c, 0)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		got <- req
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	from := request(t, http.MethodPost, address, nil)
	from.Header = exchange.Ordered("x-ODD", "1", "X-odd", "2")
	out := exchange.NewRequest(from.Context(), from)
	out.Method, out.URL, out.Host = from.Method, from.URL, from.Host
	exchange.CopyAll(exchange.RequestHead(out), exchange.RequestHead(from))
	exchange.AnnounceTrailers(out, []string{"x-Sum", "x-None"})
	out.ContentLength = -1
	out.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), ending(func() {
		trailer := exchange.RequestTrailer(out)
		trailer.Set("x-Sum", "7")
		trailer.Del("x-None")
	})))
	res, err := newTransport(t, transport.Options{Protocol: transport.HTTP}).RoundTrip(out)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	req := <-got
	if !slices.Equal(req.Header["X-Odd"], []string{"1", "2"}) || req.Header.Get("User-Agent") != "" || req.Trailer.Get("X-Sum") != "7" || len(req.Trailer["X-None"]) != 0 {
		t.Errorf("head %v, trailers %v", req.Header, req.Trailer)
	}
}

// ending is an empty reader that reports when it is read.
type ending func()

func (f ending) Read([]byte) (int, error) { f(); return 0, io.EOF }

package service_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// ledger counts how often each request has reached a server that may have acted on it.
type ledger struct {
	mu    sync.Mutex
	acted map[string]int
}

func (l *ledger) acts(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acted[id]++
}

func (l *ledger) of(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acted[id]
}

// idField tells requests apart.
const idField = "X-Id"

const wellAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// adversary serves one connection over HTTP/1.1. The connection is closed when it returns. next reads a request and
// records it.
type adversary func(c *net.TCPConn, next func() bool)

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func say(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

// after answers one request properly, and applies bad to whatever comes next on the connection.
func after(bad adversary) adversary {
	return func(c *net.TCPConn, next func() bool) {
		if next() {
			say(c, wellAnswer)
			bad(c, next)
		}
	}
}

// accepting listens on an address of its own and runs serve for each connection.
func accepting(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			work.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return l.Addr().String()
}

func (l *ledger) http1(t *testing.T, serve adversary) string {
	t.Helper()
	return accepting(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		serve(c, func() bool {
			r, err := http.ReadRequest(in)
			if err != nil {
				return false
			}
			l.acts(r.Header.Get(idField))
			_, err = io.Copy(io.Discard, r.Body)
			return err == nil
		})
	})
}

// well answers every request properly.
func well(c *net.TCPConn, next func() bool) {
	for next() {
		say(c, wellAnswer)
	}
}

// stream is what an adversary does with a request over HTTP/2; false means that it closes the connection. acts
// records the request. It is not called if the protocol guarantees that the request was not acted on.
type stream func(f *http2.Framer, id uint32, acts func()) bool

func (l *ledger) http2(t *testing.T, serve stream) string {
	t.Helper()
	return accepting(t, func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(c, c)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		_ = f.WriteSettings()
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					_ = f.WriteSettingsAck()
				}
			case *http2.MetaHeadersFrame:
				id := ""
				for _, field := range frame.RegularFields() {
					if strings.EqualFold(field.Name, idField) {
						id = field.Value
					}
				}
				if !serve(f, frame.StreamID, func() { l.acts(id) }) {
					return
				}
			}
		}
	})
}

func answerStream(f *http2.Framer, id uint32, acts func()) bool {
	acts()
	var head strings.Builder
	_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(head.String()), EndHeaders: true, EndStream: true}) == nil
}

func resets(code http2.ErrCode, acted bool) stream {
	return func(f *http2.Framer, id uint32, acts func()) bool {
		if acted {
			acts()
		}
		return f.WriteRSTStream(id, code) == nil
	}
}

// Whatever a backend does to its connections, a request that may be repeated succeeds, and one that may not is never
// acted on twice.
func TestNothingIsActedOnTwice(t *testing.T) {
	for name, bad := range map[string]struct {
		http1 adversary
		http2 stream
		// untouched: the backend cannot have acted, so that every request succeeds.
		untouched bool
		times     int // requests; 0: 12
	}{
		"it closes at once":          {http1: func(*net.TCPConn, func() bool) {}},
		"it resets at once":          {http1: func(c *net.TCPConn, _ func() bool) { reset(c) }},
		"it reads a part and resets": {http1: func(c *net.TCPConn, _ func() bool) { _, _ = c.Read(make([]byte, 10)); reset(c) }},
		"it reads a part and closes": {http1: func(c *net.TCPConn, _ func() bool) { _, _ = c.Read(make([]byte, 10)) }},
		"it reads and closes":        {http1: func(_ *net.TCPConn, next func() bool) { next() }},
		"it reads and resets":        {http1: func(c *net.TCPConn, next func() bool) { next(); reset(c) }},
		"it ends within the head":    {http1: func(c *net.TCPConn, next func() bool) { next(); say(c, "HTTP/1.1 200 OK\r\nContent-Le") }},
		"it says 100 and closes":     {http1: func(c *net.TCPConn, next func() bool) { next(); say(c, "HTTP/1.1 100 Continue\r\n\r\n") }},
		"it says 103 and closes": {http1: func(c *net.TCPConn, next func() bool) {
			next()
			say(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		}},
		"it says 103 and resets": {http1: func(c *net.TCPConn, next func() bool) {
			next()
			say(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
			reset(c)
		}},

		"a kept connection closes":              {http1: after(func(*net.TCPConn, func() bool) {})},
		"a kept connection resets":              {http1: after(func(c *net.TCPConn, _ func() bool) { reset(c) })},
		"a kept connection closes on a request": {http1: after(func(c *net.TCPConn, _ func() bool) { _, _ = c.Read(make([]byte, 1)) })},
		"a kept connection resets on a request": {http1: after(func(c *net.TCPConn, _ func() bool) { _, _ = c.Read(make([]byte, 1)); reset(c) })},
		"a kept connection reads and closes":    {http1: after(func(_ *net.TCPConn, next func() bool) { next() })},
		"a kept connection says 408 at once":    {http1: after(func(c *net.TCPConn, _ func() bool) { say(c, idle408) })},
		"a kept connection says 408 on a request": {http1: after(func(c *net.TCPConn, _ func() bool) {
			_, _ = c.Read(make([]byte, 1))
			say(c, idle408)
		})},

		"a stream is refused":      {http2: resets(http2.ErrCodeRefusedStream, false), untouched: true, times: 2}, // net/http waits a second before it leaves an endpoint
		"a stream breaks":          {http2: resets(http2.ErrCodeInternal, true)},
		"a stream is cancelled":    {http2: resets(http2.ErrCodeCancel, true)},
		"a stream ends calmly":     {http2: resets(http2.ErrCodeEnhanceYourCalm, true)},
		"a stream ends for no why": {http2: resets(http2.ErrCodeNo, true)},
		"GOAWAY before it": {http2: func(f *http2.Framer, _ uint32, _ func()) bool {
			return f.WriteGoAway(0, http2.ErrCodeNo, nil) == nil // if the connection were closed at once, the GOAWAY could be lost
		}, untouched: true},
		"GOAWAY before it, with an error": {http2: func(f *http2.Framer, _ uint32, _ func()) bool {
			return f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) != nil
		}},
		"GOAWAY after it, and closed": {http2: func(f *http2.Framer, id uint32, acts func()) bool {
			acts()
			return f.WriteGoAway(id, http2.ErrCodeNo, nil) != nil
		}},
		"the connection closes": {http2: func(_ *http2.Framer, _ uint32, acts func()) bool { acts(); return false }},
	} {
		for kind, q := range map[string]struct {
			method, key, content string
			safe                 bool
		}{
			"GET": {method: "GET", safe: true}, "PUT": {method: "PUT", content: "content", safe: true},
			"POST": {method: "POST", content: "content"}, "POST of nothing": {method: "POST"},
			"POST with a key": {method: "POST", key: "1", content: "content", safe: true},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				l := &ledger{acted: map[string]int{}}
				options := transport.Options{Engine: config.Engine(*engine)}
				var addresses []string
				if bad.http2 != nil {
					options.Protocol = transport.H2C
					addresses = []string{l.http2(t, bad.http2), l.http2(t, answerStream)}
				} else {
					addresses = []string{l.http1(t, bad.http1), l.http1(t, well)}
				}
				connections, err := transport.New(options)
				if err != nil {
					t.Fatal(err)
				}
				defer connections.CloseIdle()
				s := service.New(service.Options{
					Name: "users", Transport: connections, Log: quiet(), Retry: config.Retry{Attempts: 2},
					Balance: service.Balance{Settings: balance.Settings{Way: balance.RoundRobin}, Budget: &config.Budget{Share: config.NoBudget}},
				})
				defer s.Close()
				s.Set(endpoints(addresses...))
				for i := range cmp.Or(bad.times, 12) {
					id := fmt.Sprintf("%s-%d", t.Name(), i)
					req, _ := request(q.method, q.content)
					req.Header.Set(idField, id)
					if q.key != "" {
						req.Header.Set("Idempotency-Key", q.key)
					}
					res, err := s.RoundTrip(req)
					got := fmt.Sprint(err)
					if err == nil {
						_, err := io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
						got = cmp.Or(map[bool]string{true: "cut"}[err != nil], res.Status, fmt.Sprint(res.StatusCode))
					}
					if (q.safe || bad.untouched) && !strings.HasPrefix(got, "200") {
						t.Errorf("request %d: %s, after %d attempts", i, got, len(exchange.Of(req).Attempts))
					}
					if n := l.of(id); n > 1 && !q.safe {
						t.Errorf("request %d was acted on %d times", i, n)
					}
				}
			})
		}
	}
}

// idle408 is what some servers and load balancers send before they close a connection on which no request came for
// long. It may cross a request that is on its way.
const idle408 = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

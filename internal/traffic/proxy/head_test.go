package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/discovery"
)

// seen sends a request to a gateway with a raw backend and returns the field lines that the backend got, sorted.
func seen(t *testing.T, s setup, request string) []string {
	t.Helper()
	heads := make(chan string, 1)
	s.addresses = []string{rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		heads <- readHead(r)
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\nX-Public: 1\r\n\r\n")
	})}
	g := start(t, s, nil)
	_, r := raw(t, g, strings.ReplaceAll(request, "\n", "\r\n"))
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatalf("%v, %v", res, err)
	}
	for _, name := range []string{"X-Internal", "Keep-Alive", "Connection"} {
		if v := res.Header.Get(name); v != "" {
			t.Errorf("the client got the backend's own %s: %s", name, v)
		}
	}
	if res.Header.Get("X-Public") != "1" {
		t.Errorf("head %v", res.Header)
	}
	lines := strings.Split(strings.TrimSpace(await.From(t, "the request", heads)), "\r\n")
	slices.Sort(lines[1:])
	return lines
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func TestWhatABackendGets(t *testing.T) {
	for name, c := range map[string]struct {
		setup   setup
		request string
		want    string // without what the client sent itself
	}{
		"plain": {setup{}, "GET /a?b HTTP/1.1\nHost: Shop.dev:8080\nAccept: */*\n\n", `GET /a?b HTTP/1.1
Accept: */*
Host: Shop.dev:8080
Via: 1.1 weir
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: Shop.dev:8080
X-Forwarded-Port: 8080
X-Forwarded-Proto: http
X-Request-Id: test-id`},
		"a host of the backend's own": {setup{host: "api.example.com"}, "GET / HTTP/1.1\nHost: shop.dev\n\n", `GET / HTTP/1.1
Host: api.example.com
Via: 1.1 weir
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: shop.dev
X-Forwarded-Port: 80
X-Forwarded-Proto: http
X-Request-Id: test-id`},
		"hop-by-hop and spoofed": {setup{}, `GET / HTTP/1.1
Host: a
Connection: keep-alive, X-Forwarded-For, X-Mine, Via
Keep-Alive: timeout=5
Proxy-Connection: keep-alive
Proxy-Authorization: Basic eA==
Proxy: http://evil
TE: trailers, gzip
X-Mine: 1
X-Yours: 2
X-Forwarded-For: 6.6.6.6
X_Forwarded_For: 6.6.6.6
X-Forwarded.Proto: https
X-Forwarded-Prefix: /admin
X-Forwarded-User: root
X-Real-IP: 6.6.6.6
X-Original-URL: /admin
X-Request-ID: mine
X_Request_Id: mine
Transfer_Encoding: chunked
X-Envoy-Original-Path: /admin
Forwarded: for=6.6.6.6
Via: 1.0 fred

`, `GET / HTTP/1.1
Host: a
Te: trailers
Via: 1.0 fred, 1.1 weir
X-Forwarded-For: 127.0.0.1
X-Forwarded-Host: a
X-Forwarded-Port: 80
X-Forwarded-Proto: http
X-Request-Id: test-id
X-Yours: 2`},
		"from a trusted proxy": {setup{trusted: loopback}, `GET / HTTP/1.1
Host: inner
Connection: X-Forwarded-For
X-Forwarded-For: 6.6.6.6
X-Forwarded-For: 192.0.2.7, 127.0.0.9
X_Forwarded_For: 6.6.6.6
X-Forwarded-Proto: https
X-Forwarded-Host: shop.dev
X-Forwarded-Prefix: /shop
X-Real-IP: 192.0.2.7
Forwarded: for=6.6.6.6

`, `GET / HTTP/1.1
Host: inner
Via: 1.1 weir
X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.9, 127.0.0.1
X-Forwarded-Host: shop.dev
X-Forwarded-Port: 443
X-Forwarded-Prefix: /shop
X-Forwarded-Proto: https
X-Real-Ip: 192.0.2.7
X-Request-Id: test-id`},
		"from a trusted proxy that speaks RFC 7239": {setup{trusted: loopback}, `GET / HTTP/1.1
Host: inner
Forwarded: for=6.6.6.6, for="[2001:db8::7]:4711";proto=https;host=shop.dev

`, `GET / HTTP/1.1
Forwarded: for=6.6.6.6, for="[2001:db8::7]:4711";proto=https;host=shop.dev, for=127.0.0.1
Host: inner
Via: 1.1 weir
X-Forwarded-For: 2001:db8::7, 127.0.0.1
X-Forwarded-Host: shop.dev
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Request-Id: test-id`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(seen(t, c.setup, c.request), "\n"); got != c.want {
				t.Errorf("the backend got\n%s\n\nnot\n%s", got, c.want)
			}
		})
	}
}

// A gateway that is its own backend would use up all of the machine for one request.
func TestALoopEnds(t *testing.T) {
	g := start(t, setup{}, nil)
	g.service.Set([]discovery.Endpoint{{Address: g.Listener.Addr().String(), Weight: 1}})
	res, err := g.Client().Get(g.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusLoopDetected {
		t.Errorf("status %d", res.StatusCode)
	}
	ends := map[string]int{} // how each round ended; the order varies
	for range forward.MostPasses + 2 {
		ends[await.From(t, "the end of a round", g.faults)]++
	}
	if ends["loop-detected"] != 1 || ends[""] != forward.MostPasses+1 {
		t.Errorf("the rounds ended with %v", ends)
	}
}

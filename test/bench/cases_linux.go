package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// load is what sends requests to a proxy.
type load interface {
	run(d time.Duration, rate int) (tally, error)
	close() error
}

// kind is one of the cases in which proxies are measured.
type kind struct {
	name    string // on the command line
	title   string // on the page
	profile string // of the configs; cases of one profile stand together
	rate    int    // requests a second, 0 for as many as possible
	open    func(*server, *tls.Config) (load, error)
	reloads bool // the config changes meanwhile
}

// openRate is the rate at which latency is measured. It keeps none of the proxies busy.
const openRate = 5000

// kinds returns all cases, in the order of the page.
func kinds() []kind {
	return []kind{
		{name: "get", title: "GET, 1 KiB", profile: "base", open: plain(64, get("/", nil, small))},
		{name: "usual", title: "the same, Weir with its defaults", profile: "usual", open: plain(64, get("/", nil, small))},
		{name: "fields", title: "GET, 10 fields, and 8 back", profile: "base", open: plain(64, get("/fields", tenFields, small))},
		{name: "fresh", title: "the same, no field like the one before", profile: "base", open: plain(64, fresh("/fields", tenFields, small))},
		{name: "post", title: "POST of 4 KiB", profile: "base", open: plain(64, post("/", small))},
		{name: "100k", title: "GET, 100 KiB", profile: "base", open: plain(32, get("/file/100k", nil, medium))},
		{name: "1m", title: "GET, 1 MiB", profile: "base", open: plain(16, get("/file/1m", nil, large))},
		{name: "tls", title: "GET over TLS, kept", profile: "base", open: secured(64, get("/", nil, small))},
		{name: "h2", title: "GET over HTTP/2 and TLS", profile: "base", open: multiplexed(8)},
		{name: "ws", title: "WebSocket, 1 KiB and back", profile: "base", open: echoes(64)},
		{name: "rate", title: fmt.Sprintf("GET, 1 KiB, %d a second", openRate), profile: "base", rate: openRate, open: plain(64, get("/", nil, small))},
		{name: "filter", title: "GET, fields changed both ways", profile: "filter", open: plain(64, get("/", []string{"X-Debug: 1"}, small))},
		{name: "observed", title: "GET with id, access log and metrics", profile: "observed", open: plain(64, get("/", nil, small))},
		{name: "routes1k", title: "GET, 1,000 routes", profile: "routes1k", open: everywhere(1000)},
		{name: "routes10k", title: "GET, 10,000 routes", profile: "routes10k", open: everywhere(10000)},
		{name: "reload", title: "GET, while the config changes", profile: "reload", reloads: true, open: plain(64, get("/", nil, small))},
	}
}

// routesOf returns the paths that a profile has routes for.
func routesOf(profile string) (paths []string) {
	for i := range map[string]int{"routes1k": 1000, "routes10k": 10000}[profile] {
		paths = append(paths, fmt.Sprintf("/svc%d/v1/items", i))
	}
	return paths
}

// tenFields are the header fields that a browser sends.
var tenFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "Accept-Language: en-US,en;q=0.9,de;q=0.8",
	"Accept-Encoding: gzip, deflate, br, zstd", "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark", "Referer: https://shop.dev/products/tea",
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Cache-Control: max-age=0",
}

// get is a GET request with these header fields, which is answered with a body of the given size.
func get(path string, fields []string, size int) question {
	lines := strings.Join(append([]string{"GET " + path + " HTTP/1.1", "Host: localhost"}, fields...), "\r\n")
	return question{requests: [][]byte{[]byte(lines + "\r\n\r\n")}, body: bodyOf(size)}
}

// fresh is get with different values each time, for proxies that keep what is unchanged.
func fresh(path string, fields []string, size int) question {
	const variants = 97
	q := question{body: bodyOf(size)}
	for i := range variants {
		others := make([]string, len(fields))
		for at, line := range fields {
			others[at] = fmt.Sprintf("%s, %d", line, i)
		}
		q.requests = append(q.requests, get(fmt.Sprintf("%s?n=%d", path, i), others, size).requests[0])
	}
	return q
}

func post(path string, size int) question {
	content := bodyOf(4 << 10)
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", path, len(content), content)
	return question{requests: [][]byte{request.Bytes()}, body: bodyOf(size)}
}

// plain sends requests over HTTP/1.1.
func plain(connections int, q question) func(*server, *tls.Config) (load, error) {
	return func(s *server, _ *tls.Config) (load, error) { return newLoader(s.Plain, connections, q) }
}

// everywhere requests routes from all over a config with that many routes.
func everywhere(routes int) func(*server, *tls.Config) (load, error) {
	q := question{body: bodyOf(small)}
	const step = 7919 // a prime, so that every route is requested
	for i := range routes {
		q.requests = append(q.requests, get(fmt.Sprintf("/svc%d/v1/items", i*step%routes), nil, small).requests[0])
	}
	return plain(64, q)
}

// secured sends requests over HTTP/1.1 with TLS.
func secured(connections int, q question) func(*server, *tls.Config) (load, error) {
	return func(s *server, trust *tls.Config) (load, error) {
		return newCrowd(connections, func() (talker, error) {
			conn, err := dialTLS(s.Secure, trust, "http/1.1")
			if err != nil {
				return nil, err
			}
			return newPlainTalk(conn, q), nil
		})
	}
}

// multiplexed sends requests over HTTP/2 with TLS.
func multiplexed(connections int) func(*server, *tls.Config) (load, error) {
	return func(s *server, trust *tls.Config) (load, error) {
		return newCrowd(connections, func() (talker, error) {
			conn, err := dialTLS(s.Secure, trust, "h2")
			if err != nil {
				return nil, err
			}
			return newManyTalk(conn, "/", bodyOf(small))
		})
	}
}

// echoes exchanges messages over WebSockets.
func echoes(connections int) func(*server, *tls.Config) (load, error) {
	return func(s *server, _ *tls.Config) (load, error) {
		return newCrowd(connections, func() (talker, error) {
			conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.Plain))
			if err != nil {
				return nil, err
			}
			return newEchoTalk(conn)
		})
	}
}

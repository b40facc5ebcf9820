// Package explain asks a snapshot what it would do with a request that is described on the command line or to the admin
// API, and formats the answer for people. The decisions are the snapshot's own (snapshot.Explain).
package explain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Request describes the request to explain.
type Request struct {
	Method  string
	URL     string   // absolute, or a path, which goes to host "localhost"
	Headers []string // "Name: value"
	Body    *string  // only the parts of a batch are read from it; nil: unknown
	// As is the caller: a subject, or a JSON object of claims; "" for none.
	As string
	// Client is the address that the request comes from; "" 127.0.0.1.
	Client string
	// Socket is the socket at which it arrives; "" the first one of the snapshot that fits the URL's scheme.
	Socket string
}

// Run explains q. Errors are about the description, in words for its author.
func Run(s *snapshot.Snapshot, q Request) (snapshot.Explanation, error) {
	r, identity, err := q.Describe()
	if err != nil {
		return snapshot.Explanation{}, err
	}
	peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	if q.Client != "" {
		ip, err := netip.ParseAddr(q.Client)
		if err != nil {
			return snapshot.Explanation{}, fmt.Errorf("client %q is not an IP address", q.Client)
		}
		peer = netip.AddrPortFrom(ip.Unmap(), 0)
	}
	socket, err := q.socket(s, r.URL.Scheme == "https")
	if err != nil {
		return snapshot.Explanation{}, err
	}
	return s.Explain(socket, r, peer, identity), nil
}

// Describe returns the request, which must not be sent, and its caller, nil if there is none.
func (q Request) Describe() (*http.Request, *exchange.Identity, error) {
	r, err := q.request()
	if err != nil {
		return nil, nil, err
	}
	identity, err := q.identity()
	return r, identity, err
}

func (q Request) request() (*http.Request, error) {
	raw := q.URL
	if strings.HasPrefix(raw, "/") {
		raw = "http://localhost" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is no URL to explain: write a path such as /orders/1, or http://shop.dev/orders/1", q.URL)
	}
	r, err := http.NewRequest(strings.ToUpper(q.Method), u.String(), nil) //nolint:noctx // it is never sent
	if err != nil {
		return nil, fmt.Errorf("method %q: %w", q.Method, err)
	}
	// The path goes to the gateway as it was written, not as url.Parse reads it.
	r.RequestURI = written(raw)
	for _, line := range q.Headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("header %q: write it as \"Name: value\"", line)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("header %q: HTTP allows no such name or value", line)
		}
		if strings.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		exchange.RequestHead(r).Add(name, value)
	}
	if length := exchange.RequestHead(r).Get("Content-Length"); length != "" {
		n, err := strconv.ParseUint(length, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("header \"Content-Length: %s\": %w", length, err)
		}
		r.ContentLength = int64(n)
	}
	if q.Body != nil {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(*q.Body)), int64(len(*q.Body))
	}
	return r, nil
}

// written returns the request target of an absolute URL, character by character.
func written(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	rest, _, _ = strings.Cut(rest, "#")
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

// identity reads As. A JSON object is the claims; anything else is the subject.
func (q Request) identity() (*exchange.Identity, error) {
	if q.As == "" {
		return nil, nil
	}
	claims := map[string]any{"sub": q.As}
	if strings.HasPrefix(strings.TrimSpace(q.As), "{") {
		clear(claims)
		decoder := json.NewDecoder(strings.NewReader(q.As))
		decoder.UseNumber()
		if err := decoder.Decode(&claims); err != nil {
			return nil, fmt.Errorf("the identity is not a JSON object of claims: %w", err)
		}
	}
	id := &exchange.Identity{Method: "explain", Claims: exchange.ClaimsOf(claims)}
	id.Issuer, _ = claims["iss"].(string)
	id.Subject, _ = claims["sub"].(string)
	if scope, ok := claims["scope"].(string); ok {
		id.Scopes = strings.Fields(scope)
	}
	return id, nil
}

// socket chooses the socket at which the request arrives.
func (q Request) socket(s *snapshot.Snapshot, secure bool) (string, error) {
	var names []string
	for _, l := range s.Listeners {
		if q.Socket == l.Socket || (q.Socket == "" && l.TLS == secure) {
			return l.Socket, nil
		}
		names = append(names, l.Socket)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) == 0:
		return "", errors.New("the configuration has no HTTP listener")
	case q.Socket == "":
		return names[0], nil
	}
	return "", fmt.Errorf("there is no socket %q; there are: %s", q.Socket, strings.Join(names, ", "))
}

package coalesce

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// usual are the header fields that select a representation of a resource or make a request conditional: requests that
// differ in one of them are never identical.
var usual = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
}

// credentials are the header fields that identify the caller, in addition to the exchange's identity.
var credentials = []string{"Authorization", "Cookie", "Proxy-Authorization"}

// mostKey bounds a key: a request with a longer key goes on its own.
const mostKey = 16 << 10

// fields are the header fields that are part of a key.
func (c *Config) fields() []string {
	list := slices.Concat(usual, c.Vary)
	if !c.Shared {
		list = append(list, credentials...)
	}
	return list
}

// eligible tells whether r may get the response to another request at all.
func eligible(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	return r.ContentLength == 0 && (r.Body == nil || r.Body == http.NoBody) && exchange.RequestHead(r).Get("Upgrade") == ""
}

// appendKey appends everything that tells r apart from other requests. Each part is preceded by its length, so that
// different parts never give the same key, whatever clients send.
func (c *coalescer) appendKey(b []byte, r *http.Request) []byte {
	x, head := exchange.Of(r), exchange.RequestHead(r)
	for _, part := range [...]string{r.Method, x.Client.Scheme, x.Client.Host, r.Host, r.URL.EscapedPath(), r.URL.RawQuery} {
		b = appendPart(b, part)
	}
	if !c.config.Shared {
		b = appendIdentity(b, x.Identity)
	}
	for _, name := range c.fields {
		values := head.Values(name)
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, value := range values {
			b = appendPart(b, value)
		}
	}
	return b
}

func appendIdentity(b []byte, id *exchange.Identity) []byte {
	if id == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, part := range [...]string{id.Method, id.Issuer, id.Subject} {
		b = appendPart(b, part)
	}
	return b
}

func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// caller is the sender of a request, as far as it is known.
type caller struct {
	identity string
	fields   [3]string // of credentials
	known    bool
}

func callerOf(r *http.Request) (c caller) {
	if id := exchange.Of(r).Identity; id != nil {
		c.identity, c.known = string(appendIdentity(nil, id)), true
	}
	head := exchange.RequestHead(r)
	for i, name := range credentials {
		c.fields[i] = strings.Join(head.Values(name), "\n")
		c.known = c.known || c.fields[i] != ""
	}
	return c
}

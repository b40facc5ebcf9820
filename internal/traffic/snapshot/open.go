package snapshot

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// maxID bounds a request id that is taken over from a trusted proxy.
const maxID = 128

// open begins x, the exchange of r: who is it, and under which id.
func (s *Snapshot) open(x *exchange.Exchange, r *http.Request, peer netip.AddrPort) {
	x.Start, x.Verbose = time.Now(), s.Verbose
	head := exchange.RequestHead(r)
	x.Client = forward.Receive(peer, r.TLS != nil, r.Host, head, s.Trusted)
	if len(s.Managed) > 0 {
		forward.DropManaged(head, s.Managed)
		forward.DropManaged(exchange.RequestTrailer(r), s.Managed)
	}
	if x.Client.Trusted {
		x.ID = acceptID(head.Get("X-Request-Id"))
	}
	if x.ID == "" {
		x.ID = newID()
	}
}

// within begins the exchange of r, which is made within another one and comes from
// its client. What only proxies and the gateway may say is not heard of it.
func (s *Snapshot) within(r *http.Request, w exchange.Within) exchange.Exchange {
	forward.DropManaged(exchange.RequestHead(r), s.Managed)
	return exchange.Exchange{
		ID: w.ID, Start: time.Now(), Verbose: s.Verbose, Client: w.Of.Client, Server: w.Of.Server, Inner: true,
	}
}

// newID makes 128 random bits in hexadecimal, which fits a W3C trace id too.
// It needs to be unique, not secret.
func newID() string {
	const digits = "0123456789abcdef"
	a, b := rand.Uint64(), rand.Uint64() //nolint:gosec // no secret
	var text [32]byte
	for i := range 16 {
		text[i], text[16+i] = digits[a%16], digits[b%16]
		a, b = a/16, b/16
	}
	return string(text[:])
}

// acceptID gives id back if it is short printable ASCII without blanks and
// quotes, so that it can do no harm in a log or a header; "" otherwise.
func acceptID(id string) string {
	if len(id) > maxID {
		return ""
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' || c == ',' || c == ';' {
			return ""
		}
	}
	return id
}

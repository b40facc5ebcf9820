package snapshot

import (
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// maxID is the longest request id that is taken over from a trusted proxy.
const maxID = 128

// open begins x, the exchange of r: it determines the client, and the request id if a trusted proxy sent one.
func (s *Snapshot) open(x *exchange.Exchange, r *http.Request, on *exchange.Connection) {
	x.Start, x.Verbose = time.Now(), s.Verbose
	x.Connection, x.Server = on, on.Server
	head := exchange.RequestHead(r)
	x.Client = forward.Receive(on.Peer, r.TLS != nil, r.Host, head, s.Trusted)
	if len(s.Managed) > 0 {
		forward.DropManaged(head, s.Managed)
		forward.DropManaged(exchange.RequestTrailer(r), s.Managed)
	}
	if x.Client.Trusted {
		x.ID = acceptID(head.Get("X-Request-Id"))
	}
}

// within begins x, the exchange of r, which is made within another exchange and comes from the same client. Header
// fields that only the gateway may set are dropped, and fields that only proxies may set are ignored.
func (s *Snapshot) within(x *exchange.Exchange, r *http.Request, w exchange.Within) {
	forward.DropManaged(exchange.RequestHead(r), s.Managed)
	x.ID, x.Start, x.Verbose = w.ID, time.Now(), s.Verbose
	x.Client, x.Connection, x.Server, x.Inner = w.Of.Client, w.Of.Connection, w.Of.Server, true
}

// acceptID returns id if it is short printable ASCII without blanks, quotes, backslashes, commas and semicolons, so
// that it can do no harm in a log or a header; otherwise "".
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

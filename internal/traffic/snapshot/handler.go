package snapshot

import (
	"net/http"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// Handler serves the requests of one server, which has one socket. Its methods
// may be called concurrently.
type Handler struct {
	gateway *Gateway
	socket  string
	kept    atomic.Pointer[Snapshot] // served instead of the current one
}

// ServeHTTP serves a request with the snapshot that is current at this moment.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := h.enter()
	if s == nil {
		unready(w, r)
		return
	}
	v := visit{Exchange: exchange.New(r), use: s.use, nth: h.gateway.under.requests.Add(1)}
	defer v.leave()
	v.Entrance = h
	s.open(v.Exchange, r, h.gateway.options.Connection(r.Context()))
	v.begin(w, r)
	h.gateway.pass(h, s, &v, nil)
}

// Enter implements exchange.Entrance.
func (h *Handler) Enter(w http.ResponseWriter, r *http.Request, within exchange.Within) {
	s := h.enter()
	if s == nil {
		exchange.Refuse(w, r, fault.ShuttingDown.New("The gateway has no configuration any more."))
		return
	}
	v := visit{Exchange: exchange.New(r), use: s.use, nth: h.gateway.under.requests.Add(1)}
	defer v.leave()
	s.within(v.Exchange, r, within)
	v.Entrance = h
	v.begin(w, r)
	h.gateway.pass(h, s, &v, &within)
}

// Snapshot returns the snapshot that serves requests now, or nil before the first Swap.
func (h *Handler) Snapshot() *Snapshot {
	if kept := h.kept.Load(); kept != nil {
		return kept
	}
	return h.gateway.Current()
}

// Keep makes the handler stay with the current snapshot when another one takes its place. It is for a socket that the
// next snapshot does not have: requests on their way to it are served as intended. Call release when no request can
// begin any more.
func (h *Handler) Keep() (release func()) {
	s := h.gateway.enter()
	if s == nil {
		return func() {}
	}
	h.kept.Store(s)
	return s.use.leave
}

// enter returns the snapshot for a request, and counts the caller in; the caller must leave it.
func (h *Handler) enter() *Snapshot {
	if kept := h.kept.Load(); kept != nil {
		kept.use.requests.Add(1) // it cannot end meanwhile, because Keep is counted in too
		return kept
	}
	return h.gateway.enter()
}

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
	kept    atomic.Pointer[Snapshot] // instead of the current one
}

// ServeHTTP serves a request by the snapshot of this moment.
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

// Snapshot is what requests are served by now, nil before the first Swap.
func (h *Handler) Snapshot() *Snapshot {
	if kept := h.kept.Load(); kept != nil {
		return kept
	}
	return h.gateway.Current()
}

// Keep makes the handler go on with the current snapshot when another one takes
// its place. It is for a socket that the next one does not have: what is on its
// way there is served as it was meant. Call release when no request can begin any more.
func (h *Handler) Keep() (release func()) {
	s := h.gateway.enter()
	if s == nil {
		return func() {}
	}
	h.kept.Store(s)
	return s.use.leave
}

// enter gives the snapshot for a request and counts the caller in, which must leave it.
func (h *Handler) enter() *Snapshot {
	if kept := h.kept.Load(); kept != nil {
		kept.use.requests.Add(1) // it cannot end, for Keep is counted in too
		return kept
	}
	return h.gateway.enter()
}

package snapshot

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// Options are what a Gateway is made of beside its snapshots.
type Options struct {
	Log *slog.Logger
	// Exhausted tells that memory is short, so that new requests get 503; nil: never.
	Exhausted func() bool
	// Peer gives the other end of the connection that ctx belongs to.
	Peer func(ctx context.Context) netip.AddrPort
	// Server gives what serves the connection that ctx belongs to; nil: unknown.
	Server func(ctx context.Context) exchange.Server
	// Terms gives the terms (see secure.Terms) that the connection of ctx was made
	// under; nil: none, so that nobody reaches a listener that asks something of clients.
	Terms func(ctx context.Context) string
	// Unmatched counts the requests that no route matched; nil: they are not counted.
	Unmatched *telemetry.Route
	// Visited is told each request that has ended, on its own goroutine, and keeps
	// nothing of it; it may be nil.
	Visited func(*http.Request, *exchange.Exchange, exchange.Outcome)
}

// Gateway serves the current snapshot. All methods may be called concurrently.
type Gateway struct {
	options Options
	current atomic.Pointer[Snapshot]
	under   use // by all requests that are under way, of whatever snapshot
}

// NewGateway makes a gateway that answers 503 until the first Swap.
func NewGateway(o Options) *Gateway { return &Gateway{options: o} }

// Swap makes s the snapshot of every request from now on and returns the one
// before, nil at first. Requests under way keep the one they began with; see Unused.
func (g *Gateway) Swap(s *Snapshot) *Snapshot {
	s.use = &use{}
	before := g.current.Swap(s)
	if before != nil {
		before.use.retire()
	}
	return before
}

// Current gives the snapshot that serves now, nil before the first.
func (g *Gateway) Current() *Snapshot { return g.current.Load() }

// InFlight is the number of requests under way.
func (g *Gateway) InFlight() int64 { return g.under.requests.Load() }

// Quiet gives a channel that is closed once no request is under way, those whose connections have
// gone already included. Call it when none can begin any more.
func (g *Gateway) Quiet() <-chan struct{} {
	g.under.retire()
	return g.under.channel()
}

// Handler makes what serves the requests that arrive on one socket: the name of
// one, or what Snapshot.Sockets translates to a name.
func (g *Gateway) Handler(socket string) *Handler { return &Handler{gateway: g, socket: socket} }

// Refuse answers a request that was refused before it could be read as one:
// malformed, too large or too slow.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	v := &visit{Exchange: exchange.Exchange{ID: newID(), Start: time.Now(), Client: exchange.Client{Peer: g.options.Peer(r.Context())}}}
	v.Client.IP = v.Client.Peer.Addr()
	v.Server = g.server(r)
	if s := g.Current(); s != nil {
		v.log = s.AccessLog
	}
	v.begin(g, w, r)
	v.writer.Fail(f)
	v.end(nil)
}

func (g *Gateway) serve(h *Handler, w http.ResponseWriter, r *http.Request) {
	s := h.enter()
	if s == nil {
		exchange.Refuse(w, r, fault.ShuttingDown.New("The gateway has no configuration yet.", fault.RetryAfter(time.Second)))
		return
	}
	use := s.use // not s itself, which a long stream would hold
	defer use.leave()
	v := &visit{log: s.AccessLog, tracer: s.Tracer}
	s.open(&v.Exchange, r, g.options.Peer(r.Context()))
	v.Server, v.Entrance = g.server(r), h
	v.begin(g, w, r)
	g.pass(h, s, v, nil)
}

// pass takes a request whose exchange has begun to its route, of those of a group
// where within is not nil. Its stack is kept while the request is answered, so
// that what ends before that is another method's.
func (g *Gateway) pass(h *Handler, s *Snapshot, v *visit, within *exchange.Within) {
	n := g.under.requests.Add(1)
	defer g.under.leave()
	v.tracer.Begin(v.request, &v.Exchange)
	defer func() { v.finish(recover()) }()
	target := g.lead(h, s, v, n, within)
	if target == nil {
		return
	}
	v.meter = target.Meter
	v.meter.Begin()
	defer v.meter.End()
	target.Handler.ServeHTTP(v.writer, v.request)
}

// lead gives the route of a request, the nth of those under way. Where there is none for it, it is answered.
func (g *Gateway) lead(h *Handler, s *Snapshot, v *visit, n int64, within *exchange.Within) *Route {
	r := v.request
	if f := g.full(s, n); f != nil && (s.Vital == "" || s.Socket(h.socket) != s.Vital) {
		v.writer.Fail(f)
		return nil
	}
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		v.writer.WriteHeader(http.StatusNoContent) // about the server as a whole (RFC 9110 section 9.3.7): it is here
		return nil
	}
	target, f := s.find(s.Socket(h.socket), r, &v.Exchange, g.bound(r), within)
	if f != nil {
		v.writer.Fail(f)
		return nil
	}
	return target
}

func (g *Gateway) server(r *http.Request) exchange.Server {
	if g.options.Server == nil {
		return nil
	}
	return g.options.Server(r.Context())
}

// bound tells what the connection of r is bound to.
func (g *Gateway) bound(r *http.Request) bound {
	if r.TLS == nil {
		return bound{made: true}
	}
	b := bound{made: true, tls: true, serverName: strings.ToLower(r.TLS.ServerName)}
	if g.options.Terms != nil {
		b.terms = g.options.Terms(r.Context())
	}
	return b
}

func (g *Gateway) full(s *Snapshot, inFlight int64) *fault.Fault {
	switch {
	case s.InFlight > 0 && inFlight > int64(s.InFlight):
		return fault.Overloaded.New("Try again in a moment.", fault.RetryAfter(time.Second), fault.Internal("limits.requests is %d", s.InFlight))
	case g.options.Exhausted != nil && g.options.Exhausted():
		return fault.MemoryPressure.New("Try again in a moment.", fault.RetryAfter(time.Second))
	}
	return nil
}

// find is the way from a request to its route, the same for serving and for
// explain. It completes the exchange. on is the connection that r came on, the
// zero value for one that would fit. Where within is not nil there are only the
// routes of its group.
func (s *Snapshot) find(socket string, r *http.Request, x *exchange.Exchange, on bound, within *exchange.Within) (*Route, *fault.Fault) {
	target, f := s.lead(socket, r, x, on)
	if f == nil && within != nil && target.Group != within.Group {
		f = fault.RouteNotFound.New("", fault.Internal("%s is of another group than the batch", x.Route))
		x.Route, x.Origin = "", nil // it is not there for this request
		return nil, f
	}
	return target, f
}

// lead is the way to a route of any group.
func (s *Snapshot) lead(socket string, r *http.Request, x *exchange.Exchange, on bound) (*Route, *fault.Fault) {
	if f := s.normalize(r, x); f != nil {
		return nil, f
	}
	l := s.listener(socket, x.Host)
	if l == nil {
		return nil, fault.RouteNotFound.New("No listener serves this host.", fault.Internal("socket %s, host %q", socket, x.Host))
	}
	x.Listener = l.Name
	if f := s.misdirected(l, on); f != nil {
		return nil, f
	}
	if l.Table.ReadsQuery() {
		if err := httpx.CheckQuery(x.Query); err != nil {
			return nil, fault.From(err)
		}
	}
	target, ok := l.match(r, x)
	if !ok {
		return nil, l.miss(r, x, s.Verbose)
	}
	x.Route, x.Origin = target.Name, &target.Origin
	if f := target.admits(x); f != nil {
		return nil, f
	}
	if f := l.overridden(r, x, target); f != nil {
		return nil, f
	}
	return target, nil
}

// normalize fills in host, path and query, once for everyone after it.
func (s *Snapshot) normalize(r *http.Request, x *exchange.Exchange) *fault.Fault {
	host, err := httpx.NormalizeHost(r.Host)
	if err != nil {
		return fault.From(err)
	}
	x.Host = host
	raw, query := target(r)
	path, err := httpx.NormalizePath(raw)
	if err != nil {
		return fault.From(err)
	}
	x.Path, x.Query, x.EncodedSlash = path.Text, query, path.EncodedSlash
	return nil
}

// target gives path and query as they came. Servers keep them in RequestURI;
// requests made by hand (explain, tests) have only a URL.
func target(r *http.Request) (path, query string) {
	if r.RequestURI == "" || r.RequestURI[0] != '/' {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	path, query, _ = strings.Cut(r.RequestURI, "?")
	return path, query
}

// match finds the route. A CORS preflight belongs to the route of the method
// that it asks for, where that route answers preflights at all.
func (l *Listener) match(r *http.Request, x *exchange.Exchange) (*Route, bool) {
	q := route.Query{Method: r.Method, Host: x.Host, Path: x.Path, Request: r}
	if asked := preflightMethod(r); asked != "" {
		q.Method = asked
		if target, ok := l.Table.Match(&q, &x.Params); ok && target.CORS {
			return target, true
		}
		q.Method = r.Method
		x.Params.Truncate(0)
	}
	return l.Table.Match(&q, &x.Params)
}

// preflightMethod is the method a CORS preflight asks for (Fetch standard,
// "CORS-preflight fetch"), "" for any other request.
func preflightMethod(r *http.Request) string {
	if r.Method != http.MethodOptions {
		return ""
	}
	head := exchange.RequestHead(r)
	if head.Get("Origin") == "" {
		return ""
	}
	return head.Get("Access-Control-Request-Method")
}

// miss tells a wrong method (405 where the sources of the path's routes want
// it) from a path that nobody has.
func (l *Listener) miss(r *http.Request, x *exchange.Exchange, verbose bool) *fault.Fault {
	q := route.Query{Method: r.Method, Host: x.Host, Path: x.Path, Request: r}
	if methods := l.Table.Methods(&q); len(methods) > 0 && l.WrongMethod == http.StatusMethodNotAllowed {
		allow := strings.Join(methods, ", ")
		return fault.MethodNotAllowed.New("Allowed here: "+allow+".", fault.WithField("Allow", allow))
	}
	if !verbose { // what stands behind the gateway is no stranger's business (decision 0004)
		return fault.RouteNotFound.New("")
	}
	return fault.RouteNotFound.New(strings.TrimSpace("No route matches " + r.Method + " " + x.Path + ". " + l.Table.Nearest(&q).Closest()))
}

// admits applies what a route must opt in to.
func (t *Route) admits(x *exchange.Exchange) *fault.Fault {
	if x.EncodedSlash && !t.EncodedSlash {
		return fault.AmbiguousPath.New("An encoded slash (%2F) or backslash (%5C), or a semicolon, is not accepted on this path.")
	}
	return nil
}

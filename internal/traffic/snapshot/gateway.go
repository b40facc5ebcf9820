package snapshot

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
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
	x := &exchange.Exchange{ID: newID(), Start: time.Now(), Client: exchange.Client{Peer: g.options.Peer(r.Context())}}
	x.Client.IP = x.Client.Peer.Addr()
	x.Server = g.server(r)
	ew, r := exchange.Begin(w, r, x)
	ew.Fail(f)
	v := visit{writer: ew, request: r, exchange: x, meter: g.options.Unmatched, visited: g.options.Visited}
	if s := g.Current(); s != nil {
		v.log = s.AccessLog
	}
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
	x := s.open(r, g.options.Peer(r.Context()))
	x.Server, x.Entrance = g.server(r), h
	g.pass(h, s, w, r, x, nil)
}

// pass takes a request whose exchange has begun to its route, of those of a group
// where within is not nil.
func (g *Gateway) pass(h *Handler, s *Snapshot, w http.ResponseWriter, r *http.Request, x *exchange.Exchange, within *exchange.Within) {
	ew, r := exchange.Begin(w, r, x)
	n := g.under.requests.Add(1)
	defer g.under.leave()
	v := visit{writer: ew, request: r, exchange: x, meter: g.options.Unmatched, log: s.AccessLog, tracer: s.Tracer, visited: g.options.Visited}
	v.tracer.Begin(r, x)
	defer func() { g.finish(recover(), &v) }()
	if f := g.full(s, n); f != nil && (s.Vital == "" || s.Socket(h.socket) != s.Vital) {
		ew.Fail(f)
		return
	}
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		ew.WriteHeader(http.StatusNoContent) // about the server as a whole (RFC 9110 section 9.3.7): it is here
		return
	}
	target, f := s.find(s.Socket(h.socket), r, x, g.bound(r), within)
	if f != nil {
		ew.Fail(f)
		return
	}
	v.meter = target.Meter
	v.meter.Begin()
	defer v.meter.End()
	target.Handler.ServeHTTP(ew, r)
}

// visit is a request with who counts and logs it when it has ended. It is a value
// of its own, and no done hook, so that this costs no memory.
type visit struct {
	writer   *exchange.Writer
	request  *http.Request
	exchange *exchange.Exchange
	meter    *telemetry.Route
	log      *accesslog.Log
	tracer   *tracing.Tracer
	visited  func(*http.Request, *exchange.Exchange, exchange.Outcome) // may be nil
}

// end ends the exchange; abort is as in exchange.Writer.Finish.
func (v *visit) end(abort error) {
	outcome := v.writer.Finish(abort)
	v.meter.Count(v.request.Method, v.exchange, outcome)
	v.tracer.End(v.request, v.exchange, outcome)
	v.log.Write(v.request, v.writer.Head(), v.exchange, outcome)
	if v.visited != nil {
		v.visited(v.request, v.exchange, outcome)
	}
}

// finish ends the exchange, also after a panic: a handler's own abort goes on
// to the server, and a bug is a 500 with its stack in the log.
func (g *Gateway) finish(cause any, v *visit) {
	switch cause {
	case nil:
		v.end(nil)
		return
	case http.ErrAbortHandler: // the very value, as net/http compares it
		v.end(http.ErrAbortHandler)
		panic(http.ErrAbortHandler)
	}
	x := v.exchange
	g.options.Log.Error("panic in a handler", "request_id", x.ID, "route", x.Route, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	err := fault.Unexpected.New("", fault.Internal("panic: %v", cause))
	defer v.end(err)
	v.writer.Fail(err) // panics with http.ErrAbortHandler where the head is out
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

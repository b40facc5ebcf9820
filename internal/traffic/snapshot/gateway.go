package snapshot

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// Options are the parts of a Gateway other than its snapshots.
type Options struct {
	Log *slog.Logger
	// Exhausted reports whether memory is short, so that new requests get 503; nil: never.
	Exhausted func() bool
	// Connection returns the connection that ctx belongs to, or an unknown one if there is none.
	Connection func(ctx context.Context) *exchange.Connection
	// Terms returns the terms (see secure.Terms) under which the connection of ctx was made; nil: no terms, so that no
	// client reaches a listener that asks something of clients.
	Terms func(ctx context.Context) string
	// Unmatched counts the requests that no route matched; nil: they are not counted.
	Unmatched *telemetry.Route
	// Visited is called for each request that has ended, on the request's goroutine, and keeps nothing of it; it may be
	// nil.
	Visited func(*http.Request, *exchange.Exchange, exchange.Outcome)
}

// Gateway serves the current snapshot. All methods may be called concurrently.
type Gateway struct {
	options Options
	current atomic.Pointer[Snapshot]
	under   use // counts all requests under way, of whatever snapshot
}

// NewGateway makes a gateway that answers 503 until the first Swap.
func NewGateway(o Options) *Gateway { return &Gateway{options: o} }

// Swap makes s the snapshot of every request from now on, and returns the one before, which is nil the first time.
// Requests under way keep the snapshot they began with; see Unused.
func (g *Gateway) Swap(s *Snapshot) *Snapshot {
	s.use = &use{gateway: g, log: s.AccessLog, tracer: s.Tracer}
	before := g.current.Swap(s)
	if before != nil {
		before.use.retire()
	}
	return before
}

// Current returns the snapshot that serves now, or nil before the first Swap.
func (g *Gateway) Current() *Snapshot { return g.current.Load() }

// InFlight returns the number of requests under way.
func (g *Gateway) InFlight() int64 { return g.under.requests.Load() }

// Quiet returns a channel that is closed once no request is under way. Requests whose connections are already gone
// count too. Call it when no request can begin any more.
func (g *Gateway) Quiet() <-chan struct{} {
	g.under.retire()
	return g.under.channel()
}

// Handler returns the handler for the requests that arrive on one socket. The argument is the name of a socket, or what
// Snapshot.Sockets translates to a name.
func (g *Gateway) Handler(socket string) *Handler { return &Handler{gateway: g, socket: socket} }

// Refuse answers a request that was refused before it could be read as a request: it was malformed, too large or too
// slow.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	v := visit{Exchange: exchange.New(r), use: &use{gateway: g}} // it belongs to no snapshot
	v.Start = time.Now()
	on := g.options.Connection(r.Context())
	v.Connection, v.Server, v.Client.Peer = on, on.Server, on.Peer
	v.Client.IP = v.Client.Peer.Addr()
	if s := g.Current(); s != nil {
		v.use.log = s.AccessLog
	}
	v.begin(w, r)
	v.writer.Fail(f)
	v.end(nil)
}

func unready(w http.ResponseWriter, r *http.Request) {
	exchange.Refuse(w, r, fault.ShuttingDown.New("The gateway has no configuration yet.", fault.RetryAfter(time.Second)))
}

// pass takes a request whose exchange has begun to its route. If within is not nil, only routes of its group count. The
// stack of this method is kept while the request is answered, so work that ends before that is in other methods.
func (g *Gateway) pass(h *Handler, s *Snapshot, v *visit, within *exchange.Within) {
	defer v.finish()
	if v.use.tracer != nil {
		v.use.tracer.Begin(v.request, v.Exchange)
	}
	target := g.lead(h, s, v, within)
	if target == nil {
		return
	}
	if v.isAlone(target) {
		v.Alone()
	}
	v.meter, v.counted = target.Meter, target.Meter
	v.counted.Begin()
	target.Handler.ServeHTTP(v.writer, v.request)
}

// lead returns the route of a request. If there is none, it answers the request and returns nil.
func (g *Gateway) lead(h *Handler, s *Snapshot, v *visit, within *exchange.Within) *Route {
	r, socket := v.request, s.Socket(h.socket)
	if g.full(s, v.nth) && (s.Vital == "" || socket != s.Vital) {
		v.writer.Fail(g.fullness(s, v.nth))
		return nil
	}
	if r.Method == http.MethodOptions && r.RequestURI == "*" {
		v.writer.WriteHeader(http.StatusNoContent) // about the server as a whole (RFC 9110 section 9.3.7): it is here
		return nil
	}
	target, f := s.find(socket, r, v.Exchange, g, within)
	if f != nil {
		v.writer.Fail(f)
		return nil
	}
	return target
}

// bound returns what the connection of r is bound to.
func (g *Gateway) bound(r *http.Request) bound {
	if r.TLS == nil {
		return bound{}
	}
	b := bound{tls: true, serverName: strings.ToLower(r.TLS.ServerName)}
	if g.options.Terms != nil {
		b.terms = g.options.Terms(r.Context())
	}
	return b
}

// full reports whether there is no place for the nth request under way.
func (g *Gateway) full(s *Snapshot, n int64) bool {
	return s.InFlight > 0 && n > int64(s.InFlight) || g.options.Exhausted != nil && g.options.Exhausted()
}

// fullness returns the fault that says which resource is exhausted.
func (g *Gateway) fullness(s *Snapshot, n int64) *fault.Fault {
	if s.InFlight > 0 && n > int64(s.InFlight) {
		return fault.Overloaded.New("Try again in a moment.", fault.RetryAfter(time.Second), fault.Internal("limits.requests is %d", s.InFlight))
	}
	return fault.MemoryPressure.New("Try again in a moment.", fault.RetryAfter(time.Second))
}

// find leads from a request to its route; serving and explain both use it. It completes the exchange. by knows the
// connection that r came on; if it is nil, the connection is taken to fit. If within is not nil, only the routes of its
// group exist.
func (s *Snapshot) find(socket string, r *http.Request, x *exchange.Exchange, by *Gateway, within *exchange.Within) (*Route, *fault.Fault) {
	if f := s.normalize(r, x); f != nil {
		return nil, f
	}
	l := s.listener(socket, x.Host)
	if l == nil {
		return nil, fault.RouteNotFound.New("No listener serves this host.", fault.Internal("socket %s, host %q", socket, x.Host))
	}
	x.Listener = l.Name
	if l.Policy != nil && by != nil {
		if f := s.misdirected(l, by.bound(r)); f != nil {
			return nil, f
		}
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
	if x.EncodedSlash && !target.EncodedSlash {
		return nil, ambiguous()
	}
	if f := l.overridden(r, x, target); f != nil {
		return nil, f
	}
	if within != nil && target.Group != within.Group {
		return nil, foreign(x)
	}
	return target, nil
}

// foreign returns the fault for a route of x that belongs to another group than the batch: for this request the route
// does not exist.
func foreign(x *exchange.Exchange) *fault.Fault {
	f := fault.RouteNotFound.New("", fault.Internal("%s is of another group than the batch", x.Route))
	x.Route, x.Origin = "", nil
	return f
}

// normalize fills in host, path and query, once for all later readers.
func (s *Snapshot) normalize(r *http.Request, x *exchange.Exchange) *fault.Fault {
	host, err := httpx.NormalizeHost(r.Host)
	if err != nil {
		return fault.From(err)
	}
	x.Host = host
	path, query, err := normalTarget(r)
	if err != nil {
		return fault.From(err)
	}
	x.Path, x.Query, x.EncodedSlash = path.Text, query, path.EncodedSlash
	return nil
}

// normalTarget returns path and query. Servers keep them as received in RequestURI; requests built by hand (explain,
// tests) have only a URL.
func normalTarget(r *http.Request) (httpx.Path, string, error) {
	if r.RequestURI != "" && r.RequestURI[0] == '/' {
		return httpx.NormalizeTarget(r.RequestURI)
	}
	path, err := httpx.NormalizePath(r.URL.EscapedPath())
	return path, r.URL.RawQuery, err
}

// match finds the route. A CORS preflight belongs to the route of the method that it asks for, if that route answers
// preflights.
func (l *Listener) match(r *http.Request, x *exchange.Exchange) (*Route, bool) {
	q := route.Query{Method: r.Method, Host: x.Host, Path: x.Path, Request: r}
	if r.Method != http.MethodOptions {
		return l.Table.Match(&q, &x.Params)
	}
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

// preflightMethod returns the method that a CORS preflight asks for (Fetch standard, "CORS-preflight fetch"), or "" for
// any other request.
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

// miss returns 405 for a wrong method if the sources of the path's routes want that, and otherwise a fault that says
// that no route matches.
func (l *Listener) miss(r *http.Request, x *exchange.Exchange, verbose bool) *fault.Fault {
	q := route.Query{Method: r.Method, Host: x.Host, Path: x.Path, Request: r}
	if methods := l.Table.Methods(&q); len(methods) > 0 && l.WrongMethod == http.StatusMethodNotAllowed {
		allow := strings.Join(methods, ", ")
		return fault.MethodNotAllowed.New("Allowed here: "+allow+".", fault.WithField("Allow", allow))
	}
	if !verbose { // what stands behind the gateway is not for strangers to know (decision 0004)
		return fault.RouteNotFound.New("")
	}
	return fault.RouteNotFound.New(strings.TrimSpace("No route matches " + r.Method + " " + x.Path + ". " + l.Table.Nearest(&q).Closest()))
}

// ambiguous is the fault for a path that a route must opt in to.
func ambiguous() *fault.Fault {
	return fault.AmbiguousPath.New("An encoded slash (%2F) or backslash (%5C), or a semicolon, is not accepted on this path.")
}

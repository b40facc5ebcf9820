// Package snapshot is the gateway while it runs: an immutable Snapshot of everything that serves, the Gateway that
// swaps it through one atomic pointer and hands each request to its route, and Explain, which uses the same code to
// show what would happen to a request.
package snapshot

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/variant"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// NoBackend is the name of a route's only backend if a filter answers instead.
const NoBackend = "none"

// Snapshot is everything that serves. It is immutable except for the count of the requests that use it, and must not be
// copied. A request holds the snapshot only until its route is found: something that lives long holds its route and the
// count instead.
type Snapshot struct {
	Digest  string // of the config that it was compiled from
	Trusted []netip.Prefix
	// Managed holds the folded names of header fields that only the gateway may set (see forward.Folds). On every
	// route, such fields sent by clients are dropped.
	Managed []string
	// PublicKeys holds the JWKs that the gateway's own tokens are checked with.
	PublicKeys []json.RawMessage
	// Verbose tells clients more about a problem than its code: the near misses of a 404 and the text for operators.
	// For development.
	Verbose bool
	// InFlight bounds the requests at once; further ones get 503. 0: no bound.
	InFlight  int
	Listeners []*Listener
	// Vital is the name of a socket whose requests, such as heartbeats, are not held back under high load: they cost
	// little, and what they keep alive is needed most then. "": none.
	Vital string
	// BatchBytes is the largest body that a batch may have on any route; 0: there are no batches.
	BatchBytes int64
	// Functions lists the functions of the config, in its order; empty in a snapshot that is only explained.
	Functions []FunctionNote
	// Services lists the services that are called, in the order of their names; empty in a snapshot that is only
	// explained.
	Services []ServiceNote
	// AccessLog gets each request that has ended; nil: there is no access log.
	AccessLog *accesslog.Log
	// Tracer makes the spans of requests; nil: there are none.
	Tracer *tracing.Tracer
	// Scrape is who may read the metrics.
	Scrape Scrape
	// Heard holds what is heard from outside sources, in the order of their names; each function returns the current
	// state.
	Heard []func() telemetry.Heard
	// Lanes send the requests that routes have accepted to send later, by the names of the routes.
	Lanes map[string]*filter.Later
	// Ways tell functions about the WebSockets of routes, by the names of the routes.
	Ways map[string]sockets.Way
	// Events invoke functions for the events that the Lambda API has accepted to process later, by the names of the
	// functions.
	Events map[string]queue.Lane
	// Sockets maps the argument of Gateway.Handler to the name of a socket, if that is not the name itself.
	Sockets map[string]string

	use *use // set by Gateway.Swap
}

// Scrape is who may read the metrics, beside those who may read everything in the admin API.
type Scrape struct {
	Open  bool         // everybody may
	Token secret.Value // whoever knows it may; empty: nobody
}

// Listener is a logical listener with the routes that are attached to it.
type Listener struct {
	Name     string
	Socket   string // the name of the socket it shares
	Hostname string // "" any, "shop.dev", "*.shop.dev"
	TLS      bool
	// Policy is how TLS ends here; nil without TLS, and in a snapshot that is only explained.
	Policy *secure.Policy
	Origin config.Origin
	Table  *route.Table[*Route]
	// WrongMethod is the answer for a path that exists with other methods only: 405 (files) or 404 (Gateway API).
	WrongMethod int
}

// Route is one compiled route.
type Route struct {
	Name   string
	Group  string
	Origin config.Origin
	// Handler is the whole chain: guards, proxy, adapters, backend.
	Handler http.Handler
	// Meter counts the requests; nil: they are not counted.
	Meter        *telemetry.Route
	EncodedSlash bool // see config.Route
	CORS         bool // it has a guard that answers preflights
	Alone        bool // no filter on it keeps any part of an exchange; see exchange.Exchange.Alone

	// Later is how the route sends the requests that it accepts to send later; nil if it answers itself. Jobs then
	// answers queries about what became of them.
	Later *filter.Later
	Jobs  *Route
	// Way is how the route tells functions about WebSockets; nil if none end here.
	Way sockets.Way

	// Parts returns the requests that a batch to this route consists of; nil if the route takes no batches; see
	// filter.Policy. It reads at most PartsBytes.
	Parts      func(r *http.Request) ([]filter.Part, error)
	PartsBytes int64

	// What explain reports about the chain; Choice picks without calling.
	Filters   []FilterNote // in order, outermost first
	Backends  []BackendNote
	Choice    *variant.Choice
	Forwarded *ForwardedNote // nil: nothing is withheld from backends, or there are none
}

// ForwardedNote is which fields about the client a route lets its backends get.
type ForwardedNote struct {
	Fields []string
	Origin config.Origin
}

// FunctionNote is a function that runs.
type FunctionNote struct {
	Name   string // after its group's name and a slash, if it has a group
	Status func() function.Status
}

// ServiceNote is a service that runs, or a URL that routes name.
type ServiceNote struct {
	Name   string // after its group's name and a slash, if it has a group
	Source string // where its endpoints are found; "": the config names them
	Status func() service.Status
	// Heard returns how current the endpoints are; nil if the config names them.
	Heard func() *telemetry.Heard
}

// FilterNote is a filter as explain shows it.
type FilterNote struct {
	Name   string
	Note   string
	On     string // "route" or the backend that it belongs to
	Origin config.Origin
	// Ask is the filter's Ask (see filter.Policy); nil if it lets everything pass.
	Ask func(r *http.Request) filter.Verdict
}

// BackendNote is a backend as explain shows it.
type BackendNote struct {
	Name   string // the reference as it was written
	Weight int
	When   string // the condition's source; "" if there is none
	Origin config.Origin
	// Endpoints returns the endpoints that would be asked now; nil if the backend has none, or Status reports them.
	Endpoints func() []string
	// Status returns how a running service stands; nil if the backend is not a running service.
	Status func() service.Status
	// Balance describes how an endpoint is chosen; "" if there is nothing to choose.
	Balance string
	// Kept returns when the endpoints were last confirmed if that was before the start, and zero otherwise; nil if
	// nothing is kept of them.
	Kept func() time.Time
	// State returns lines that describe how a function is doing now; nil if the backend is not a running function.
	State func() []string
	// Rehearse builds the chain from the proxy to this backend with another end, so that explain can see what the
	// backend would get. It is nil if an adapter in the chain does more than change what passes. adds is called with a
	// description of what the chain adds that is not visible in the request that arrives at the end.
	Rehearse func(end http.RoundTripper, adds func(...string)) http.Handler
	// Steps lists the steps of a composition; nil if the backend is not a composition.
	Steps []StepNote
}

// StepNote is a step of a composition as explain shows it.
type StepNote struct {
	Level  int // from 0; steps of one level do not wait for one another
	Name   string
	Call   string   // method, backend and path as they were written
	After  []string // the steps that it waits for
	Notes  []string // how it differs from a plain call
	Origin config.Origin
}

// Socket returns the name of the socket that a handler was made for.
func (s *Snapshot) Socket(handler string) string {
	if len(s.Sockets) > 0 {
		if name, ok := s.Sockets[handler]; ok {
			return name
		}
	}
	return handler
}

// listener chooses the logical listener of a socket by host. The most specific hostname wins, and there is no fallback
// from it to a less specific one (Gateway API, listener isolation). It returns nil if no listener serves the host.
func (s *Snapshot) listener(socket, host string) *Listener {
	var best *Listener
	most := 0
	for _, l := range s.Listeners {
		switch {
		case l.Socket != socket:
			continue
		case l.Hostname == "": // it matches any host, and is the least specific
			if best == nil {
				best, most = l, 1
			}
			continue
		}
		if fit := httpx.HostnameFit(l.Hostname, host); fit > most {
			best, most = l, fit
		}
	}
	return best
}

// Package snapshot is the gateway while it runs: an immutable Snapshot of
// everything that serves, the Gateway that swaps it by one atomic pointer and
// hands each request to its route, and Explain, which tells what would happen
// by the same code.
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

// NoBackend is the name of a route's only backend where a filter answers instead.
const NoBackend = "none"

// Snapshot is everything that serves. It is immutable but for the count of the
// requests that use it, and must not be copied. A request holds it only until its
// route is found: what lives long holds its route, and the count.
type Snapshot struct {
	Digest  string // of the config that it was compiled from
	Trusted []netip.Prefix
	// Managed are folded names of fields that only the gateway may set (see
	// forward.Folds): on every route, clients' own are dropped.
	Managed []string
	// PublicKeys are the JWKs that the gateway's own tokens are checked with.
	PublicKeys []json.RawMessage
	// Verbose tells clients more of a problem than its code: near misses of a
	// 404 and the text for operators. For development.
	Verbose bool
	// InFlight bounds the requests at once; more get 503. 0 is no bound.
	InFlight  int
	Listeners []*Listener
	// Vital is the name of a socket whose requests are not held back when much is going on, as
	// heartbeats are: they cost little, and what they keep going is needed most then. "": none.
	Vital string
	// BatchBytes is the most that the body of a batch may have on any route; 0: there are no batches.
	BatchBytes int64
	// Functions are those of the config, in its order; none where it is only explained.
	Functions []FunctionNote
	// Services are those that are called, in the order of their names; as Functions.
	Services []ServiceNote
	// AccessLog is told each request that has ended; nil: nobody is.
	AccessLog *accesslog.Log
	// Tracer makes the spans of requests; nil: there are none.
	Tracer *tracing.Tracer
	// Scrape is who may read the metrics.
	Scrape Scrape
	// Heard are what sources outside tell, in the order of their names; each is asked how
	// things stand now.
	Heard []func() telemetry.Heard
	// Lanes send what the routes of these names have taken to send later.
	Lanes map[string]*filter.Later
	// Ways tell functions of the WebSockets of the routes of these names.
	Ways map[string]sockets.Way
	// Events invoke the functions of these names for what the Lambda API has taken to do later.
	Events map[string]queue.Lane
	// Sockets are the names of sockets by what Gateway.Handler was called with,
	// where that is not the name itself.
	Sockets map[string]string

	use *use // from Gateway.Swap on
}

// Scrape is who may read the metrics, beside those who may read everything of the
// admin API.
type Scrape struct {
	Open  bool         // everybody
	Token secret.Value // who knows it; empty: nobody
}

// Listener is a logical listener with the routes that are attached to it.
type Listener struct {
	Name     string
	Socket   string // the name of the socket it shares
	Hostname string // "" any, "shop.dev", "*.shop.dev"
	TLS      bool
	// Policy is how TLS ends here; nil where there is none, and in a snapshot that
	// is only explained.
	Policy *secure.Policy
	Origin config.Origin
	Table  *route.Table[*Route]
	// WrongMethod is what a path gets that exists with other methods only: 405
	// (files) or 404 (Gateway API).
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
	CORS         bool // has a guard that answers preflights
	Alone        bool // no filter on it keeps anything of an exchange; see exchange.Exchange.Alone

	// Later is how the route sends what it takes to send later, nil where it answers itself;
	// Jobs answers then who asks what became of it.
	Later *filter.Later
	Jobs  *Route
	// Way is how the route tells functions of WebSockets, nil where none end here.
	Way sockets.Way

	// Parts gives the requests that one to this route is made of, nil where it is answered otherwise; see filter.Policy.
	// It reads at most PartsBytes.
	Parts      func(r *http.Request) ([]filter.Part, error)
	PartsBytes int64

	// What explain tells of the chain; Choice picks without calling.
	Filters  []FilterNote // in order, outermost first
	Backends []BackendNote
	Choice   *variant.Choice
}

// FunctionNote is a function that runs.
type FunctionNote struct {
	Name   string // behind its group's and a slash, where it has one
	Status func() function.Status
}

// ServiceNote is a service that runs, or a URL that routes name.
type ServiceNote struct {
	Name   string // behind its group's and a slash, where it has one
	Source string // where its endpoints are found; "" the config names them
	Status func() service.Status
	// Heard tells how things stand with the endpoints, nil where the config names them.
	Heard func() *telemetry.Heard
}

// FilterNote is a filter as explain shows it.
type FilterNote struct {
	Name   string
	Note   string
	On     string // "route" or the backend that it belongs to
	Origin config.Origin
	// Ask is the filter's (see filter.Policy), nil where it lets everything pass.
	Ask func(r *http.Request) filter.Verdict
}

// BackendNote is a backend as explain shows it.
type BackendNote struct {
	Name   string // the reference as it was written
	Weight int
	When   string // the condition's source, "" where there is none
	Origin config.Origin
	// Endpoints tells who would be asked, now; nil where the backend has none, or Status tells it.
	Endpoints func() []string
	// Status tells how a service stands that runs; nil where it is none.
	Status func() service.Status
	// Balance is how one of them is chosen, in words; "" where there is nothing to choose.
	Balance string
	// Kept is when they were confirmed last, where that was before the start, else zero;
	// nil where nothing is kept of them.
	Kept func() time.Time
	// State tells in lines how a function is doing, now; nil where it is none that runs.
	State func() []string
	// Rehearse gives the road from the proxy to this backend with another end, for
	// explain to see what the backend would get. It is nil where an adapter on the
	// road does more than change what passes. adds is told what is added on it that does not
	// show in what comes to the end.
	Rehearse func(end http.RoundTripper, adds func(...string)) http.Handler
	// Steps are those of a composition, nil where it is none.
	Steps []StepNote
}

// StepNote is a step of a composition as explain shows it.
type StepNote struct {
	Level  int // from 0; steps of one level wait for nothing of each other
	Name   string
	Call   string   // method, backend and path as they were written
	After  []string // the steps that it waits for
	Notes  []string // how it departs from a plain call
	Origin config.Origin
}

// Socket gives the name of the socket that a handler was made for.
func (s *Snapshot) Socket(handler string) string {
	if len(s.Sockets) > 0 {
		if name, ok := s.Sockets[handler]; ok {
			return name
		}
	}
	return handler
}

// listener chooses the logical listener of a socket by host: the most specific
// hostname wins, and nothing is fallen back to from there (Gateway API,
// listener isolation). It returns nil where no listener wants the host.
func (s *Snapshot) listener(socket, host string) *Listener {
	var best *Listener
	most := 0
	for _, l := range s.Listeners {
		switch {
		case l.Socket != socket:
			continue
		case l.Hostname == "": // fits, and nothing fits less well
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

// Package service is a backend of living endpoints: an http.RoundTripper that picks an endpoint for each attempt, tries
// again on another endpoint where that is safe, and reports failures as faults.
//
//   - set.go: the endpoints, an immutable list behind one atomic pointer. What is known of an endpoint (state.go) is
//     kept by identity from one list to the next.
//   - tier.go: which endpoints may be asked, given what sources and checks say and how requests ended; change.go: when
//     that is recomputed, and who is told.
//   - outlier.go: when an endpoint is ejected for its failures, and how it is taken back.
//   - hold.go: how a request waits while no endpoint may be asked.
//   - pick.go: which of the endpoints that may be asked gets the request; the ways to choose are in package balance.
//   - try.go: a request and its attempts; attempt.go: one attempt: its timeout, its end, its place among the requests
//     in flight; judge.go: its outcome.
//   - breaker.go: when the service as a whole is asked nothing; budget.go: how many further tries it gets.
//   - retry.go: whether another attempt may be made.
//   - replay.go: the request's body, of which as much is held as a retry may need again.
package service

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// retryAfterEmpty is the Retry-After sent to a client of a service without endpoints.
const retryAfterEmpty = time.Second

// Options make a Service.
type Options struct {
	Name string // for the exchange's Backend, logs and faults
	// Transport sends a request to the endpoint that its URL names in the form returned by transport.Host. If a
	// response body has the method OnEnd(exchange.Ending) of package transport, the service calls it instead of
	// wrapping the body. The body of a 101 response must have that method to be counted as in flight.
	Transport http.RoundTripper
	// Retry and Timeouts apply to the service's own RoundTrip; each View has its own. Of the timeouts the service uses
	// only Head: for each attempt, the time from the end of sending the request to the head of the response; 0: no
	// bound.
	Retry    config.Retry
	Timeouts config.Timeouts
	Balance  Balance // see Tune
	// Selection holds the rules by which endpoints may be asked; see Select.
	Selection Selection
	Meter     *telemetry.Backend // counts attempts; nil: attempts are not counted
	Log       *slog.Logger       // nil: slog.Default
}

// Balance is how a service chooses among its endpoints.
type Balance struct {
	balance.Settings

	Zone string // the gateway's own, whose endpoints are preferred; "": no preference
	Node string // the gateway's machine, by the name that sources use for it; "": unknown
	// Key returns the key by which balance.Hash chooses an endpoint; with an error or "" the request has no key.
	Key     func(*http.Request) (string, error)
	Cookie  *Cookie         // with Settings.Sticky
	Budget  *config.Budget  // nil: config.DefaultBudget
	Breaker *config.Breaker // nil: none
}

// Service is safe for concurrent use. The zero value is not usable; see New.
type Service struct {
	name      string
	transport http.RoundTripper
	meter     *telemetry.Backend
	log       *slog.Logger
	start     time.Time
	pool      *balance.Pool
	set       atomic.Pointer[set]
	balance   atomic.Pointer[Balance]
	selection atomic.Pointer[Selection]
	waiting   atomic.Int64 // requests that wait because no endpoint may be asked
	budget    budget
	spent     atomic.Int64 // when the log last said that the budget is spent
	breaker   breaker
	own       view
	warned    atomic.Int64 // when warnRefused last logged, in nanoseconds of the Unix time

	setting sync.Mutex // serialises changes, and guards the fields below
	turn    uint64     // the number of the set
	changes changes
	waited  bool // requests have waited for a better endpoint for as long as they may
	closed  bool
}

// New makes a service without endpoints: until Set is called it answers
// fault.NoEndpoint.
func New(o Options) *Service {
	s := &Service{name: o.Name, transport: o.Transport, meter: o.Meter, log: o.Log, start: time.Now(), pool: balance.NewPool()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.own = view{service: s, retry: newPolicy(o.Retry), head: o.Timeouts.Head}
	s.tune(&o.Balance)
	s.selection.Store(&o.Selection)
	s.set.Store(s.newSet(nil))
	return s
}

// Name returns the name that the service was made with.
func (s *Service) Name() string { return s.name }

// warnRefused logs that an address was not called, at most once a minute. Otherwise whoever points a name at such an
// address could fill the log.
func (s *Service) warnRefused(err *exchange.SendError) {
	now, last := time.Now().UnixNano(), s.warned.Load()
	if now-last >= int64(time.Minute) && s.warned.CompareAndSwap(last, now) {
		s.log.Warn("a backend is where it may not be; nothing was sent", "endpoint", err.Endpoint, "error", err.Err)
	}
}

// RoundTrip sends req to an endpoint, with the service's own settings.
func (s *Service) RoundTrip(req *http.Request) (*http.Response, error) { return s.own.RoundTrip(req) }

// ViewOptions are the settings of one route.
type ViewOptions struct {
	Retry    config.Retry
	Timeouts config.Timeouts // Head only
}

// View returns a RoundTripper with the same endpoints and counters, and with the settings of a route.
func (s *Service) View(o ViewOptions) http.RoundTripper {
	return &view{service: s, retry: newPolicy(o.Retry), head: o.Timeouts.Head}
}

// noEndpoint is never a 404: the route exists, but no endpoint can answer for it now.
func (s *Service) noEndpoint() error {
	return fault.NoEndpoint.New("", fault.Internal("service %s has no endpoint", s.name), fault.RetryAfter(retryAfterEmpty))
}

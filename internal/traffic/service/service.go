// Package service is a backend of living endpoints: an http.RoundTripper that
// picks an endpoint for each try, tries again on another one where that is safe, and
// tells what happened as faults.
//
//   - set.go: the endpoints, an immutable list behind one atomic pointer; what is known of
//     an endpoint (state.go) is kept by identity from one list to the next.
//   - tier.go: who may be asked, by what sources and checks say and what became of requests;
//     change.go: when that is worked out anew, and who is told.
//   - outlier.go: when an endpoint is left alone for its failures, and how it is taken back.
//   - hold.go: how a request waits while there is nobody to ask.
//   - pick.go: which endpoint of those; the ways to choose are package balance's.
//   - try.go: a request and its attempts; attempt.go: one of these: its time-out, its end, its
//     place among the in-flight ones; judge.go: what came of it.
//   - breaker.go: when the service as a whole is asked nothing; budget.go: how many further
//     tries it gets.
//   - retry.go: whether another attempt may be made.
//   - replay.go: the request's body, held as far as a retry may need it again.
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

// retryAfterEmpty is when a client should come back to a service without endpoints.
const retryAfterEmpty = time.Second

// Options make a Service.
type Options struct {
	Name string // for the exchange's Backend, logs and faults
	// Transport sends a request to the endpoint that its URL names, by what
	// transport.Host gives for it. Where a response's body has the method
	// OnEnd(exchange.Ending) of package transport, the service uses it rather than
	// wrap the body; the body of a 101 response must have it to be counted.
	Transport http.RoundTripper
	// Retry and Timeouts are what the service's own RoundTrip keeps to; a View has
	// its own. Of the times only Head is the service's: from the whole request sent
	// to the response's head, for each attempt; 0: no bound.
	Retry    config.Retry
	Timeouts config.Timeouts
	Balance  Balance // see Tune
	// Selection is by which rules endpoints may be asked; see Select.
	Selection Selection
	Meter     *telemetry.Backend // counts attempts; nil: they are not counted
	Log       *slog.Logger       // nil: slog.Default
}

// Balance is how a service chooses among its endpoints.
type Balance struct {
	balance.Settings

	Zone string // the gateway's own, whose endpoints are preferred; "": none are
	Node string // the gateway's machine, as sources call it; "": nobody knows
	// Key gives what an endpoint is chosen by, with balance.Hash; an error or "": it has none.
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
	waiting   atomic.Int64 // requests that nobody can be asked for
	budget    budget
	spent     atomic.Int64 // when the log last said that the budget is
	breaker   breaker
	own       view
	warned    atomic.Int64 // when warnRefused last did, in nanoseconds of the Unix time

	setting sync.Mutex // one change at a time; the rest is its
	turn    uint64     // the number of the set
	changes changes
	waited  bool // requests have waited for somebody better as long as they may
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

// Name is the name that the service was made with.
func (s *Service) Name() string { return s.name }

// warnRefused logs that an address was not called, once a minute: whoever leads a name
// there could else fill the log.
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

// View gives the same endpoints and counters with the settings of a route.
func (s *Service) View(o ViewOptions) http.RoundTripper {
	return &view{service: s, retry: newPolicy(o.Retry), head: o.Timeouts.Head}
}

// noEndpoint is never a 404: the route exists, only nobody answers for it now.
func (s *Service) noEndpoint() error {
	return fault.NoEndpoint.New("", fault.Internal("service %s has no endpoint", s.name), fault.RetryAfter(retryAfterEmpty))
}

// Package service is a backend of living endpoints: an http.RoundTripper that
// picks an endpoint for each try, tries again on another one where that is safe, and
// tells what happened as faults.
//
//   - set.go: the endpoints, an immutable list behind one atomic pointer; what is known of
//     an endpoint (requests in flight) is kept by identity from one list to the next.
//   - pick.go: which endpoint, and what an attempt says of it; the ways to choose are
//     package balance's.
//   - try.go: one attempt: its time-out, its end, its place among the in-flight ones.
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
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// retryAfterEmpty is when a client should come back to a service without endpoints.
const retryAfterEmpty = time.Second

// Options make a Service.
type Options struct {
	Name string // for the exchange's Backend, logs and faults
	// Transport sends a request to the endpoint that its URL names, by what
	// transport.Host gives for it. Where a
	// response's body has a method OnEnd(func()), the service uses it rather than
	// wrap the body; the body of a 101 response must have it to be counted.
	Transport http.RoundTripper
	// Retry and Timeouts are what the service's own RoundTrip keeps to; a View has
	// its own. Of the times only Head is the service's: from the whole request sent
	// to the response's head, for each attempt; 0: no bound.
	Retry    config.Retry
	Timeouts config.Timeouts
	Balance  Balance            // see Tune
	Meter    *telemetry.Backend // counts attempts; nil: they are not counted
	Log      *slog.Logger       // nil: slog.Default
}

// Balance is how a service chooses among its endpoints.
type Balance struct {
	balance.Settings
}

// Service is safe for concurrent use. The zero value is not usable; see New.
type Service struct {
	name      string
	transport http.RoundTripper
	meter     *telemetry.Backend
	log       *slog.Logger
	pool      *balance.Pool
	set       atomic.Pointer[set]
	setting   sync.Mutex           // one Set or Tune at a time
	list      []discovery.Endpoint // the latest; setting guards it
	balance   atomic.Pointer[Balance]
	own       view
	warned    atomic.Int64 // when warnRefused last did, in nanoseconds of the Unix time
}

// New makes a service without endpoints: until Set is called it answers
// fault.NoEndpoint.
func New(o Options) *Service {
	s := &Service{name: o.Name, transport: o.Transport, meter: o.Meter, log: o.Log, pool: balance.NewPool()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.own = view{service: s, retry: newPolicy(o.Retry), head: o.Timeouts.Head}
	s.balance.Store(&o.Balance)
	s.set.Store(newSet(nil, nil, s.pool, &o.Balance))
	return s
}

// Name is the name that the service was made with.
func (s *Service) Name() string { return s.name }

// Set replaces all endpoints, the callback of a discovery.Provider. Requests in
// flight on an endpoint that is gone are not disturbed. An endpoint with the same
// ID and address as before keeps what is known of it. Set keeps list, which nobody may change.
func (s *Service) Set(list []discovery.Endpoint) {
	s.setting.Lock()
	defer s.setting.Unlock()
	before := s.set.Load()
	s.list = list
	s.rebuild()
	after := s.set.Load()
	s.log.Debug("endpoints changed", "service", s.name, "before", len(before.endpoints), "after", len(after.endpoints))
}

// Tune changes how endpoints are chosen. What is known of them stays, and so do requests in
// flight. It keeps b.
func (s *Service) Tune(b Balance) {
	s.setting.Lock()
	defer s.setting.Unlock()
	if before := s.balance.Swap(&b); before.Settings != b.Settings {
		s.rebuild()
	}
}

// rebuild works the set out anew. setting is locked.
func (s *Service) rebuild() {
	s.set.Store(newSet(s.list, s.set.Load(), s.pool, s.balance.Load()))
}

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

// Status is a picture of a service for the admin API.
type Status struct {
	Name      string
	Endpoints []EndpointStatus // in the provider's order
}

// EndpointStatus is a picture of one endpoint.
type EndpointStatus struct {
	discovery.Endpoint

	balance.Standing
}

// Status tells how the service is now.
func (s *Service) Status() Status {
	status := Status{Name: s.name}
	now := s.set.Load()
	for _, e := range now.endpoints {
		status.Endpoints = append(status.Endpoints, EndpointStatus{Endpoint: e.Endpoint, Standing: now.picker.set.Standing(&e.state.load)})
	}
	return status
}

// noEndpoint is never a 404: the route exists, only nobody answers for it now.
func (s *Service) noEndpoint() error {
	return fault.NoEndpoint.New("", fault.Internal("service %s has no endpoint", s.name), fault.RetryAfter(retryAfterEmpty))
}

package telemetry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// Backend counts the attempts at one backend. It is safe for concurrent use; a
// nil *Backend counts nothing.
type Backend struct {
	name     string
	attempts [outcomes]atomic.Uint64
	retries  atomic.Uint64
	took     histogram
	watch    watchers[Endpoints]
	looks    [sights]atomic.Uint64
	spent    atomic.Uint64 // further tries that the budget did not allow
	ejected  atomic.Uint64
	held     atomic.Uint64 // requests that waited for an endpoint until one came
	lapsed   atomic.Uint64 // requests for which none came in time
	seen     atomic.Int64  // when endpoints were last found, in milliseconds of Unix time; 0: never
}

// Endpoints is the state of a backend's endpoints.
type Endpoints struct {
	States   map[string]int // how many are in each state
	Asked    int            // how many may be asked
	Panic    bool           // too few are healthy for health to be believed
	Waiting  int64          // requests that wait because no endpoint may be asked
	Queued   int64          // requests that wait because all endpoints have as many as they may have
	Resting  bool           // too many requests failed, so the backend is asked nothing for a while
	InFlight int64          // requests under way on all of them
	Each     []Endpoint
	Heard    *Heard // from their source; nil if the config names them
}

// Endpoint is the state of one endpoint.
type Endpoint struct {
	Address  string
	Asked    bool
	InFlight int64
}

// mostEndpoints is how many endpoints of a backend may have series of their own. If a backend has more, none of them
// has. DefaultSeries bounds the endpoints of all backends together.
const mostEndpoints = 50

// The outcomes of an attempt.
const (
	answered = iota // a response with a status below 500
	serverError
	unreachable
	timedOut
	broken // the connection failed after it was made
	invalid
	refused // a problem of the gateway's own: a full queue, a function that did not start
	abandoned
	outcomes
)

func outcomeNames() [outcomes]string {
	return [outcomes]string{
		answered: "answered", serverError: "server_error", unreachable: "unreachable", timedOut: "timeout",
		broken: "reset", invalid: "invalid_response", refused: "refused", abandoned: "abandoned",
	}
}

// Tried counts an attempt by its outcome: the status of its answer, or an error. took is how long the attempt took.
// again means that it was not the first attempt of its request.
func (b *Backend) Tried(status int, err error, took time.Duration, again bool) {
	if b == nil {
		return
	}
	outcome := answered
	if err != nil || status >= 500 {
		outcome = outcomeOf(status, err)
	}
	b.attempts[outcome].Add(1)
	b.took.observe(took)
	if again {
		b.retries.Add(1)
	}
}

// Refused counts an attempt that reached no endpoint, because of err. It has no duration.
func (b *Backend) Refused(err error) {
	if b != nil {
		b.attempts[outcomeOf(0, err)].Add(1)
	}
}

func outcomeOf(status int, err error) int {
	switch {
	case err == nil && status < 500:
		return answered
	case err == nil:
		return serverError
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return outcomeOfFault(f)
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		switch {
		case send.Timeout:
			return timedOut
		case errors.Is(send.Err, context.Canceled):
			return abandoned
		case send.Dial:
			return unreachable
		}
		return broken
	}
	return abandoned
}

func outcomeOfFault(f *fault.Fault) int {
	switch f.Code {
	case fault.BackendInvalid.Code, fault.FunctionBadResponse.Code:
		return invalid
	case fault.BackendTimeout.Code, fault.FunctionTimeout.Code:
		return timedOut
	case fault.BackendReset.Code, fault.FunctionCrashed.Code:
		return broken
	case fault.BackendUnreachable.Code:
		return unreachable
	case fault.FunctionError.Code:
		return serverError
	case fault.ClientGone.Code, fault.RequestTimeout.Code, fault.BodyTooLarge.Code, fault.MalformedRequest.Code:
		return abandoned
	}
	return refused
}

// Ejected counts the ejection of an endpoint because of its failures.
func (b *Backend) Ejected() {
	if b != nil {
		b.ejected.Add(1)
	}
}

// Spent counts a further try that was not made because the budget was spent.
func (b *Backend) Spent() {
	if b != nil {
		b.spent.Add(1)
	}
}

// Held counts a request that waited for an endpoint, by whether one came.
func (b *Backend) Held(served bool) {
	switch {
	case b == nil:
	case served:
		b.held.Add(1)
	default:
		b.lapsed.Add(1)
	}
}

// Sight is the result of a look-up of a backend's endpoints.
type Sight int

// The results.
const (
	Found  Sight = iota
	Absent       // the source knows of none
	Unseen       // no source could be asked
	sights
)

func sightNames() [sights]string {
	return [sights]string{Found: "found", Absent: "absent", Unseen: "failed"}
}

// Looked counts a look-up of the backend's endpoints.
func (b *Backend) Looked(s Sight, now time.Time) {
	if b == nil {
		return
	}
	b.looks[s].Add(1)
	if s == Found {
		b.Seen(now)
	}
}

// Seen records when the backend's endpoints were last found, which may be before the start.
func (b *Backend) Seen(at time.Time) {
	if b != nil {
		b.seen.Store(at.UnixMilli())
	}
}

// Watch calls look at each scrape until stop is called.
func (b *Backend) Watch(look func() Endpoints) (stop func()) {
	if b == nil {
		return func() {}
	}
	return b.watch.add(look)
}

type backendDescs struct {
	attempts, retries, spent, took, endpoints, asked, panics, waiting, queued, resting, held, ejections, inFlight, unconfirmed, looks, seen *prometheus.Desc
	endpointAsked, endpointInFlight                                                                                                         *prometheus.Desc
}

func newBackendDescs() backendDescs {
	return backendDescs{
		attempts:  describe("weir_backend_attempts_total", "Attempts to get an answer from a backend, by what came of them.", "backend", "outcome"),
		retries:   describe("weir_backend_retries_total", "Attempts that were not the first one of their request.", "backend"),
		spent:     describe("weir_backend_retries_refused_total", "Further tries that were not made, for the budget of them was spent.", "backend"),
		took:      describe("weir_backend_attempt_duration_seconds", "Time from the begin of an attempt to the head of the response, or to its failure.", "backend"),
		endpoints: describe("weir_backend_endpoints", "Endpoints that are known of a backend, by state.", "backend", "state"),
		asked:     describe("weir_backend_endpoints_asked", "Endpoints of a backend that may be asked now.", "backend"),
		panics:    describe("weir_backend_panic", "Whether too few endpoints of a backend are healthy for that to be believed, so that all are asked (1).", "backend"),
		waiting:   describe("weir_backend_requests_waiting", "Requests that wait for an endpoint of a backend, because there is nobody to ask.", "backend"),
		queued:    describe("weir_backend_requests_queued", "Requests that wait for room at a backend's endpoints, which have as many as they may have.", "backend"),
		resting:   describe("weir_backend_breaker_open", "Whether a backend is asked nothing, for too many requests to it failed (1).", "backend"),
		held:      describe("weir_backend_requests_held_total", "Requests that have waited for an endpoint, by whether one came in time.", "backend", "result"),
		ejections: describe("weir_backend_ejections_total", "Times that an endpoint of a backend was left alone for its failures.", "backend"),

		endpointAsked:    describe("weir_endpoint_asked", "Whether an endpoint may be asked now (1).", "backend", "endpoint"),
		endpointInFlight: describe("weir_endpoint_requests_in_flight", "Requests under way on an endpoint.", "backend", "endpoint"),

		inFlight:    describe("weir_backend_requests_in_flight", "Requests under way on a backend's endpoints.", "backend"),
		unconfirmed: describe("weir_backend_endpoints_unconfirmed", "Endpoints of before the start whose source was not seen since.", "backend"),
		looks:       describe("weir_discovery_lookups_total", "Looks for the endpoints of a backend, by what came of them.", "backend", "result"),
		seen:        describe("weir_discovery_seen_timestamp_seconds", "When the endpoints of a backend were found last.", "backend"),
	}
}

// collect sends what was counted. room is how many more endpoints may have series of their own.
func (b *Backend) collect(d *backendDescs, room *int, out chan<- prometheus.Metric) {
	for i, name := range outcomeNames() {
		if n := b.attempts[i].Load(); n > 0 {
			out <- counter(d.attempts, n, b.name, name)
		}
	}
	out <- counter(d.retries, b.retries.Load(), b.name)
	out <- b.took.metric(d.took, b.name)
	b.collectLooks(d, out)
	if looks := b.watch.ask(); len(looks) > 0 { // otherwise it is a function
		b.collectEndpoints(d, together(looks), room, out)
	}
}

// together merges views of the same endpoints through different transports.
func together(looks []Endpoints) Endpoints {
	all := Endpoints{States: map[string]int{}}
	each := map[string]Endpoint{}
	for _, one := range looks {
		all.InFlight += one.InFlight
		all.Waiting += one.Waiting
		all.Queued += one.Queued
		all.Resting = all.Resting || one.Resting
		all.Asked = max(all.Asked, one.Asked)
		all.Panic = all.Panic || one.Panic
		if one.Heard != nil {
			all.Heard = one.Heard
		}
		for state, n := range one.States {
			all.States[state] = max(all.States[state], n)
		}
		for _, e := range one.Each {
			before := each[e.Address]
			each[e.Address] = Endpoint{e.Address, e.Asked || before.Asked, e.InFlight + before.InFlight}
		}
	}
	all.Each = slices.Collect(maps.Values(each))
	return all
}

func (b *Backend) collectEndpoints(d *backendDescs, now Endpoints, room *int, out chan<- prometheus.Metric) {
	for state, n := range now.States {
		out <- gauge(d.endpoints, float64(n), b.name, state)
	}
	out <- gauge(d.asked, float64(now.Asked), b.name)
	out <- gauge(d.panics, oneIf(now.Panic), b.name)
	out <- gauge(d.waiting, float64(now.Waiting), b.name)
	out <- gauge(d.queued, float64(now.Queued), b.name)
	out <- gauge(d.resting, oneIf(now.Resting), b.name)
	out <- gauge(d.inFlight, float64(now.InFlight), b.name)
	out <- counter(d.spent, b.spent.Load(), b.name)
	out <- counter(d.ejections, b.ejected.Load(), b.name)
	out <- counter(d.held, b.held.Load(), b.name, "served")
	out <- counter(d.held, b.lapsed.Load(), b.name, "lapsed")
	if n := len(now.Each); n <= min(mostEndpoints, *room) {
		*room -= n
		for _, e := range now.Each {
			out <- gauge(d.endpointAsked, oneIf(e.Asked), b.name, strings.ToValidUTF8(e.Address, "\uFFFD"))
			out <- gauge(d.endpointInFlight, float64(e.InFlight), b.name, strings.ToValidUTF8(e.Address, "\uFFFD"))
		}
	}
	if now.Heard != nil {
		unconfirmed := 0
		if now.Heard.Kept {
			unconfirmed = now.Heard.Count
		}
		out <- gauge(d.unconfirmed, float64(unconfirmed), b.name)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// collectLooks sends nothing for a backend whose endpoints are not looked up.
func (b *Backend) collectLooks(d *backendDescs, out chan<- prometheus.Metric) {
	for i, name := range sightNames() {
		if n := b.looks[i].Load(); n > 0 {
			out <- counter(d.looks, n, b.name, name)
		}
	}
	if seen := b.seen.Load(); seen > 0 {
		out <- gauge(d.seen, float64(seen)/1000, b.name)
	}
}

package telemetry

import (
	"context"
	"errors"
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
	seen     atomic.Int64 // when endpoints were found last, in milliseconds of the Unix time; 0: never
}

// Endpoints is how many endpoints a backend has, by what may be asked of them.
type Endpoints struct {
	States   map[string]int // "available": it may be picked
	InFlight int64          // requests under way on all of them
	Heard    *Heard         // from their source; nil where the config names them
}

// The outcomes of an attempt.
const (
	answered = iota // a response with a status below 500
	serverError
	unreachable
	timedOut
	broken // the connection failed after it was made
	invalid
	refused // a problem of the gateway's own: a queue that is full, a function that did not start
	abandoned
	outcomes
)

func outcomeNames() [outcomes]string {
	return [outcomes]string{
		answered: "answered", serverError: "server_error", unreachable: "unreachable", timedOut: "timeout",
		broken: "reset", invalid: "invalid_response", refused: "refused", abandoned: "abandoned",
	}
}

// Tried counts an attempt by its outcome. again tells that it was not the first of
// its request.
func (b *Backend) Tried(a exchange.Attempt, again bool) {
	if b == nil {
		return
	}
	b.attempts[outcomeOf(a)].Add(1)
	b.took.observe(a.Took)
	if again {
		b.retries.Add(1)
	}
}

// Refused counts an attempt that met nobody, because of err: it has no duration.
func (b *Backend) Refused(err error) {
	if b != nil {
		b.attempts[outcomeOf(exchange.Attempt{Err: err})].Add(1)
	}
}

func outcomeOf(a exchange.Attempt) int {
	switch {
	case a.Err == nil && a.Status < 500:
		return answered
	case a.Err == nil:
		return serverError
	}
	if f, ok := errors.AsType[*fault.Fault](a.Err); ok {
		return outcomeOfFault(f)
	}
	if send, ok := errors.AsType[*exchange.SendError](a.Err); ok {
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

// Sight is what came of a look for a backend's endpoints.
type Sight int

// The sights.
const (
	Found  Sight = iota
	Absent       // whoever was asked knows of none
	Unseen       // nobody could be asked
	sights
)

func sightNames() [sights]string {
	return [sights]string{Found: "found", Absent: "absent", Unseen: "failed"}
}

// Looked counts a look for the backend's endpoints.
func (b *Backend) Looked(s Sight, now time.Time) {
	if b == nil {
		return
	}
	b.looks[s].Add(1)
	if s == Found {
		b.Seen(now)
	}
}

// Seen notes when the backend's endpoints were found last, be it before the start.
func (b *Backend) Seen(at time.Time) {
	if b != nil {
		b.seen.Store(at.UnixMilli())
	}
}

// Watch has look asked at each scrape until stop is called.
func (b *Backend) Watch(look func() Endpoints) (stop func()) {
	if b == nil {
		return func() {}
	}
	return b.watch.add(look)
}

type backendDescs struct{ attempts, retries, took, endpoints, inFlight, unconfirmed, looks, seen *prometheus.Desc }

func newBackendDescs() backendDescs {
	return backendDescs{
		attempts:    describe("weir_backend_attempts_total", "Attempts to get an answer from a backend, by what came of them.", "backend", "outcome"),
		retries:     describe("weir_backend_retries_total", "Attempts that were not the first one of their request.", "backend"),
		took:        describe("weir_backend_attempt_duration_seconds", "Time from the begin of an attempt to the head of the response, or to its failure.", "backend"),
		endpoints:   describe("weir_backend_endpoints", "Endpoints that are known of a backend, by state.", "backend", "state"),
		inFlight:    describe("weir_backend_requests_in_flight", "Requests under way on a backend's endpoints.", "backend"),
		unconfirmed: describe("weir_backend_endpoints_unconfirmed", "Endpoints of before the start whose source was not seen since.", "backend"),
		looks:       describe("weir_discovery_lookups_total", "Looks for the endpoints of a backend, by what came of them.", "backend", "result"),
		seen:        describe("weir_discovery_seen_timestamp_seconds", "When the endpoints of a backend were found last.", "backend"),
	}
}

func (b *Backend) collect(d *backendDescs, out chan<- prometheus.Metric) {
	for i, name := range outcomeNames() {
		if n := b.attempts[i].Load(); n > 0 {
			out <- counter(d.attempts, n, b.name, name)
		}
	}
	out <- counter(d.retries, b.retries.Load(), b.name)
	out <- b.took.metric(d.took, b.name)
	b.collectLooks(d, out)
	var inFlight int64
	var heard *Heard
	states := map[string]int{}
	looks := b.watch.ask()
	for _, one := range looks { // the same endpoints, seen through different transports
		inFlight += one.InFlight
		if one.Heard != nil {
			heard = one.Heard
		}
		for state, n := range one.States {
			states[state] = max(states[state], n)
		}
	}
	if len(looks) == 0 { // a function
		return
	}
	for state, n := range states {
		out <- gauge(d.endpoints, float64(n), b.name, state)
	}
	out <- gauge(d.inFlight, float64(inFlight), b.name)
	if heard != nil {
		unconfirmed := 0
		if heard.Kept {
			unconfirmed = heard.Count
		}
		out <- gauge(d.unconfirmed, float64(unconfirmed), b.name)
	}
}

// collectLooks tells nothing of a backend whose endpoints nobody looks for.
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

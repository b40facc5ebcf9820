package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// Route counts the requests of one route. It is safe for concurrent use; a nil
// *Route counts nothing.
type Route struct {
	name     string
	requests [methods]atomic.Pointer[byStatus]
	pairs    atomic.Int32 // combinations of method and status that were seen
	inFlight atomic.Int64
	took     histogram
	received atomic.Uint64
	sent     atomic.Uint64
	faults   []atomic.Uint64 // by the index of a kind in fault.Kinds

	mu       sync.Mutex
	counters map[string]*Counter // by name and further labels
}

// byStatus counts by the indices of statuses.
type byStatus [mostStatuses]atomic.Uint64

// mostPairs bounds the series of one route: further statuses are counted with their class, regardless of their method.
const mostPairs = 64

func newRoute(name string) *Route {
	return &Route{name: name, faults: make([]atomic.Uint64, len(fault.Kinds())), counters: map[string]*Counter{}}
}

// Begin counts a request that begins; End must follow.
func (r *Route) Begin() {
	if r != nil {
		r.inFlight.Add(1)
	}
}

// End counts the end of a request that Begin has counted.
func (r *Route) End() {
	if r != nil {
		r.inFlight.Add(-1)
	}
}

// Count counts a request that has ended. method is the request's own.
func (r *Route) Count(method string, x *exchange.Exchange, o exchange.Outcome) {
	if r == nil {
		return
	}
	r.status(methodOf(method), o.Status)
	if o.Status != statusSwitched { // how long a tunnel was used says nothing about response times
		r.took.observe(o.Took)
	}
	r.sent.Add(uint64(o.Written))
	if x.Received != 0 {
		r.received.Add(uint64(x.Received))
	}
	if x.Fault != nil {
		if place, ok := faultPlaces[x.Fault.Code]; ok {
			r.faults[place].Add(1)
		}
	}
}

const statusSwitched = 101

func (r *Route) status(method, status int) {
	counts := r.byMethod(method)
	at := &counts[known.placeOf(status)]
	if at.Load() > 0 {
		at.Add(1)
		return
	}
	if r.pairs.Add(1) > mostPairs {
		r.pairs.Add(-1)
		at = &r.byMethod(otherMethod)[known.classOf(status)]
	}
	at.Add(1)
}

func (r *Route) byMethod(method int) *byStatus {
	slot := &r.requests[method]
	if counts := slot.Load(); counts != nil {
		return counts
	}
	slot.CompareAndSwap(nil, new(byStatus))
	return slot.Load()
}

// faultPlaces are the indices of kinds by their code.
var faultPlaces = func() map[string]int { // a table
	places := map[string]int{}
	for i, kind := range fault.Kinds() {
		places[kind.Code] = i
	}
	return places
}()

// routeDescs describe the metrics of a route.
type routeDescs struct{ requests, inFlight, took, received, sent, faults *prometheus.Desc }

func newRouteDescs() routeDescs {
	return routeDescs{
		requests: describe("weir_http_requests_total", "Requests that have ended, by route, method and status of the response. Status 0: the connection was cut before a response; 499: the client had left.", "route", "method", "code"),
		inFlight: describe("weir_http_requests_in_flight", "Requests under way, upgraded connections included.", "route"),
		took:     describe("weir_http_request_duration_seconds", "Time from the head of a request to the end of its response. Upgraded connections are left out.", "route"),
		received: describe("weir_http_request_body_bytes_total", "Bytes of request bodies that were read, and of upgraded connections from the client.", "route"),
		sent:     describe("weir_http_response_body_bytes_total", "Bytes of response bodies that were written, and of upgraded connections to the client.", "route"),
		faults:   describe("weir_http_faults_total", "Requests that the gateway answered with a problem of its own, by the problem's code.", "route", "problem"),
	}
}

func (r *Route) collect(d *routeDescs, out chan<- prometheus.Metric) {
	names := methodNames()
	for method := range r.requests {
		counts := r.requests[method].Load()
		if counts == nil {
			continue
		}
		for place, label := range known.labels {
			if n := counts[place].Load(); n > 0 {
				out <- counter(d.requests, n, r.name, names[method], label)
			}
		}
	}
	for place, kind := range fault.Kinds() {
		if n := r.faults[place].Load(); n > 0 {
			out <- counter(d.faults, n, r.name, kind.Code)
		}
	}
	out <- gauge(d.inFlight, float64(r.inFlight.Load()), r.name)
	out <- counter(d.received, r.received.Load(), r.name)
	out <- counter(d.sent, r.sent.Load(), r.name)
	out <- r.took.metric(d.took, r.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counters {
		out <- counter(c.desc, c.count.Load(), r.name)
	}
}

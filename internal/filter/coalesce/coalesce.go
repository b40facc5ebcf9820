package coalesce

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/filter"
)

// coalescer holds the calls for one place on a route. It is safe for concurrent use.
type coalescer struct {
	config *Config
	fields []string
	route  string
	log    *slog.Logger
	shared *telemetry.Counter
	alone  *telemetry.Counter
	held   atomic.Int64 // bytes of bodies being read for waiting requests

	mu      sync.Mutex
	flights map[string]*flight
}

func newCoalescer(env filter.Env, c *Config) *coalescer {
	const name, help = "weir_coalesced_requests_total", "Requests that waited for the response to an identical one, and got it (result shared) or had to go on their own (alone)."
	return &coalescer{
		config: c, fields: c.fields(), route: env.Route, log: env.Log, flights: map[string]*flight{},
		shared: env.Meter.Counter(name, help, "result", "shared"), alone: env.Meter.Counter(name, help, "result", "alone"),
	}
}

func (c *coalescer) adapt(next http.RoundTripper) http.RoundTripper {
	return &coalescing{coalescer: c, next: next}
}

// coalescing is a backend that identical requests ask only once at a time.
type coalescing struct {
	*coalescer

	next http.RoundTripper
}

// keys are buffers for keys.
var keys = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }} // reused buffers

// RoundTrip implements http.RoundTripper.
func (c *coalescing) RoundTrip(r *http.Request) (*http.Response, error) {
	if !eligible(r) {
		return c.next.RoundTrip(r) //nolint:wrapcheck // it is only handed through
	}
	buffer, _ := keys.Get().(*[]byte)
	*buffer = c.appendKey((*buffer)[:0], r)
	f, joined := c.find(*buffer, r)
	keys.Put(buffer)
	switch {
	case f == nil:
		return c.next.RoundTrip(r) //nolint:wrapcheck // as above
	case joined:
		return c.wait(f, r)
	}
	go f.run(c.next)
	return f.first(r)
}

// find returns the call that r may join, or a new one; nil if r goes on its own.
func (c *coalescer) find(key []byte, r *http.Request) (f *flight, joined bool) {
	if len(key) > mostKey {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[string(key)]; ok {
		if f.join() {
			return f, true
		}
		return nil, false
	}
	f = &flight{of: c, key: string(key), wanted: 1, open: true, headed: make(chan struct{}), settled: make(chan struct{})}
	f.asked = exchange.Detach(r)
	f.request = exchange.Detach(f.asked) // inner adapters change it
	ctx, cancel := context.WithCancel(f.request.Context())
	f.request, f.cancel = f.request.WithContext(ctx), cancel
	c.flights[f.key] = f
	return f, false
}

// forget prevents further requests from joining f.
func (c *coalescer) forget(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[f.key] == f {
		delete(c.flights, f.key)
	}
}

// wait gives r the response of a call that another request has begun. r goes on its own if it may not have that
// response or has waited long enough. A failed call is not repeated for the waiting requests: that would only add load
// to a backend that is in trouble.
func (c *coalescing) wait(f *flight, r *http.Request) (*http.Response, error) {
	leave := sync.OnceFunc(f.leave)
	patience := time.NewTimer(c.config.Wait)
	defer patience.Stop()
	for _, step := range []<-chan struct{}{f.headed, f.settled} {
		select {
		case <-step:
		case <-patience.C:
			return c.goOn(leave, r)
		case <-r.Context().Done():
			leave()
			return nil, context.Cause(r.Context())
		}
		if f.err != nil || !f.rules.allow(f.asked, r) {
			break // for that, the response need not be complete
		}
	}
	err := f.err
	if err == nil {
		err = f.lost(r)
	}
	switch {
	case err != nil:
		leave()
		f.told(r, false)
		c.shared.Inc()
		return nil, err
	case !f.rules.allow(f.asked, r) || !f.whole:
		return c.goOn(leave, r)
	}
	f.told(r, false)
	c.shared.Inc()
	res := f.answer(r, &closing{ReadCloser: io.NopCloser(bytes.NewReader(f.body)), over: leave})
	if r.Method == http.MethodGet {
		res.ContentLength = int64(len(f.body))
	}
	return res, nil
}

// goOn asks the backend for r alone.
func (c *coalescing) goOn(leave func(), r *http.Request) (*http.Response, error) {
	leave()
	c.alone.Inc()
	return c.next.RoundTrip(r) //nolint:wrapcheck // it is only handed through
}

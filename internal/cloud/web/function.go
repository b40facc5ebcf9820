package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Site is a function in one region. It belongs to one Function.
type Site struct {
	Name string   // for status: the region, or the host
	URL  *url.URL // of the function: scheme, host with its port, and the path before the request's
	Host string   // the Host of requests to the function
	Send http.RoundTripper
	// Prove adds to a request's head what proves who is calling; nil: nothing is added. The error is a *fault.Fault or
	// that of a context.
	Prove func(ctx context.Context, head exchange.Head) (Proof, error)
	// Calls bounds the calls of all functions that the platform counts together.
	Calls *cloud.Pool
	// Problem returns why the last proof could not be obtained; nil if nothing is proved.
	Problem func() error

	rest cloud.Rest
	ends []func()
}

// OnClose registers f to be called when the site's Function is closed. It must be called before that Function is made.
func (s *Site) OnClose(f func()) { s.ends = append(s.ends, f) }

// Proof is the proof that a request was sent with.
type Proof struct {
	// Refused says that the proof was not accepted, and returns whether another one may be. It is nil if there is no
	// other proof.
	Refused func(context.Context) bool
	// Ours says that a refusal of the caller can only mean the gateway, because the request carries no one else's
	// proof.
	Ours bool
}

// Options configure a Function.
type Options struct {
	Name     string // in the config, with its scheme: "gcf:orders"
	Platform string // as people call it: "Google Cloud"
	Sites    []*Site
	// Drop selects header fields that never pass from clients, by their names in lower case with `_` and `.` replaced
	// by `-`; nil: none.
	Drop func(name string) bool
	// Judge says what the head of an answer means; nil: Plain.
	Judge    func(res *http.Response, proof Proof) Verdict
	Log      *slog.Logger
	Life     *telemetry.Function
	Attempts *telemetry.Backend
}

// Bounds may change while a function is called.
type Bounds struct {
	// Timeout bounds the time until the answer's head, with all attempts.
	Timeout time.Duration
	Pool    cloud.PoolBounds
}

// Function is an HTTP function on a platform. It is safe for concurrent use.
type Function struct {
	Options

	own     *cloud.Pool
	retries *cloud.Retries
	timeout atomic.Int64
}

// New makes a Function. It sends nothing.
func New(o Options, b Bounds) *Function {
	if o.Judge == nil {
		o.Judge = Plain
	}
	f := &Function{Options: o, own: cloud.NewPool(b.Pool), retries: cloud.NewRetries()}
	f.timeout.Store(int64(b.Timeout))
	return f
}

// RoundTrip passes r on at its own path. It implements http.RoundTripper.
func (f *Function) RoundTrip(r *http.Request) (*http.Response, error) {
	return f.Pass(r, r.URL.EscapedPath())
}

// Close releases what the sites share with others. Requests under way keep what they hold, and go on.
func (f *Function) Close(context.Context) error {
	for _, s := range f.Sites {
		for _, end := range s.ends {
			end()
		}
	}
	return nil
}

// Tune changes bounds in place: the function's own, and those of the functions that it is counted with.
func (f *Function) Tune(b Bounds, together cloud.PoolBounds) {
	for _, s := range f.Sites {
		s.Calls.Tune(together)
	}
	f.timeout.Store(int64(b.Timeout))
	f.own.Tune(b.Pool)
}

// Status is a snapshot of a Function's state.
type Status struct {
	Calls   cloud.PoolStatus
	Sites   []string
	Problem string // why the function cannot be called; "" if it can
}

// Status returns the current state.
func (f *Function) Status() Status {
	s := Status{Calls: f.own.Status()}
	for _, at := range f.Sites {
		line := fmt.Sprintf("%s: %s", at.Name, at.URL)
		if together := at.Calls.Status(); together.Limit < MostAtOnce {
			line += fmt.Sprintf(", %d of %d calls of all functions there", together.Busy, together.Limit)
		}
		if at.rest.Resting() {
			line += ", rests"
		}
		s.Sites = append(s.Sites, line)
		if at.Problem == nil {
			continue
		}
		if err := at.Problem(); err != nil {
			s.Problem = err.Error()
		}
	}
	return s
}

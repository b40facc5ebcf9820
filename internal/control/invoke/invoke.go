// Package invoke invokes one function of a config once, without a gateway: with a payload, or with the same request
// that the gateway would send it.
//
//   - invoke.go: the function, and the report of an invocation.
//   - request.go: a request to it.
package invoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
)

// Function is one function, started for a few invocations. The caller must call Close. It is used by one goroutine at a
// time.
type Function struct {
	name    string // as in routes: fn:orders, fn:app/orders
	group   string
	backend function.Backend
	// part is the invoked function of an app, nil if the backend itself is invoked.
	part http.RoundTripper
}

// roundTripper is what answers requests.
func (f *Function) roundTripper() http.RoundTripper {
	if f.part != nil {
		return f.part
	}
	return f.backend
}

// Report is the result of an invocation.
type Report struct {
	ID   string
	Took time.Duration // from the time an instance had the request to the end of its answer
	// Start is how long the instance took to be ready, 0 if it was ready before.
	Start time.Duration
	// Memory is the most that the instance has used so far, in bytes, 0 if the system does not report it. Limit is the
	// memory that the instance is told it has.
	Memory, Limit int64
}

// Find returns the function with that name. The name of a function in a group is GROUP/NAME. A function of an app is
// named by the app's name, a slash and part; part is "" for other functions.
func Find(cfg *config.Config, name string) (found *config.Function, part string, err error) {
	var known []string
	for i := range cfg.Functions {
		f := &cfg.Functions[i]
		full := f.Name
		if f.Group != "" {
			full = f.Group + "/" + f.Name
		}
		if name == full {
			return f, "", nil
		}
		if behind, ok := strings.CutPrefix(name, full+"/"); ok && found == nil {
			found, part = f, behind
		}
		known = append(known, full)
	}
	if found != nil {
		return found, part, nil
	}
	slices.Sort(known)
	near, alike := doc.Suggest(name, known)
	switch {
	case len(known) == 0:
		return nil, "", fmt.Errorf("there is no function %q; the config has none", name)
	case alike:
		return nil, "", fmt.Errorf("there is no function %q; did you mean %q?", name, near)
	}
	return nil, "", fmt.Errorf("there is no function %q; there are: %s", name, strings.Join(known, ", "))
}

// Start makes the function, or the part of it that Find returned. Instances start when they are needed. Their output
// goes to log.
func Start(definitions []function.Definition, cfg *config.Config, f *config.Function, part string, log *slog.Logger) (*Function, error) {
	at := slices.IndexFunc(definitions, func(d function.Definition) bool { return d.Kind == f.Kind })
	if at < 0 {
		return nil, fmt.Errorf("this version runs no functions of kind %q", f.Kind)
	}
	d := definitions[at]
	env := function.Env{Log: log, Secret: secret.Resolve, Dir: filepath.Dir(f.Origin.File)}
	env.Region, env.Account = cfg.LambdaAPI.Place()
	if part != "" {
		if err := checkPart(d, env, f, part); err != nil {
			return nil, err
		}
	}
	backend, err := d.Build(env, f.Name, d.Once(f.Config))
	if err != nil {
		return nil, fmt.Errorf("function %q: %w", f.Name, err)
	}
	made := &Function{name: d.Scheme.Name + ":" + f.Name, group: f.Group, backend: backend}
	if app, ok := backend.(function.Parted); ok && part != "" {
		made.name += "/" + part
		if made.part, err = app.Part(part); err != nil { // checkPart has already checked this
			return nil, errors.Join(err, backend.Close(context.Background()))
		}
	}
	return made, nil
}

// NoPartError reports that an app has no function with that name.
type NoPartError struct{ error }

func checkPart(d function.Definition, env function.Env, f *config.Function, part string) error {
	err := fmt.Errorf("a function of kind %q has no parts", f.Kind)
	if d.CheckPart != nil {
		err = d.CheckPart(env, f.Config, part)
	}
	if err != nil {
		return NoPartError{fmt.Errorf("%q names a function within %q: %w", part, f.Name, err)}
	}
	return nil
}

// Close ends the function.
func (f *Function) Close(ctx context.Context) error {
	return f.backend.Close(ctx) //nolint:wrapcheck // it says what it is
}

// TakesPayloads reports whether the function accepts payloads. Otherwise it accepts only requests.
func (f *Function) TakesPayloads() bool {
	i, ok := f.backend.(function.Invoker)
	return ok && f.part == nil && i.Facts().Payloads
}

// Payload invokes the function with a payload. use receives its answer, which is valid until use returns. The error is
// the function's, a *fault.Fault, or that of use.
func (f *Function) Payload(ctx context.Context, payload []byte, use func(function.Answer) error) (Report, error) {
	invoker, ok := f.backend.(function.Invoker)
	if !ok {
		return Report{}, fmt.Errorf("%s takes requests, not payloads", f.name)
	}
	x := f.exchange()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/", http.NoBody)
	if err != nil {
		return Report{}, err //nolint:wrapcheck // never fails
	}
	call := f.begin(x)
	answer, err := invoker.Invoke(exchange.With(r, x), function.Invocation{ID: x.RequestID(), Payload: payload})
	call.answered()
	if err == nil {
		err = use(answer)
	}
	if answer.Stream != nil {
		_ = answer.Stream.Close() // any error was already seen while reading
	}
	return call.report(), err
}

// exchange returns the exchange of an invocation.
func (f *Function) exchange() *exchange.Exchange {
	return &exchange.Exchange{ID: function.NewID(), Start: time.Now(), Host: "localhost", Path: "/", Backend: f.name}
}

// call is an invocation in progress.
type call struct {
	f        *Function
	x        *exchange.Exchange
	began    time.Time
	headTook time.Duration // until the answer began
}

func (f *Function) begin(x *exchange.Exchange) *call { return &call{f: f, x: x, began: time.Now()} }

// answered notes that the answer has begun or failed.
func (c *call) answered() { c.headTook = time.Since(c.began) }

// report returns the report of an invocation whose answer has ended. The wait for an instance does not count towards
// the time that it took.
func (c *call) report() Report {
	took := time.Since(c.began)
	r := Report{ID: c.x.RequestID()}
	if n := len(c.x.Attempts); n > 0 {
		last := c.x.Attempts[n-1]
		took -= max(0, c.headTook-last.Took)
		r.Start = last.Cold
	}
	r.Took = took
	if i, ok := c.f.backend.(function.Invoker); ok && i.Facts().Payloads { // only those that take payloads are told a limit
		r.Limit = i.Facts().Memory
	}
	r.Memory = c.f.backend.Status().Memory
	return r
}

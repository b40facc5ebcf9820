// Package invoke asks one function of a config once, without a gateway: by a
// payload, or by the very request that the gateway would send it.
//
//   - invoke.go: the function, and what is told of a call.
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

// Function is one function, started for a few calls. Close must end it. It is used
// by one goroutine at a time.
type Function struct {
	name    string // as routes say it: fn:orders, fn:app/orders
	group   string
	backend function.Backend
	// part is the one function of an app that is asked, nil where the backend is.
	part http.RoundTripper
}

// roundTripper is what answers requests.
func (f *Function) roundTripper() http.RoundTripper {
	if f.part != nil {
		return f.part
	}
	return f.backend
}

// Report is how a call went.
type Report struct {
	ID   string
	Took time.Duration // from the moment an instance had the question to the end of its answer
	// Start is how long the instance took to be ready, 0 where it was before.
	Start time.Duration
	// Memory is the most that the instance has used so far, in bytes, 0 where the
	// system does not tell; Limit is what it is told to have.
	Memory, Limit int64
}

// Find gives the function of that name, which one of a group has behind the group's
// and a slash. part is the function of an app, whose name stands behind the app's and
// another slash, "" for none.
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

// Start makes the function, or the part of it that Find has found, whose instances
// start when they are asked. Its output goes to log.
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
		if made.part, err = app.Part(part); err != nil { // checkPart has looked
			return nil, errors.Join(err, backend.Close(context.Background()))
		}
	}
	return made, nil
}

// NoPartError says that an app has no function of that name.
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

// TakesPayloads tells whether the function can be given payloads; it takes only
// requests otherwise.
func (f *Function) TakesPayloads() bool {
	i, ok := f.backend.(function.Invoker)
	return ok && f.part == nil && i.Facts().Payloads
}

// Payload gives the function a payload. use is given its answer, which ends with it.
// The error is the function's, a *fault.Fault, or that of use.
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
	answer, err := invoker.Invoke(exchange.With(r, x), function.Invocation{ID: x.ID, Payload: payload})
	call.answered()
	if err == nil {
		err = use(answer)
	}
	if answer.Stream != nil {
		_ = answer.Stream.Close() // whatever was wrong with it was read
	}
	return call.report(), err
}

// exchange is that of a call.
func (f *Function) exchange() *exchange.Exchange {
	return &exchange.Exchange{ID: function.NewID(), Start: time.Now(), Host: "localhost", Path: "/", Backend: f.name}
}

// call is one while it is made.
type call struct {
	f        *Function
	x        *exchange.Exchange
	began    time.Time
	headTook time.Duration // until the answer began
}

func (f *Function) begin(x *exchange.Exchange) *call { return &call{f: f, x: x, began: time.Now()} }

// answered notes that the answer has begun, or failed.
func (c *call) answered() { c.headTook = time.Since(c.began) }

// report tells of a call whose answer has ended. The wait for an instance is no part
// of how long it took.
func (c *call) report() Report {
	took := time.Since(c.began)
	r := Report{ID: c.x.ID}
	if n := len(c.x.Attempts); n > 0 {
		last := c.x.Attempts[n-1]
		took -= max(0, c.headTook-last.Took)
		r.Start = last.Cold
	}
	r.Took = took
	if i, ok := c.f.backend.(function.Invoker); ok && i.Facts().Payloads { // others are not told of one
		r.Limit = i.Facts().Memory
	}
	r.Memory = c.f.backend.Status().Memory
	return r
}

// Package function is the contract of functions: backends that are invoked.
// Each child folder is one kind of place where a function lives; folder all
// lists them.
package function

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
)

// Backend is one function as a backend. RoundTrip keeps the rules of package
// exchange; its errors are *fault.Fault.
type Backend interface {
	http.RoundTripper
	// Tune takes over another config whose identity is the same (see
	// Definition.Same): bounds and time-outs change in place, nothing is restarted.
	Tune(config any)
	// Status tells how it is doing, for explain and the admin API.
	Status() Status
	// Close takes no new requests, lets running ones finish until ctx ends, then
	// ends every process and goroutine and returns.
	Close(ctx context.Context) error
}

// Parted is a backend that is an app of several functions, which routes may name:
// fn:APP/FUNCTION.
type Parted interface {
	// Part gives the function of that name. It lives as long as the app.
	Part(name string) (http.RoundTripper, error)
}

// Status is a snapshot of a function's life.
type Status struct {
	Instances int    // alive, of any state
	Busy      int    // answering
	Starting  int    // not ready yet
	Draining  int    // get no new request, and end with their last one
	Wanted    int    // kept or made ready, because recent requests needed so many at once
	Queued    int    // requests that wait for an instance
	Memory    int64  // the most that the instance that was started last has used, in bytes; 0 where nobody knows
	Problem   string // why no instance can be had, "" where all is well
	Version   string // of the code that serves, by its content; "" where it is not known yet
	Newer     string // why a newer version does not serve, "" where that one is the newest
	Note      string // what it is run as and why, for explain
	// Remote is how things stand with a function that runs elsewhere, in a line; "" for one that
	// has instances here. Details are further lines.
	Remote  string
	Details []string
}

// Env is what a function may need.
type Env struct {
	Log    *slog.Logger
	Secret func(secret.Template) (secret.Value, error)
	// Dir is the folder that relative paths of the config are relative to.
	Dir string
	// Region and Account are those of AWS that functions of its contract are told they
	// run in, "" for what stands for none.
	Region, Account string
	// Bounds are where it may be called, for functions that are called by an address.
	Bounds *egress.Bounds
	// Life counts starts and ends of instances, Attempts the requests that were
	// made to them; both may be nil.
	Life     *telemetry.Function
	Attempts *telemetry.Backend
}

// Definition is one kind of function. Make it with Define.
type Definition struct {
	Kind    string // the key that tells the kind: "run"
	Summary string
	Scheme  config.Scheme // how a route names it: fn:NAME
	// Others are further ways in which a route names it; set them on what Define has made.
	Others []config.Scheme
	New    func() any
	// Check says what is wrong with a config without starting anything. An error begins with the
	// key that it is about, as "scale.max: ", so that it is told there (see config.Function.At).
	Check func(env Env, config any) error
	// Warn says what keeps a right config from working on this machine; it starts
	// nothing either.
	Warn func(env Env, config any) []Warning
	// Build makes the backend; it may start processes.
	Build func(env Env, name string, config any) (Backend, error)
	// CheckPart says what is wrong with naming one function of an app; nil where
	// backends of this kind have no parts. It starts nothing.
	CheckPart func(env Env, config any, part string) error
	// CheckPath says why requests whose paths have a pattern cannot be sent to one function of an
	// app, as far as that is known before they come; captured tells what the route captures,
	// in host and path. Nil where any path can be sent. CheckPart has found the part right.
	CheckPath func(config any, part string, path pattern.Path, captured func(name string) bool) error
	// Rehearse makes of r, which nobody sends, what the platform would get of it, by the code that
	// sends, and says what is added to it that only sending tells, as a signature; nothing secret.
	// Nil where the function gets r as it is. It starts nothing and asks nobody. Errors are faults,
	// which the client would be told.
	Rehearse func(config any, part string, r *http.Request) (adds []string, err error)
	// Same tells whether the identity fields of both configs are equal, so that
	// the running backend is kept and tuned.
	Same func(a, b any) bool
	// Once gives the config for a single call: one instance, for which the call waits.
	Once func(config any) any
}

// Schemes are all ways in which a route names functions of this kind.
func (d Definition) Schemes() []config.Scheme { return append([]config.Scheme{d.Scheme}, d.Others...) }

// Mistakes are several in one config, each of which is told by itself.
type Mistakes []error

func (m Mistakes) Error() string {
	texts := make([]string, len(m))
	for i, one := range m {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

func (m Mistakes) Unwrap() []error { return m }

// Warning is told by `weir check`.
type Warning struct {
	What string // as the end of a sentence that begins with the function's name: "needs node"
	Why  string // what comes of it
	Fix  string
}

// Parts are the typed functions of a kind with config struct C.
type Parts[C any] struct {
	Kind     string
	Summary  string
	Scheme   config.Scheme
	Defaults func() C // fresh values each time
	Check    func(Env, *C) error
	Warn     func(Env, *C) []Warning // nil for none
	Build    func(Env, string, *C) (Backend, error)
	// CheckPart may be nil: see Definition. Where it is not, backends are Parted.
	CheckPart func(Env, *C, string) error
	// CheckPath may be nil: see Definition.
	CheckPath func(*C, string, pattern.Path, func(string) bool) error
	// Rehearse may be nil: see Definition.
	Rehearse func(*C, string, *http.Request) ([]string, error)
	Same     func(a, b *C) bool
	Once     func(*C) C
}

// Define makes a Definition from its typed parts.
func Define[C any](p Parts[C]) Definition {
	d := Definition{
		Kind: p.Kind, Summary: p.Summary, Scheme: p.Scheme,
		New: func() any { c := p.Defaults(); return &c },
		Check: func(env Env, cfg any) error {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return err
			}
			return p.Check(env, c)
		},
		Warn: func(env Env, cfg any) []Warning {
			c, err := typed[C](p.Kind, cfg)
			if err != nil || p.Warn == nil {
				return nil
			}
			return p.Warn(env, c)
		},
		Build: func(env Env, name string, cfg any) (Backend, error) {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return nil, err
			}
			return p.Build(env, name, c)
		},
		Same: func(a, b any) bool {
			ca, errA := typed[C](p.Kind, a)
			cb, errB := typed[C](p.Kind, b)
			return errA == nil && errB == nil && p.Same(ca, cb)
		},
		Once: func(cfg any) any {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return cfg // Build says what is wrong
			}
			once := p.Once(c)
			return &once
		},
	}
	if p.CheckPart != nil {
		d.CheckPart = func(env Env, cfg any, part string) error {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return err
			}
			return p.CheckPart(env, c, part)
		}
	}
	if p.CheckPath != nil {
		d.CheckPath = func(cfg any, part string, path pattern.Path, captured func(string) bool) error {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return err
			}
			return p.CheckPath(c, part, path, captured)
		}
	}
	if p.Rehearse != nil {
		d.Rehearse = func(cfg any, part string, r *http.Request) ([]string, error) {
			c, err := typed[C](p.Kind, cfg)
			if err != nil {
				return nil, err
			}
			return p.Rehearse(c, part, r)
		}
	}
	return d
}

func typed[C any](kind string, cfg any) (*C, error) {
	c, ok := cfg.(*C)
	if !ok {
		return nil, fmt.Errorf("function kind %s: its config is %T, not %T", kind, cfg, c)
	}
	return c, nil
}

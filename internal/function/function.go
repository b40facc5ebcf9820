// Package function is the contract of functions: backends that are invoked. Each child folder implements one kind of
// place where a function runs; folder all lists them.
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

// Backend is one function as a backend. RoundTrip follows the rules of package exchange; its errors are *fault.Fault.
type Backend interface {
	http.RoundTripper
	// Tune takes over another config whose identity is the same (see Definition.Same): bounds and timeouts change in
	// place, and nothing is restarted.
	Tune(config any)
	// Status reports the state of the function, for explain and the admin API.
	Status() Status
	// Close accepts no new requests, lets running ones finish until ctx ends, then ends every process and goroutine and
	// returns.
	Close(ctx context.Context) error
}

// Parted is a backend that is an app of several functions, which routes can name one by one: fn:APP/FUNCTION.
type Parted interface {
	// Part returns the function with that name. It lives as long as the app.
	Part(name string) (http.RoundTripper, error)
}

// Status is a snapshot of a function's state.
type Status struct {
	Instances int    // alive, in any state
	Busy      int    // handling a request
	Starting  int    // not ready yet
	Draining  int    // get no new requests, and end after their last one
	Wanted    int    // kept or being started, because recent requests needed this many at once
	Queued    int    // requests that wait for an instance
	Memory    int64  // peak use of the most recently started instance, in bytes; 0 if unknown
	Problem   string // why no instance is available, "" if all is well
	Version   string // of the code that serves, derived from its content; "" if not known yet
	Newer     string // why a newer version does not serve, "" if the serving version is the newest
	Note      string // what it is run as and why, for explain
	// Remote is the state of a function that runs elsewhere, in one line; "" for a function that has instances here.
	// Details are further lines.
	Remote  string
	Details []string
}

// Env is what a function may need from its surroundings.
type Env struct {
	Log    *slog.Logger
	Secret func(secret.Template) (secret.Value, error)
	// Dir is the folder that relative paths in the config refer to.
	Dir string
	// Region and Account are the AWS region and account that functions with AWS's contract are told they run in, "" for
	// the defaults that stand for none.
	Region, Account string
	// Bounds limit where the function may be called, for functions that are called by address.
	Bounds *egress.Bounds
	// Life counts starts and ends of instances, Attempts counts the requests made to them; both may be nil.
	Life     *telemetry.Function
	Attempts *telemetry.Backend
}

// Definition is one kind of function. Make it with Define.
type Definition struct {
	Kind    string // the key that identifies the kind: "run"
	Summary string
	Scheme  config.Scheme // how a route names it: fn:NAME
	// Others are further ways in which a route can name it; set them on the result of Define.
	Others []config.Scheme
	New    func() any
	// Check reports what is wrong with a config without starting anything. An error begins with the key that it is
	// about, as in "scale.max: ", so that it is reported at that place (see config.Function.At).
	Check func(env Env, config any) error
	// Warn reports what keeps a valid config from working on this machine; it starts nothing either.
	Warn func(env Env, config any) []Warning
	// Build creates the backend; it may start processes.
	Build func(env Env, name string, config any) (Backend, error)
	// CheckPart reports what is wrong with naming one function of an app; nil if backends of this kind have no parts.
	// It starts nothing.
	CheckPart func(env Env, config any, part string) error
	// CheckPath reports why requests whose paths match a pattern cannot be sent to one function of an app, as far as
	// that is known before they arrive; captured tells whether the route captures a name, in host or path. Nil if any
	// path can be sent. CheckPart has already accepted the part.
	CheckPath func(config any, part string, path pattern.Path, captured func(name string) bool) error
	// Rehearse turns r, which is never sent, into the request that the platform would get, using the code that sends
	// real ones. It returns what is added only on sending, such as a signature, and nothing secret. Nil if the function
	// gets r unchanged. It starts nothing and sends no requests. Errors are the faults that the client would get.
	Rehearse func(config any, part string, r *http.Request) (adds []string, err error)
	// Same reports whether the identity fields of both configs are equal, so that the running backend is kept and
	// tuned.
	Same func(a, b any) bool
	// Once returns the config for a single call: one instance, which the call waits for.
	Once func(config any) any
}

// Schemes returns all ways in which a route can name functions of this kind.
func (d Definition) Schemes() []config.Scheme { return append([]config.Scheme{d.Scheme}, d.Others...) }

// Mistakes are several mistakes in one config, each reported separately.
type Mistakes []error

func (m Mistakes) Error() string {
	texts := make([]string, len(m))
	for i, one := range m {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

func (m Mistakes) Unwrap() []error { return m }

// Warning is printed by `weir check`.
type Warning struct {
	What string // the end of a sentence that begins with the function's name: "needs node"
	Why  string // the consequence
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
	// CheckPart may be nil: see Definition. If it is not, backends are Parted.
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
				return cfg // Build reports what is wrong
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

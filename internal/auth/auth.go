// Package auth is the contract between the gateway and the ways of recognising callers. Each child folder is one kind
// of credential: its config struct, its behaviour, its README whose examples are run, and its tests. Folder all lists
// them.
//
// A Way only says who sent a request. The filter auth decides what follows from that (401, an anonymous caller, what
// goes on to the backend), once for all kinds. A way that cannot decide says so, and the request is denied.
package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
)

// Way is one built way of recognising callers. It is immutable and safe for concurrent use.
type Way struct {
	Name string
	// Recognise says who sent r, which belongs to an exchange. It does not change r. The error is ErrAbsent if r has no
	// credential of this kind, a *RefusedError if it has one that is not accepted, and a *fault.Fault if that cannot be
	// decided at the moment. Without an error the identity is never nil. The identity is shared and must not be
	// changed.
	Recognise func(r *http.Request) (*exchange.Identity, error)
	// Scheme tells a client how to show its credential (RFC 9110 section 11.6.1).
	Scheme string
	// Places are where the credential may stand.
	Places []Place
	Common
	// Note says in a few words how callers are recognised. `weir explain` prints it.
	Note string
	// Heard reports the state of what the way fetches from outside. The keys are the names of the sources; ways that
	// share a source use the same name.
	Heard map[string]func() telemetry.Heard

	told told
}

// Common is what the config of every kind has.
type Common struct {
	Forward Forward `doc:"forward,omitzero" help:"what the backend learns about the caller: the credential itself (token), or header fields; nothing by default" example:"token"`
	Realm   string  `doc:"realm,omitzero" help:"the realm that clients are told when they need a credential" example:"shop"`
}

// ErrAbsent says that a request has no credential of a way's kind.
var ErrAbsent = errors.New("there is no credential")

// RefusedError says that a credential is not accepted. The client learns Code and nothing else.
type RefusedError struct {
	Code   string // of RFC 6750 section 3.1: InvalidToken or InvalidRequest
	Reason string // for operators; contains nothing of the credential
}

// The codes of RFC 6750 section 3.1.
const (
	InvalidToken   = "invalid_token"
	InvalidRequest = "invalid_request"
)

func (e *RefusedError) Error() string { return e.Reason }

// Refuse returns an error that says that a credential is not accepted. It formats like fmt.Errorf.
func Refuse(format string, args ...any) error {
	return &RefusedError{Code: InvalidToken, Reason: fmt.Errorf(format, args...).Error()}
}

// Env is what a way may need to build itself. All of it is safe for concurrent use.
type Env struct {
	Name  string // of the element of auth
	Group string
	// Bounds limit the addresses that the way itself may call; nil means no limit.
	Bounds *egress.Bounds
	// Secret resolves a secret. While a config is only checked it returns placeholders.
	Secret func(secret.Template) (secret.Value, error)
	// Keep holds state that outlives a snapshot; keep.In uses it.
	Keep keep.Keeper
	// Checked is true if the config is only checked: secrets are placeholders, and what is built never runs.
	Checked bool
	// Await delays serving the config until ready is closed, so that the first request finds what it needs. One time
	// limit bounds the wait for everything that is awaited. Await may be nil.
	Await func(what string, ready <-chan struct{})
	// Shelf is where fetched data outlives the process; nil: it does not.
	Shelf *shelf.Shelf
	// Metrics count what a way does apart from requests; nil: nothing is counted.
	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// Definition is one kind of auth. Make it with Define.
type Definition struct {
	Kind    string // the key that selects the kind: "jwt"
	Summary string
	New     func() any
	Build   func(env Env, config any) (Way, error)
}

// Define makes a Definition for config struct C, which decodes the whole element, including the key of its kind.
// defaults returns a fresh value each time. build has no side effects except through keep.In, because `weir check`
// calls it too. Its error is reported to the author of the config at the element's place.
func Define[C any](kind, summary string, defaults func() C, build func(Env, *C) (Way, error)) Definition {
	return Definition{
		Kind: kind, Summary: summary,
		New: func() any { c := defaults(); return &c },
		Build: func(env Env, cfg any) (Way, error) {
			c, ok := cfg.(*C)
			if !ok {
				return Way{}, fmt.Errorf("auth of kind %s: its config is %T, not %T", kind, cfg, c)
			}
			way, err := build(env, c)
			if err == nil {
				err = way.Prepare(env)
			}
			way.Name = env.Name
			return way, err
		},
	}
}

// Vocabulary returns the definition in the form that the config's vocabulary uses.
func (d Definition) Vocabulary() config.Kind {
	return config.Kind{Name: d.Kind, Summary: d.Summary, New: d.New}
}

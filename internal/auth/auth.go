// Package auth is the contract of ways of recognising callers. Each child folder
// is one kind of credential: its config struct, its behaviour, its README whose
// examples are run, and its tests. Folder all lists them.
//
// A Way only says who sent a request. What follows from that (401, an anonymous
// caller, what goes on to the backend) is decided by the filter auth, once for all
// kinds. A way that cannot decide says so, and the request is denied.
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

// Way is one built way of recognising callers. It is immutable and is used by many
// goroutines.
type Way struct {
	Name string
	// Recognise says who sent r, which belongs to an exchange. It does not change r.
	// The error is ErrAbsent where r has no credential of this kind, a *RefusedError
	// where it has one that does not count, and a *fault.Fault where nobody can tell
	// just now. The identity is never nil without an error, and is shared: nobody
	// changes it.
	Recognise func(r *http.Request) (*exchange.Identity, error)
	// Scheme is how a client is told to show its credential (RFC 9110 section 11.6.1).
	Scheme string
	// Places are where it stands.
	Places []Place
	Common
	// Note says in a few words how callers are recognised, for explain.
	Note string
	// Heard tells how things stand with what the way fetches from outside, by the name of its
	// source, which ways that share it have in common.
	Heard map[string]func() telemetry.Heard

	told told
}

// Common is what the config of every kind has.
type Common struct {
	Forward Forward `doc:"forward,omitzero" help:"what the backend is told of the caller: the credential itself (token), or fields; nothing unless said" example:"token"`
	Realm   string  `doc:"realm,omitzero" help:"what clients are told they need a credential for" example:"shop"`
}

// ErrAbsent says that a request has no credential of a way's kind.
var ErrAbsent = errors.New("there is no credential")

// RefusedError says that a credential does not count. A client learns Code and no more.
type RefusedError struct {
	Code   string // of RFC 6750 section 3.1: InvalidToken or InvalidRequest
	Reason string // for operators; it holds nothing of the credential
}

// The codes of RFC 6750 section 3.1.
const (
	InvalidToken   = "invalid_token"
	InvalidRequest = "invalid_request"
)

func (e *RefusedError) Error() string { return e.Reason }

// Refuse says that a credential does not count; it formats as fmt.Errorf does.
func Refuse(format string, args ...any) error {
	return &RefusedError{Code: InvalidToken, Reason: fmt.Errorf(format, args...).Error()}
}

// Env is what a way may need to build itself. All of it may be used by several goroutines.
type Env struct {
	Name  string // of the element of auth
	Group string
	// Bounds are where what the way itself calls may be; nil bounds nothing.
	Bounds *egress.Bounds
	// Secret resolves a secret; when a config is only checked it gives placeholders.
	Secret func(secret.Template) (secret.Value, error)
	// Keep holds state that lives longer than one snapshot; it is used by keep.In.
	Keep keep.Keeper
	// Checked tells that the config is only checked: secrets are placeholders, and
	// what is built is never run.
	Checked bool
	// Await makes the config serve only when ready is closed, within a bound of time for all
	// that is awaited, so that the first request finds what it needs. It may be nil.
	Await func(what string, ready <-chan struct{})
	// Shelf is where what is fetched outlives the process; nil: nowhere.
	Shelf *shelf.Shelf
	// Metrics count what a way does beside the requests; nil: nothing is counted.
	Metrics *telemetry.Metrics
	Log     *slog.Logger
}

// Definition is one kind of auth. Make it with Define.
type Definition struct {
	Kind    string // the key that tells the kind: "jwt"
	Summary string
	New     func() any
	Build   func(env Env, config any) (Way, error)
}

// Define makes a Definition for config struct C, whose node is the whole element,
// the key of its kind included. defaults gives a fresh value each time. build has
// no side effects but through keep.In, for `weir check` calls it too. Its error is told to
// the config's writer at the element's place.
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

// Vocabulary is the definition as the config's vocabulary knows it.
func (d Definition) Vocabulary() config.Kind {
	return config.Kind{Name: d.Kind, Summary: d.Summary, New: d.New}
}

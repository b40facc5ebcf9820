// Package auth is the filter that asks who is calling. The ways of recognising a caller are elements of the config's
// `auth` and are built by package internal/auth. This package decides what follows from their results: which requests
// pass, how all others are answered, and what the backend is told.
package auth

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `auth` on a route.
type Config struct {
	Who config.AuthRule `doc:"who,required" help:"names under auth: a | b means any of them, a & b means all; | anonymous lets callers without a credential pass" example:"customer | partner"`
	// DryRun lets every request pass: a caller that the rule would have refused passes unidentified and is logged.
	DryRun bool `doc:"dry_run,omitzero" help:"let all requests pass, and log those that would have been refused; they pass without an identity"`
}

// Rehearses implements config.Rehearsed.
func (c *Config) Rehearses() bool { return c.DryRun }

// DecodeDoc reads a rule, or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Map {
		type long Config
		doc.Decode(n, (*long)(c), ps)
		return
	}
	c.Who.DecodeDoc(n, ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return &doc.Schema{AnyOf: []*doc.Schema{config.AuthRule{}.DocSchema(), doc.SchemaOf(reflect.TypeFor[long]())}}
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("auth", "asks who is calling", filter.StageAuth, func() Config { return Config{} }, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	g := &guard{anonymous: c.Who.Anonymous, dryRun: c.DryRun}
	var errs []error
	var notes []string
	for _, names := range c.Who.AnyOf {
		var a alternative
		var texts []string
		for _, n := range names {
			w, err := env.Auth(n.Name)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			a = append(a, w)
			texts = append(texts, describe(w))
			g.places = append(g.places, w.Taken()...)
		}
		if err := a.possible(); err != nil {
			errs = append(errs, err)
		}
		g.alternatives = append(g.alternatives, a)
		notes = append(notes, strings.Join(texts, " and "))
	}
	if g.anonymous {
		notes = append(notes, "anonymous")
	}
	if g.dryRun {
		g.decisions = env.Decisions("auth", slog.LevelDebug)
		notes = append(notes, "as a dry run anybody")
	}
	g.challenges = map[string][]exchange.Field{}
	for _, code := range []string{noCode, auth.InvalidToken, auth.InvalidRequest} {
		g.challenges[code] = challenges(g.alternatives, code)
	}
	return filter.Policy{Guard: g.guard, Ask: g.ask, Tell: g.tell, Note: strings.Join(notes, ", or ")}, errors.Join(errs...)
}

func describe(w auth.Way) string {
	if w.Note == "" {
		return w.Name
	}
	return w.Name + " (" + w.Note + ")"
}

// alternative requires all of its ways.
type alternative []auth.Way

// possible tells whether a request can show all credentials that a needs: a header field with a scheme has only one
// line.
func (a alternative) possible() error {
	for i, w := range a {
		field, scheme := onlyField(w.Places)
		if scheme == "" {
			continue
		}
		for _, other := range a[i+1:] {
			if f, s := onlyField(other.Places); f == field && s != "" && !strings.EqualFold(s, scheme) {
				return fmt.Errorf("%s and %s stand in one field, %s, which a request has once; so nobody could pass; give one of them another place by from, or write | for any of them", w.Name, other.Name, field)
			}
		}
	}
	return nil
}

// onlyField returns the only header field that may hold a credential, with its scheme; "" if the credential may also be
// elsewhere.
func onlyField(places []auth.Place) (name, scheme string) {
	if len(places) != 1 || places[0].Kind != auth.InHeader {
		return "", ""
	}
	return places[0].Name, places[0].Scheme
}

// guard holds one rule. It is immutable.
type guard struct {
	alternatives []alternative
	anonymous    bool
	dryRun       bool
	decisions    filter.Decisions // of a dry run; other refusals are in the access log
	places       []auth.Place     // of all ways: no unchecked credential may be passed on from there
	// challenges are the lines of WWW-Authenticate, by error code.
	challenges map[string][]exchange.Field
}

// noCode stands for the error code if no credential was shown: RFC 6750 section 3.1 defines none for that.
const noCode = ""

const (
	challengeField = "WWW-Authenticate" // RFC 9110 section 11.6.1
	usualRealm     = "api"              // if none is configured
)

// challenges returns each scheme and realm once, in the order of the rule.
func challenges(alternatives []alternative, code string) []exchange.Field {
	var list []exchange.Field
	for _, a := range alternatives {
		for _, w := range a {
			text := fmt.Sprintf("%s realm=%q", w.Scheme, cmp.Or(w.Realm, usualRealm))
			switch {
			case w.Scheme == "Bearer" && code != noCode:
				text += fmt.Sprintf(", error=%q", code)
			case w.Scheme == "Basic":
				text += `, charset="UTF-8"`
			}
			if line := (exchange.Field{Name: challengeField, Value: text}); !slices.Contains(list, line) {
				list = append(list, line)
			}
		}
	}
	return list
}

func (g *guard) guard(next http.Handler) http.Handler {
	invite := g.invite
	if g.dryRun {
		return g.rehearsal(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := g.admit(r); f != nil {
			exchange.Fail(w, f)
			return
		}
		if x := exchange.Of(r); x.Identity == nil {
			x.OnHead(invite)
		}
		next.ServeHTTP(w, r)
	})
}

// rehearsal is the guard of a dry run. Callers that are recognised are identified as usual. A request that would be
// refused passes with no identity, and never with the one it claims: its credentials are removed, because a backend
// would assume that they were checked. The response is not changed.
func (g *guard) rehearsal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := filter.Decision{DryRun: true}
		if f := g.admit(r); f != nil {
			d.Refuses, d.Reason = true, f.Operator
			g.unknow(r)
		}
		g.decisions.Record(r, d)
		next.ServeHTTP(w, r)
	})
}

// unknow removes the caller's identity from r, whatever was found out before r was refused.
func (g *guard) unknow(r *http.Request) {
	exchange.Of(r).Identity = nil
	auth.Strip(r, g.places, nil)
	for _, a := range g.alternatives {
		for i := range a {
			a[i].Untell(r)
		}
	}
}

// invite tells an anonymous caller how to identify itself if something behind the guard answers with 401, unless that
// answer does so itself.
func (g *guard) invite(status int, head exchange.Head) {
	if status == http.StatusUnauthorized && len(head.Values(challengeField)) == 0 {
		exchange.SetFields(head, g.challenges[noCode]...)
	}
}

var errUnchecked = errors.New("credentials are not checked here; assume a caller")

// ask treats an assumed caller as recognised. Credentials are not checked: what is needed to check them may not be
// available here.
func (g *guard) ask(r *http.Request) filter.Verdict {
	v := g.verdict(r)
	if v.Fault != nil && g.dryRun {
		return filter.Verdict{Why: v.Why + "; a dry run, so it passes without an identity"}
	}
	return v
}

func (g *guard) verdict(r *http.Request) filter.Verdict {
	switch x := exchange.Of(r); {
	case x.Identity != nil:
		return filter.Verdict{Why: "as assumed"}
	case g.shown(r):
		return filter.Verdict{Why: errUnchecked.Error(), Fault: fault.Unauthorized.New("", fault.WithFields(g.challenges[noCode]...), fault.Cause(errUnchecked))}
	case g.anonymous:
		return filter.Verdict{Why: "anonymous"}
	default:
		return filter.Verdict{Why: "nobody is calling; assume a caller", Fault: g.refuse(auth.ErrAbsent)}
	}
}

// shown tells whether r has anything in a place for credentials.
func (g *guard) shown(r *http.Request) bool {
	return slices.ContainsFunc(g.places, func(p auth.Place) bool {
		_, err := auth.Find(r, []auth.Place{p})
		return !errors.Is(err, auth.ErrAbsent)
	})
}

// admit sets the caller's identity and prepares the request for the backend, or returns why it may not pass.
func (g *guard) admit(r *http.Request) *fault.Fault {
	x := exchange.Of(r)
	identity, by, err := g.recognise(r)
	switch {
	case err == nil:
		x.Identity = identity
	case errors.Is(err, auth.ErrAbsent) && g.anonymous:
	default:
		return g.refuse(err)
	}
	var keep []auth.Place
	for _, w := range by {
		if w.Forward.Token {
			keep = append(keep, w.Places...)
		}
	}
	auth.Strip(r, g.places, keep)
	for i := range by {
		if f := by[i].Tell(r, identity); f != nil {
			return f
		}
	}
	return nil
}

// tell tells the backend about a caller that was recognised before, as admit does.
func (g *guard) tell(r *http.Request) *fault.Fault {
	who := exchange.Of(r).Identity
	for _, a := range g.alternatives {
		if !slices.ContainsFunc(a, func(w auth.Way) bool { return w.Name == who.Method }) {
			continue
		}
		for i := range a {
			if f := a[i].Tell(r, who); f != nil {
				return f
			}
		}
		return nil
	}
	return fault.Forbidden.New("", fault.Internal("callers are not recognised by auth %q here any more", who.Method))
}

// recognise tries the alternatives in order. The caller's identity is the one found by the first way of an alternative.
// If several alternatives fail, the most telling reason is returned: first that credentials cannot be checked, then
// that a credential is invalid.
func (g *guard) recognise(r *http.Request) (*exchange.Identity, alternative, error) {
	worst := auth.ErrAbsent
	for _, a := range g.alternatives {
		identity, err := a.recognise(r)
		if err == nil {
			return identity, a, nil
		}
		worst = worse(worst, err)
	}
	return nil, nil, worst
}

func (a alternative) recognise(r *http.Request) (*exchange.Identity, error) {
	var first *exchange.Identity
	absent := 0
	for _, w := range a {
		identity, err := w.Recognise(r)
		switch {
		case errors.Is(err, auth.ErrAbsent):
			absent++
		case err != nil:
			return nil, because(w.Name, err)
		case identity == nil: // against the contract; such a request must not pass
			return nil, fault.Unexpected.New("", fault.Internal("auth %s recognised nobody and said nothing", w.Name))
		case first == nil:
			first = identity
		}
	}
	switch {
	case absent == len(a):
		return nil, auth.ErrAbsent
	case absent > 0:
		return nil, &auth.RefusedError{Code: auth.InvalidRequest, Reason: "one credential of several is missing"}
	}
	return first, nil
}

// because adds to an error the way that refused the credential.
func because(name string, err error) error {
	if refused, ok := errors.AsType[*auth.RefusedError](err); ok {
		return &auth.RefusedError{Code: refused.Code, Reason: name + ": " + refused.Reason}
	}
	return err
}

func worse(a, b error) error {
	if gravity(b) > gravity(a) {
		return b
	}
	return a
}

func gravity(err error) int {
	_, refused := errors.AsType[*auth.RefusedError](err)
	switch {
	case errors.Is(err, auth.ErrAbsent):
		return 0
	case refused:
		return 1
	default:
		return 2
	}
}

// refuse is the answer to a caller that was not recognised. A client learns the available schemes and the error code of
// RFC 6750 section 3.1; the reason is for operators.
func (g *guard) refuse(err error) *fault.Fault {
	refused, ok := errors.AsType[*auth.RefusedError](err)
	if !ok && !errors.Is(err, auth.ErrAbsent) {
		if f, known := errors.AsType[*fault.Fault](err); known {
			return f
		}
		return fault.AuthUnavailable.New("", fault.RetryAfter(time.Second), fault.Cause(err))
	}
	code := noCode
	if ok {
		code = refused.Code
	}
	return fault.Unauthorized.New("", fault.WithFields(g.challenges[code]...), fault.Cause(err))
}

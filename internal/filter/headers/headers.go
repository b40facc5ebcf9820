package headers

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/filter"
)

// Definition is this kind of filter.
//
// It is both an adapter and a guard. The adapter changes the request and the
// backend's response, which is the same work on a route and on one
// backend. The guard, which only a route has, gives the response fields
// to the gateway's own errors too, which no adapter sees: a client should find
// Strict-Transport-Security on a 502 as well. No response passes both.
func Definition() filter.Definition {
	return filter.Define("headers", "sets, adds and removes fields of requests and responses", filter.StageHeaders,
		func() Config { return Config{} }, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	if problems := c.problems(); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New(text(p))
		}
		return filter.Policy{}, errors.Join(errs...)
	}
	request, err := compile(env, c.Request, expr.Request)
	if err != nil {
		return filter.Policy{}, fmt.Errorf("request.%w", err)
	}
	response, err := compile(env, c.Response, expr.Request|expr.Response)
	if err != nil {
		return filter.Policy{}, fmt.Errorf("response.%w", err)
	}
	f := &changer{request: request, response: response, log: env.Log}
	policy := filter.Policy{Adapt: f.adapt, Note: note(c)}
	if len(response) > 0 {
		policy.Guard = f.guard
	}
	return policy, nil
}

// note says how many fields are changed.
func note(c *Config) string {
	var parts []string
	for _, side := range []struct {
		name   string
		change Change
	}{{"request", c.Request}, {"response", c.Response}} {
		if n := len(side.change.Set) + len(side.change.Add) + len(side.change.Remove); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, side.name))
		}
	}
	return strings.Join(parts, ", ")
}

// operation is what happens to one field.
type operation struct {
	name  string
	verb  verb
	text  string
	value *expr.Program // in text's place where it is not nil
}

type verb uint8

const (
	remove verb = iota
	set
	add
)

// compile lists the operations of c in their order: remove, set, add.
func compile(env filter.Env, c Change, scope expr.Scope) ([]operation, error) {
	var ops []operation
	for _, name := range c.Remove {
		ops = append(ops, operation{name: http.CanonicalHeaderKey(name.Text), verb: remove})
	}
	for _, group := range []struct {
		key    string
		verb   verb
		fields Fields
	}{{"set", set, c.Set}, {"add", add, c.Add}} {
		seen := map[string]bool{}
		for _, field := range group.fields {
			op := operation{name: http.CanonicalHeaderKey(field.Name), verb: group.verb, text: field.Text}
			if err := op.prepare(env, field, scope); err != nil {
				return nil, fmt.Errorf("%s.%s: %w", group.key, field.Name, err)
			}
			if op.verb == set && seen[op.name] {
				op.verb = add // a list of values under one name replaces what is there once
			}
			seen[op.name] = true
			ops = append(ops, op)
		}
	}
	return ops, nil
}

// prepare compiles an expression, or resolves a secret once for all requests.
func (op *operation) prepare(env filter.Env, f Field, scope expr.Scope) error {
	var err error
	switch {
	case f.Expr != nil:
		op.value, err = expr.Compile(f.Expr.Source, expr.String, scope)
	case f.Secret != nil:
		var value secret.Value
		if value, err = f.Secret.Read(env.Secret); err != nil {
			break
		}
		if op.text = strings.Trim(value.Reveal(), " \t"); !httpx.IsFieldValue(op.text) {
			err = errors.New("the secret holds a line break or another control character, which no field can have")
		}
	}
	return err
}

// changer is a Config ready to run.
type changer struct {
	request, response []operation
	log               *slog.Logger
}

// adapt changes the request, and the response that comes back. A value that
// cannot be computed fails the exchange: the backend may rely on the field.
func (f *changer) adapt(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		in := expr.Input{Request: r}
		if err := apply(f.request, exchange.RequestHead(r), &in); err != nil {
			closeBody(r.Body)
			return nil, err
		}
		res, err := next.RoundTrip(r)
		if err != nil || len(f.response) == 0 {
			return res, err
		}
		in.Response = res
		if err := apply(f.response, exchange.ResponseHead(res), &in); err != nil {
			closeBody(res.Body)
			return nil, err
		}
		return res, nil
	})
}

// guard queues the response fields for the gateway's own errors. A value that
// cannot be computed is left out there, for there is no other error to answer with.
func (f *changer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.Of(r)
		x.OnHead(func(status int, head exchange.Head) {
			if x.Fault == nil {
				return // a backend's response, which the adapter has seen
			}
			in := expr.Input{Request: r, Response: copied(r, status, head)}
			for _, op := range f.response {
				if err := op.apply(head, &in); err != nil {
					f.log.Warn("response field left out", "field", op.name, "error", err)
				}
			}
		})
		next.ServeHTTP(w, r)
	})
}

// copied is a response with its head as it is now, for expressions that look at it
// while it changes.
func copied(r *http.Request, status int, head exchange.Head) *http.Response {
	res := exchange.NewResponse(r, status)
	exchange.CopyAll(exchange.ResponseHead(res), head)
	return res
}

func apply(ops []operation, head exchange.Head, in *expr.Input) error {
	for i := range ops {
		if err := ops[i].apply(head, in); err != nil {
			if told, ok := errors.AsType[*fault.Fault](err); ok {
				return told // what the client did wrong, as an ambiguous query
			}
			return fault.Unexpected.New("", fault.Internal("header %s", ops[i].name), fault.Cause(err))
		}
	}
	return nil
}

var errValue = errors.New("the value holds a line break or another control character")

func (op *operation) apply(head exchange.Head, in *expr.Input) error {
	if op.verb == remove {
		head.Del(op.name)
		return nil
	}
	value := op.text
	if op.value != nil {
		computed, err := op.value.String(in)
		if err != nil {
			return fmt.Errorf("compute the value: %w", err)
		}
		if value = strings.Trim(computed, " \t"); !httpx.IsFieldValue(value) {
			return errValue
		}
	}
	if op.verb == set {
		head.Set(op.name, value)
	} else {
		head.Add(op.name, value)
	}
	return nil
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeBody closes a body that goes no further.
func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close() // what was not read cannot be lost
	}
}

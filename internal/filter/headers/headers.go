package headers

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/filter"
)

// Definition is this kind of filter.
//
// It is both an adapter and a guard. The adapter changes the request and the backend's response, and works in the same
// way on a route and on one backend. The guard, which only a route has, also sets the response fields on the gateway's
// own errors, which no adapter sees: a 502 should have Strict-Transport-Security as well. No response passes through
// both.
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
	policy := filter.Policy{Adapt: f.adapt, KeepsNothing: true, Note: note(c)}
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

// operation is the change of one field.
type operation struct {
	name  string
	verb  verb
	line  field.Line    // to set or add; it is made once for all messages
	value *expr.Program // replaces line if not nil
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
		for _, f := range group.fields {
			op := operation{name: http.CanonicalHeaderKey(f.Name), verb: group.verb}
			if err := op.prepare(env, f, scope); err != nil {
				return nil, fmt.Errorf("%s.%s: %w", group.key, f.Name, err)
			}
			if op.verb == set && seen[op.name] {
				op.verb = add // with several values for one name, only the first replaces the existing ones
			}
			seen[op.name] = true
			ops = append(ops, op)
		}
	}
	return ops, nil
}

// prepare compiles an expression, or makes the line of a text or a secret. A secret is resolved once for all requests.
func (op *operation) prepare(env filter.Env, f Field, scope expr.Scope) (err error) {
	if f.Expr != nil {
		op.value, err = expr.Compile(f.Expr.Source, expr.String, scope)
		return err
	}
	text := f.Text
	if f.Secret != nil {
		value, err := f.Secret.Read(env.Secret)
		if err != nil {
			return err
		}
		if text = strings.Trim(value.Reveal(), " \t"); !httpx.IsFieldValue(text) {
			return errors.New("the secret holds a line break or another control character, which no field can have")
		}
	}
	op.line = field.Make(op.name, text)
	return nil
}

// changer is a Config ready to run.
type changer struct {
	request, response []operation
	log               *slog.Logger
}

// adapt puts an adapter around a backend.
func (f *changer) adapt(next http.RoundTripper) http.RoundTripper { return &adapter{f, next} }

// adapter and guardian are types of their own because closures would be deeper on the stack of each request.
type adapter struct {
	*changer

	next http.RoundTripper
}

// RoundTrip changes the request and its response. A value that cannot be computed fails the exchange, because the
// backend may rely on the field.
func (a *adapter) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := apply(a.request, exchange.RequestHead(r), r, nil); err != nil {
		closeBody(r.Body)
		return nil, err
	}
	res, err := a.next.RoundTrip(r)
	if err != nil || len(a.response) == 0 {
		return res, err
	}
	if err := apply(a.response, exchange.ResponseHead(res), r, res); err != nil {
		closeBody(res.Body)
		return nil, err
	}
	return res, nil
}

// guard puts a guardian in front of a handler.
func (f *changer) guard(next http.Handler) http.Handler {
	computes := slices.ContainsFunc(f.response, func(op operation) bool { return op.value != nil })
	return &guardian{f, next, f.onFault(nil), computes}
}

type guardian struct {
	*changer

	next     http.Handler
	same     func(status int, head exchange.Head) // if nothing is computed
	computes bool
}

// ServeHTTP queues the response fields only for the gateway's own errors: the adapter changes the backend's responses.
func (g *guardian) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := g.same
	if g.computes {
		op = g.onFault(r)
	}
	exchange.Of(r).OnFault(op)
	g.next.ServeHTTP(w, r)
}

// onFault returns the change of the head of the gateway's own errors; r is nil if nothing is computed. A value that
// cannot be computed is left out there, because there is no other error to answer with.
func (f *changer) onFault(r *http.Request) func(status int, head exchange.Head) {
	return func(status int, head exchange.Head) {
		var res *http.Response
		if r != nil {
			res = copied(r, status, head)
		}
		for i := range f.response {
			if err := f.response[i].apply(head, r, res); err != nil {
				f.log.Warn("response field left out", "field", f.response[i].name, "error", err)
			}
		}
	}
}

// copied returns a response with a copy of the current head, for expressions that read the head while it changes.
func copied(r *http.Request, status int, head exchange.Head) *http.Response {
	res := exchange.NewResponse(r, status)
	exchange.CopyAll(exchange.ResponseHead(res), head)
	return res
}

func apply(ops []operation, head exchange.Head, r *http.Request, res *http.Response) error {
	for i := range ops {
		if err := ops[i].apply(head, r, res); err != nil {
			if told, ok := errors.AsType[*fault.Fault](err); ok {
				return told // the client's mistake, such as an ambiguous query
			}
			return fault.Unexpected.New("", fault.Internal("header %s", ops[i].name), fault.Cause(err))
		}
	}
	return nil
}

var errValue = errors.New("the value holds a line break or another control character")

func (op *operation) apply(head exchange.Head, r *http.Request, res *http.Response) error {
	switch {
	case op.verb == remove:
		head.Del(op.name)
	case op.value != nil:
		return op.applyComputed(head, r, res)
	case op.verb == set:
		exchange.SetLine(head, op.line)
	default:
		exchange.AddLine(head, op.line)
	}
	return nil
}

// applyComputed sets or adds the expression's result for r and res.
func (op *operation) applyComputed(head exchange.Head, r *http.Request, res *http.Response) error {
	computed, err := op.value.String(&expr.Input{Request: r, Response: res})
	if err != nil {
		return fmt.Errorf("compute the value: %w", err)
	}
	value := strings.Trim(computed, " \t")
	if !httpx.IsFieldValue(value) {
		return errValue
	}
	if op.verb == set {
		head.Set(op.name, value)
	} else {
		head.Add(op.name, value)
	}
	return nil
}

// closeBody closes a body that goes no further.
func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close() // there is nothing to lose in an unread body
	}
}

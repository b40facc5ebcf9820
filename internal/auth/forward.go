package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Forward configures what a backend is told about a caller.
type Forward struct {
	// Token passes the credential on as it came. Otherwise it is removed.
	Token bool
	// Headers are header fields that Weir sets and that clients can never send.
	Headers []Field
	// JWT makes the gateway's own tokens; nil: there are none.
	JWT *Mint
}

// Field is a header field with the expression that gives its value.
type Field struct {
	Name string // in its canonical spelling
	Expr config.Expr
	Pos  doc.Pos // of the name
}

// forwardForm is the config form of Forward.
type forwardForm struct {
	Token   bool      `doc:"token,omitzero" help:"whether the credential is passed on unchanged"`
	Headers fieldsMap `doc:"headers,omitzero" help:"header fields and their values; clients can never send these fields" example:"{ X-User: =auth.sub }"`
	JWT     *Mint     `doc:"jwt,omitzero" help:"a token that the gateway issues itself" example:"{ audience: orders }"`
}

// fieldsMap is the config form of Forward.Headers.
type fieldsMap []Field

// DecodeDoc reads `token`, `jwt`, `none` or a map.
func (f *Forward) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		switch n.Value {
		case "token":
			f.Token = true
		case "jwt":
			m := usualMint()
			f.JWT = &m
		case "none":
		default:
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("forward is %q", n.Value), Why: "it says what the backend is told of the caller", Fix: "write token, jwt, none, or `forward: { headers: { X-User: =auth.sub } }`"})
		}
		return
	}
	var form forwardForm
	doc.Decode(n, &form, ps)
	*f = Forward{Token: form.Token, Headers: form.Headers, JWT: form.JWT}
	if f.Token && f.JWT != nil && f.JWT.Field == Authorization {
		ps.Add(doc.Problem{Pos: n.Pos, What: "the caller's token and the gateway's own would stand in one field", Fix: "write `header: X-Identity` below jwt"})
	}
	if f.JWT != nil && fieldsMap(f.Headers).has(f.JWT.Field) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("the field %s stands twice", f.JWT.Field), Why: "the gateway's own token would replace what headers says", Fix: "write another `header` below jwt"})
	}
}

// has reports whether one of the fields is name in any spelling.
func (f fieldsMap) has(name string) bool {
	return slices.ContainsFunc(f, func(field Field) bool { return forward.Folds(field.Name, folded(name)) })
}

// EncodeDoc writes it in the form in which it is read.
func (f Forward) EncodeDoc() *doc.Node {
	if len(f.Headers) == 0 && f.Token && f.JWT == nil {
		return &doc.Node{Kind: doc.Scalar, Value: "token"}
	}
	return doc.EncodeNode(forwardForm{f.Token, f.Headers, f.JWT})
}

// DocSchema implements doc.SchemaWriter.
func (Forward) DocSchema() *doc.Schema {
	return doc.SchemaOr[forwardForm](&doc.Schema{Enum: []string{"token", "jwt", "none"}})
}

// DecodeDoc reads a map of names to expressions.
func (f *fieldsMap) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " is given where fields are expected", Fix: "write a map, for example `X-User: =auth.sub`"})
		return
	}
	for _, e := range n.Entries {
		field := Field{Name: http.CanonicalHeaderKey(e.Key), Pos: e.KeyPos}
		field.Expr.DecodeDoc(e.Value, ps)
		if p, bad := field.problem(*f); bad {
			ps.Add(p)
		}
		*f = append(*f, field)
	}
}

// EncodeDoc writes it in the form in which it is read.
func (f fieldsMap) EncodeDoc() *doc.Node {
	n := &doc.Node{Kind: doc.Map}
	for _, field := range f {
		n.Entries = append(n.Entries, doc.Entry{Key: field.Name, Value: field.Expr.EncodeDoc()})
	}
	return n
}

// DocSchema implements doc.SchemaWriter.
func (fieldsMap) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: doc.SchemaOf(reflect.TypeFor[config.Expr]())}
}

// Expressions implements config.Expressive for every kind, because every kind's config embeds Common.
func (c *Common) Expressions() []config.Expression {
	list := make([]config.Expression, 0, len(c.Forward.Headers))
	for i := range c.Forward.Headers {
		f := &c.Forward.Headers[i]
		list = append(list, config.Expression{Expr: &f.Expr, Field: f.Name, Want: expr.String})
	}
	return list
}

// problem says why a header field cannot tell a backend who is calling.
func (f Field) problem(before fieldsMap) (doc.Problem, bool) {
	p := doc.Problem{Pos: f.Pos, Fix: "choose another name, for example X-User"}
	switch {
	case !httpx.IsToken(f.Name):
		p.What, p.Why = fmt.Sprintf("%q is not the name of a field", f.Name), "names are letters, digits and some punctuation, without spaces"
	case forward.Managed(f.Name) && !strings.HasPrefix(f.Name, "X-Forwarded-"), common(f.Name):
		p.What, p.Why = fmt.Sprintf("the field %s cannot tell who is calling", f.Name), "clients send it for other reasons, and it would be taken away from them"
	case before.has(f.Name):
		p.What, p.Why = fmt.Sprintf("the field %s stands twice", f.Name), "many backends read its spellings as one"
	default:
		return doc.Problem{}, false
	}
	return p, true
}

// common reports whether clients send a header field for reasons of their own (RFC 9110, and the fields that browsers,
// gRPC and tracing add). A field that tells who is calling is removed from what clients send, so these cannot be used
// for it.
func common(name string) bool {
	name = folded(name)
	for _, prefix := range []string{"accept", "access-control-", "content-", "grpc-", "if-", "sec-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"authorization", "baggage", "cache-control", "cookie", "date", "dpop", "from", "idempotency-key", "last-event-id", "max-forwards", "origin", "pragma", "prefer",
		"priority", "range", "referer", "traceparent", "tracestate", "user-agent", "x-csrf-token", "x-http-method-override", "x-requested-with", "x-xsrf-token",
	}, name)
}

// folded returns a name in the form in which forward.Folds compares it.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '.' {
			return '-'
		}
		return unicode.ToLower(r)
	}, name)
}

// Managed returns the folded names of the header fields that Weir sets and that nobody else may set.
func (f Forward) Managed() []string {
	var names []string
	for _, h := range f.Headers {
		names = append(names, folded(h.Name))
	}
	if f.JWT != nil && f.JWT.Field != Authorization {
		names = append(names, folded(f.JWT.Field))
	}
	return names
}

// told is a compiled Forward.
type told struct {
	fields []toldField
	minter *minter // nil: no tokens
}

type toldField struct {
	name  string
	value *expr.Program
}

// ready compiles f.
func (f Forward) ready(env Env) (told, error) {
	var t told
	for _, h := range f.Headers {
		program, err := expr.Compile(h.Expr.Source, expr.String, expr.Request)
		if err != nil {
			return t, fmt.Errorf("forward.headers: %s: %w", h.Name, err)
		}
		t.fields = append(t.fields, toldField{h.Name, program})
	}
	var err error
	if f.JWT != nil {
		t.minter, err = newMinter(env, *f.JWT)
	}
	return t, err
}

// Prepare compiles what w tells backends about callers. Define calls it for every way.
func (w *Way) Prepare(env Env) error {
	if !httpx.IsFieldValue(w.Realm) {
		return fmt.Errorf("the realm %q holds a control character", w.Realm)
	}
	var err error
	w.told, err = w.Forward.ready(env)
	return err
}

// lacking is what a caller learns if its credential lacks a claim that the backend needs.
const lacking = "The credential does not say what is needed here."

// Tell sets on r what its backend is told about the caller; who is the caller's identity in the exchange. Empty values
// are left out. If a value cannot be computed, or no header field can hold it, the caller is refused, because its
// credential does not say what the backend relies on. That is the caller's failure alone and must not raise an alarm.
func (w *Way) Tell(r *http.Request, who *exchange.Identity) *fault.Fault {
	head := exchange.RequestHead(r)
	for _, f := range w.told.fields {
		value, err := f.value.String(&expr.Input{Request: r})
		switch {
		case err != nil:
			return fault.Forbidden.New(lacking, fault.Internal("forward.headers: %s cannot be told", f.name), fault.Cause(err))
		case !httpx.IsFieldValue(value):
			return fault.Forbidden.New(lacking, fault.Internal("forward.headers: the value of %s holds a control character", f.name))
		case value != "":
			head.Set(f.name, value)
		}
	}
	m := w.told.minter
	if m == nil {
		return nil
	}
	token, err := m.token(who, time.Now())
	if err != nil {
		return fault.Unexpected.New("", fault.Internal("forward.jwt"), fault.Cause(err))
	}
	if m.Field == Authorization {
		token = "Bearer " + token
	}
	head.Set(m.Field, token)
	return nil
}

// Untell removes from r what Tell has set, except the gateway's own token, which stands in one of the places that Taken
// returns.
func (w *Way) Untell(r *http.Request) {
	for _, f := range w.told.fields {
		exchange.RequestHead(r).Del(f.name)
	}
}

// Taken returns the places whose content from the client must not reach the backend: those of the way's credential, and
// that of the gateway's own token.
func (w *Way) Taken() []Place {
	if w.Forward.JWT == nil {
		return w.Places
	}
	return append(slices.Clip(w.Places), Place{Kind: InHeader, Name: w.Forward.JWT.Field})
}

// PublicKeys returns, as JWKs, the keys that verify the gateway's own tokens.
func (w *Way) PublicKeys() []json.RawMessage {
	if w.told.minter == nil {
		return nil
	}
	return w.told.minter.public
}

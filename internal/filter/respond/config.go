// Package respond is the filter that answers requests itself, without a backend.
package respond

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `respond`.
type Config struct {
	Status  int               `doc:"status,omitzero" help:"the status; by default 200, or 204 without a body" example:"404"`
	Body    *Body             `doc:"body,omitzero" help:"a text, or a map or list to send as JSON"`
	Headers map[string]string `doc:"headers,omitzero" help:"header fields of the response"`
}

// Body is the body to send: the result of Expr, or Text as it is if Expr is nil.
type Body struct {
	Text string
	Type string // its Content-Type
	Expr *config.Expr
}

const (
	plainText = "text/plain; charset=utf-8"
	jsonType  = "application/json"

	contentType = "Content-Type"
)

// DecodeDoc reads the short forms, a status or a text, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var own doc.Problems
	switch n.Kind {
	case doc.Scalar:
		if status, err := strconv.Atoi(n.Value); err == nil && !n.Quoted {
			c.Status = status
			break
		}
		c.Body = new(Body)
		c.Body.DecodeDoc(n, &own)
	case doc.Map:
		type long Config
		doc.Decode(n, (*long)(c), &own)
	default:
		ps.Add(doc.Problem{Pos: n.Pos, What: "respond is a list here", Why: "it must be a status, a text, or a map", Fix: "for example `respond: 404`"})
		return
	}
	if !own.Failed() {
		if _, err := c.build(); err != nil {
			own.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
		}
	}
	ps.Join(&own)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("a status, or a text"))
}

// DecodeDoc reads a text, an expression, or any tree as JSON.
func (b *Body) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Scalar {
		text, err := jsonx.Append(nil, tree(n))
		if err != nil {
			ps.Add(doc.Problem{Pos: n.Pos, What: "the body cannot be written as JSON: " + err.Error()})
		}
		b.Text, b.Type = string(text), jsonType
		return
	}
	if strings.HasPrefix(n.Value, "=") {
		b.Expr = new(config.Expr)
		b.Expr.DecodeDoc(n, ps)
		return
	}
	b.Text, b.Type = n.Value, plainText
}

// DocSchema implements doc.SchemaWriter: a body is anything but null.
func (*Body) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string", "number", "boolean", "object", "array"}}
}

// EncodeDoc writes the body as it is read.
func (b *Body) EncodeDoc() *doc.Node {
	if b.Expr != nil {
		return b.Expr.EncodeDoc()
	}
	if v, err := jsonx.Parse([]byte(b.Text), jsonx.Options{}); err == nil && b.Type == jsonType {
		return node(v)
	}
	return &doc.Node{Kind: doc.Scalar, Value: b.Text, Quoted: true}
}

// node is the YAML form of a JSON value.
func node(v jsonx.Value) *doc.Node {
	switch v.Kind() {
	case jsonx.List:
		out := &doc.Node{Kind: doc.List}
		for e := range v.Elements() {
			out.Items = append(out.Items, node(e))
		}
		return out
	case jsonx.Object:
		out := &doc.Node{Kind: doc.Map}
		for name, m := range v.Members() {
			out.Entries = append(out.Entries, doc.Entry{Key: name, Value: node(m)})
		}
		return out
	case jsonx.String:
		return &doc.Node{Kind: doc.Scalar, Value: v.Text(), Quoted: true}
	default:
		return &doc.Node{Kind: doc.Scalar, Value: v.Raw()}
	}
}

// tree is the JSON form of a node: plain scalars that look like JSON numbers or words become these, all others become
// strings.
func tree(n *doc.Node) any {
	switch n.Kind {
	case doc.List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = tree(item)
		}
		return list
	case doc.Map:
		object := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			object[e.Key] = tree(e.Value)
		}
		return object
	default:
		if !n.Quoted {
			if v, err := jsonx.Parse([]byte(n.Value), jsonx.Options{}); err == nil && v.Len() == 0 && v.Kind() < jsonx.String {
				return v
			}
		}
		return n.Value
	}
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("respond", "answers by itself, without a backend", filter.StageRespond,
		func() Config { return Config{} },
		func(_ filter.Env, c *Config) (filter.Policy, error) {
			a, err := c.build()
			if err == nil {
				err = c.program(a)
			}
			if err != nil {
				return filter.Policy{}, err
			}
			return filter.Policy{Adapt: a.adapt, Note: a.note()}, nil
		})
}

// build checks c and prepares its answer.
func (c *Config) build() (*answer, error) {
	a := &answer{status: c.Status}
	if c.Body != nil && !c.computes() { // the result of an expression is only known at run time
		a.body = c.Body.Text
	}
	if a.status == 0 {
		a.status = http.StatusOK
		if c.Body == nil {
			a.status = http.StatusNoContent
		}
	}
	if a.status < 200 || a.status > 599 {
		return nil, fmt.Errorf("%d is not a final status; it is between 200 and 599", a.status)
	}
	if bodiless(a.status) && (a.body != "" || c.computes()) {
		return nil, fmt.Errorf("a response with status %d has no body; leave one of them out", a.status)
	}
	return a, c.fields(a)
}

// fields sets the header fields of every response: those of the config, and the Content-Type of a body that is known in
// advance.
func (c *Config) fields(a *answer) error {
	fields := make(map[string]string, len(c.Headers)+1)
	if a.body != "" {
		fields[contentType] = c.Body.Type
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if err := checkField(name, c.Headers[name]); err != nil {
			return err
		}
		fields[http.CanonicalHeaderKey(name)] = c.Headers[name]
	}
	_, a.typed = fields[contentType]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		a.fields = append(a.fields, exchange.Field{Name: name, Value: fields[name]})
	}
	return nil
}

// computes tells whether the body is an expression.
func (c *Config) computes() bool { return c.Body != nil && c.Body.Expr != nil }

// Expressions implements config.Expressive.
func (c *Config) Expressions() []config.Expression {
	if !c.computes() {
		return nil
	}
	return []config.Expression{{Expr: c.Body.Expr, Field: "body"}}
}

// program compiles a body that is an expression.
func (c *Config) program(a *answer) error {
	if !c.computes() {
		return nil
	}
	program, err := expr.Compile(c.Body.Expr.Source, expr.Any, expr.Request)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	a.program = program
	return nil
}

// bodiless holds for statuses whose responses never have content (RFC 9110 section 6.4.1).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

func checkField(name, value string) error {
	switch canonical := http.CanonicalHeaderKey(name); {
	case !httpx.IsToken(name):
		return fmt.Errorf("%q is not the name of a field", name)
	case slices.Contains([]string{"Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}, canonical):
		return fmt.Errorf("%s cannot be set: the gateway writes it", canonical)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
		return fmt.Errorf("the value of %s holds a line break or another control character", canonical)
	}
	return nil
}

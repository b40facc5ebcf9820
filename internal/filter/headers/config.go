// Package headers is the filter that sets, adds and removes fields of requests
// and responses.
package headers

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is what people write under `headers`.
type Config struct {
	Request  Change `doc:"request,omitzero" help:"fields of the request, before it goes to the backend"`
	Response Change `doc:"response,omitzero" help:"fields of the response, the gateway's own errors included"`
}

// Change is what happens to the fields of one head: first remove, then set, then add.
type Change struct {
	Set    Fields `doc:"set,omitzero" help:"fields that get exactly this value"`
	Add    Fields `doc:"add,omitzero" help:"values that are added to what is there"`
	Remove []Name `doc:"remove,oneormany,omitzero" help:"fields that are taken away" example:"Server"`
}

// Name is that of a field that is removed, with its place.
type Name struct {
	Text string
	Pos  doc.Pos
}

// DecodeDoc reads a name.
func (m *Name) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	m.Pos = n.Pos
	doc.Decode(n, &m.Text, ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Name) DocSchema() *doc.Schema { return doc.TextSchema("a field's name") }

// EncodeDoc writes the name as it is read.
func (m *Name) EncodeDoc() *doc.Node {
	return &doc.Node{Kind: doc.Scalar, Pos: m.Pos, Value: m.Text}
}

// Field is one field with its value: Text, or what Expr gives or Secret holds
// where one of these is not nil. In files a value that begins with '=' is an
// expression, and one with references is a secret; values that come from objects
// are always Text.
type Field struct {
	Name   string
	Text   string
	Expr   *config.Expr
	Secret *config.Secret
	Pos    doc.Pos // of the value
}

// Fields is a list of fields in their order, written as a map. A name may have a list
// of values.
type Fields []Field

// DecodeDoc reads a map of names to values.
func (f *Fields) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " stands where fields are expected", Fix: "write a map, for example `X-Team: shop`"})
		return
	}
	*f = nil
	for _, e := range n.Entries {
		values := []*doc.Node{e.Value}
		if e.Value.Kind == doc.List {
			values = e.Value.Items
		}
		for _, v := range values {
			*f = append(*f, decodeField(e.Key, v, ps))
		}
	}
}

func decodeField(name string, n *doc.Node, ps *doc.Problems) Field {
	field := Field{Name: name, Pos: n.Pos}
	switch {
	case n.Kind == doc.Scalar && strings.HasPrefix(n.Value, "="):
		field.Expr = new(config.Expr)
		field.Expr.DecodeDoc(n, ps)
		if t, err := secret.Parse(n.Value); err == nil && slices.ContainsFunc(t.Parts, isReference) {
			ps.Add(doc.Problem{
				Pos: n.Pos, What: "the value of " + name + " mixes an expression with a secret",
				Why: "an expression is computed for each request and knows no secrets, so ${...} would be sent as it stands there",
				Fix: "write the secret with literal text alone, for example `" + name + ": Bearer ${env:TOKEN}`",
			})
		}
	case n.Kind == doc.Scalar && strings.Contains(n.Value, "${"):
		field.Secret = new(config.Secret)
		field.Secret.DecodeDoc(n, ps)
		if parts := field.Secret.Parts; len(parts) == 1 && !isReference(parts[0]) { // nothing but $${
			field.Text, field.Secret = parts[0].Text, nil
		}
	default:
		doc.Decode(n, &field.Text, ps)
	}
	return field
}

// isReference tells references from literal text.
func isReference(p secret.Part) bool { return p.Source != "" }

// DocSchema implements doc.SchemaWriter.
func (*Fields) DocSchema() *doc.Schema {
	value := doc.TextSchema("a value, an expression that begins with =, or a text with secrets ${env:NAME}")
	return &doc.Schema{
		Type:                 doc.Types{"object"},
		AdditionalProperties: &doc.Schema{AnyOf: []*doc.Schema{value, doc.ListSchema(value)}},
	}
}

// EncodeDoc writes the fields as they are read.
func (f *Fields) EncodeDoc() *doc.Node {
	if len(*f) == 0 {
		return nil
	}
	out := &doc.Node{Kind: doc.Map}
	for _, field := range *f {
		value := field.encode()
		i := slices.IndexFunc(out.Entries, func(e doc.Entry) bool { return e.Key == field.Name })
		switch {
		case i < 0:
			out.Entries = append(out.Entries, doc.Entry{Key: field.Name, KeyPos: field.Pos, Value: value})
		case out.Entries[i].Value.Kind == doc.List:
			out.Entries[i].Value.Items = append(out.Entries[i].Value.Items, value)
		default:
			out.Entries[i].Value = &doc.Node{Kind: doc.List, Items: []*doc.Node{out.Entries[i].Value, value}}
		}
	}
	return out
}

// encode writes the value as it is read: a secret by its references.
func (f Field) encode() *doc.Node {
	if f.Expr != nil {
		return f.Expr.EncodeDoc()
	}
	parts := []secret.Part{{Text: f.Text}}
	if f.Secret != nil {
		parts = f.Secret.Parts
	}
	var text strings.Builder
	for _, p := range parts {
		if isReference(p) {
			text.WriteString("${" + p.Source + ":" + p.Text + "}")
		} else { // what stands beside a reference is no more secret than other values of fields
			text.WriteString(strings.ReplaceAll(p.Text, "${", "$${"))
		}
	}
	return &doc.Node{Kind: doc.Scalar, Pos: f.Pos, Value: text.String(), Quoted: true}
}

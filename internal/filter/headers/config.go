// Package headers is the filter that sets, adds and removes header fields of requests and responses.
package headers

import (
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is the value of `headers`.
type Config struct {
	Request  Change `doc:"request,omitzero" help:"changes to the request's header fields, before it goes to the backend"`
	Response Change `doc:"response,omitzero" help:"changes to the response's header fields, including those of the gateway's own errors"`
}

// Change is the change of one head: first remove, then set, then add.
type Change struct {
	Set    Fields `doc:"set,omitzero" help:"header fields to set to exactly this value"`
	Add    Fields `doc:"add,omitzero" help:"values to add to header fields"`
	Remove []Name `doc:"remove,oneormany,omitzero" help:"header fields to remove" example:"Server"`
}

// Name is the name of a field to remove, with its position.
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

// Field is the config's own type, because steps of compositions have such fields too.
type Field = config.Field

// Fields is the config's own type.
type Fields = config.Fields

package config

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Call is a backend that a filter calls itself.
type Call struct{ Ref Ref }

// Calling is implemented by the config of a filter that calls backends. These are written like a route's backends and
// follow the same rules.
type Calling interface{ Calls() []*Call }

// DecodeDoc reads the text of a reference; it is checked when its route is read.
func (c *Call) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the backend", "http://users:8080", ps) {
		return
	}
	scheme, rest, ok := strings.Cut(n.Value, ":")
	if !ok {
		scheme, rest = "", n.Value
	}
	c.Ref = Ref{Scheme: scheme, Rest: rest, Origin: Origin{Pos: n.Pos}}
}

// EncodeDoc writes the reference as it is read.
func (c Call) EncodeDoc() *doc.Node { return doc.EncodeNode(c.Ref.String()) }

// DocSchema implements doc.SchemaWriter.
func (Call) DocSchema() *doc.Schema { return doc.TextSchema("a backend") }

// calls reads the backends that the filters of a route call.
func (l *loader) calls(r *Route, ps *doc.Problems) {
	for _, f := range r.Filters {
		calling, ok := f.Config.(Calling)
		if !ok {
			continue
		}
		for _, call := range calling.Calls() {
			at := call.Ref.Origin.Pos
			t, ok := readTarget(scalarAt(call.Ref.String(), at), r.Group, l.v, ps)
			switch {
			case !ok:
			case t.answer.Key != "" || t.path != nil:
				ps.Add(doc.Problem{Pos: at, What: fmt.Sprintf("%s calls %q", f.Name, call.Ref), Why: "a filter calls a backend on its own, with its own path", Fix: "write a backend without a path, such as http://users:8080 or fn:orders"})
			default:
				call.Ref = t.ref
			}
		}
	}
}

// called checks the backends that a filter calls.
func (c *validator) called(config any) {
	if calling, ok := config.(Calling); ok {
		for _, call := range calling.Calls() {
			c.reference(call.Ref)
		}
	}
}

package headers

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// DecodeDoc reads the config and checks it at its position.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	for _, p := range c.problems() {
		if p.Pos.Line == 0 {
			p.Pos = n.Pos
		}
		ps.Add(p)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOf(reflect.TypeFor[long]())
}

// problems returns everything that is wrong with c.
func (c *Config) problems() []doc.Problem {
	list := append(c.Request.problems(), c.Response.problems()...)
	if p, ok := hostProblem(c.Request); ok {
		list = append(list, p)
	}
	empty := func(ch Change) bool { return len(ch.Set)+len(ch.Add)+len(ch.Remove) == 0 }
	if len(list) == 0 && empty(c.Request) && empty(c.Response) {
		list = append(list, doc.Problem{What: "headers changes nothing", Fix: "give it request or response with set, add or remove"})
	}
	return list
}

// Expressions implements config.Expressive.
func (c *Config) Expressions() []config.Expression {
	var list []config.Expression
	for _, side := range []struct {
		change Change
		scope  expr.Scope
	}{{c.Request, expr.Request}, {c.Response, expr.Request | expr.Response}} {
		for _, f := range slices.Concat(side.change.Set, side.change.Add) {
			if f.Expr != nil {
				list = append(list, config.Expression{Expr: f.Expr, Field: f.Name, Want: expr.String, Scope: side.scope})
			}
		}
	}
	return list
}

// hostProblem reports the Host field, if a request change has it.
func hostProblem(c Change) (doc.Problem, bool) {
	const why = "it chooses the backend's site, and is no common field"
	for _, fields := range []Fields{c.Set, c.Add} {
		for _, f := range fields {
			if http.CanonicalHeaderKey(f.Name) == "Host" {
				return doc.Problem{Pos: f.Pos, What: "Host cannot be changed here", Why: why, Fix: "write `rewrite: {host: name}` beside `headers`"}, true
			}
		}
	}
	for _, name := range c.Remove {
		if http.CanonicalHeaderKey(name.Text) == "Host" {
			return doc.Problem{Pos: name.Pos, What: "Host cannot be removed", Why: "every request has one"}, true
		}
	}
	return doc.Problem{}, false
}

func (c Change) problems() []doc.Problem {
	var list []doc.Problem
	for _, name := range c.Remove {
		if p, bad := config.CheckFieldName(name.Text, name.Pos); bad {
			list = append(list, p)
		}
	}
	for _, fields := range []Fields{c.Set, c.Add} {
		for _, f := range fields {
			if p, bad := f.Check(); bad {
				list = append(list, p)
			}
		}
	}
	return list
}

// text is a problem without its position, for configs that have none.
func text(p doc.Problem) string {
	p.Pos = doc.Pos{}
	return p.String()
}

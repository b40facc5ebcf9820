package headers

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

const hopByHop = "it belongs to one connection, not to the message"

// untouchable are the fields that frame a message or belong to one connection
// (RFC 9110 sections 7.6.1 and 8.6, RFC 9112 section 6), each with why not.
// They are the engine's; a wrong one would let two servers read a message differently.
var untouchable = map[string]string{
	"Content-Length":      "it says where the body ends, and the gateway writes it",
	"Transfer-Encoding":   "it says where the body ends, and the gateway writes it",
	"Connection":          hopByHop,
	"Keep-Alive":          hopByHop,
	"Proxy-Connection":    hopByHop,
	"Proxy-Authenticate":  hopByHop,
	"Proxy-Authorization": hopByHop,
	"Te":                  hopByHop,
	"Trailer":             "the gateway writes it for the trailers that there are",
	"Upgrade":             "upgrades are passed on by themselves",
	"Expect":              "the gateway answers it itself",
}

// DecodeDoc reads the config and checks it where it stands.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	var own doc.Problems
	doc.Decode(n, (*long)(c), &own)
	for _, p := range own.Sorted() {
		ps.Add(p)
	}
	if own.Failed() {
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

// problems tells all that is wrong with c.
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

// hostProblem finds the Host field among those of a request.
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
		if p, bad := nameProblem(name.Text, name.Pos); bad {
			list = append(list, p)
		}
	}
	for _, fields := range []Fields{c.Set, c.Add} {
		for _, f := range fields {
			if p, bad := nameProblem(f.Name, f.Pos); bad {
				list = append(list, p)
			} else if p, bad := f.valueProblem(); bad {
				list = append(list, p)
			}
		}
	}
	return list
}

func nameProblem(name string, pos doc.Pos) (doc.Problem, bool) {
	if !httpx.IsToken(name) {
		return doc.Problem{
			Pos: pos, What: fmt.Sprintf("%q is no name of a field", name),
			Why: "names are letters, digits and some punctuation, without blanks", Fix: "for example X-Request-Source",
		}, true
	}
	if why, ok := untouchable[http.CanonicalHeaderKey(name)]; ok {
		return doc.Problem{Pos: pos, What: name + " cannot be changed", Why: why, Fix: "remove it from here"}, true
	}
	return doc.Problem{}, false
}

func (f Field) valueProblem() (doc.Problem, bool) {
	switch {
	case f.Expr != nil:
		return doc.Problem{}, false // see Expressions
	case f.Secret != nil:
		for _, p := range f.Secret.Parts {
			if !isReference(p) && !isFieldValue(p.Text) {
				return f.controlProblem(), true
			}
		}
		return doc.Problem{}, false // what the references hold is known to Build
	case strings.Trim(f.Text, " \t") != f.Text:
		return doc.Problem{
			Pos: f.Pos, What: "the value of " + f.Name + " begins or ends with a blank",
			Why: "HTTP does not keep those", Fix: "write it without",
		}, true
	case !isFieldValue(f.Text):
		return f.controlProblem(), true
	}
	return doc.Problem{}, false
}

func (f Field) controlProblem() doc.Problem {
	return doc.Problem{
		Pos: f.Pos, What: "the value of " + f.Name + " holds a line break or another control character",
		Why: "it would begin a new field", Fix: "write it in one line",
	}
}

// text is a problem without its place, for configs that have none.
func text(p doc.Problem) string {
	p.Pos = doc.Pos{}
	s := p.String()
	return s[2:] // the empty place and ": "
}

// isFieldValue holds for what may stand in a field's value: no control
// characters but tabs (RFC 9110 section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

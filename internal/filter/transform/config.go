package transform

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter/transform/media"
)

// Config is the value of `transform`.
type Config struct {
	Request  *Request  `doc:"request,omitzero" help:"changes to the request on its way to the backend"`
	Response *Response `doc:"response,omitzero" help:"changes to the backend's response"`
}

// Request says how a request is changed.
type Request struct {
	Method  *config.Tree         `doc:"method,omitzero" help:"the method to send; if a computed method is empty, the request's own is kept" example:"POST"`
	Path    *config.PathTemplate `doc:"path,omitzero" help:"the path to send; {name} stands for what the route captured, {=expression} for a computed value" example:"/orders/{=request.body.id}"`
	Query   config.Fields        `doc:"query,omitzero" help:"query parameters, which replace those with the same name; a parameter whose computed value is empty is removed" example:"{page: =request.body.page}"`
	Headers config.Fields        `doc:"headers,omitzero" help:"header fields to set; a field whose computed value is empty is removed"`
	Cookies Cookies              `doc:"cookies,omitzero" help:"changes to the client's cookies"`
	Message `doc:",inline"`
}

// Response says how a response is changed.
type Response struct {
	When    *config.Expr    `doc:"when,omitzero" help:"responses for which this expression is false stay unchanged" example:"=response.status < 300"`
	Status  *config.Tree    `doc:"status,omitzero" help:"the status of the response" example:"=response.body.ok ? 200 : 422"`
	Headers config.Fields   `doc:"headers,omitzero" help:"header fields to set; a field whose computed value is empty is removed"`
	Cookies ResponseCookies `doc:"cookies,omitzero" help:"changes to the cookies that the backend sets"`
	Message `doc:",inline"`
}

// Message says how a body is changed: Body or Text replace it, the other fields change parts of it.
type Message struct {
	Read    Formats              `doc:"read,omitzero" help:"the format of the received body, or several by Content-Type; json by default" example:"xml"`
	Write   Formats              `doc:"write,omitzero" help:"the format of the body that is sent, in a response also several by Accept; json by default" example:"soap"`
	Body    *config.Tree         `doc:"body,omitzero" help:"a new body: JSON with expressions" example:"{data: =response.body}"`
	Text    *config.TextTemplate `doc:"text,omitzero" help:"a new body: a text in which {=expression} stands for a computed value" example:"Order {=response.body.id} is on its way"`
	Remove  []Path               `doc:"remove,oneormany,omitzero" help:"paths of members to remove" example:"customer.password"`
	Rename  Renames              `doc:"rename,omitzero" help:"paths of members, with their new names" example:"{usr_name: name}"`
	Default Values               `doc:"default,omitzero" help:"paths, with the values for members that are missing or null" example:"{currency: EUR}"`
	Set     Values               `doc:"set,omitzero" help:"paths, with their new values" example:"{customer.id: =auth.sub}"`
	MaxBody doc.Size             `doc:"max_body,omitzero" help:"the largest body to read; 1MiB by default" example:"64KiB"`
}

// The bounds of what is held in memory.
const (
	defaultBody = 1 << 20
	mostBody    = 64 << 20
)

// Renames are paths with new names, in their order.
type Renames []Renaming

// Renaming is one path with its new name.
type Renaming struct {
	Path Path
	Name string
}

// DecodeDoc reads a map of paths to names.
func (r *Renames) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*r = nil
	for e, path := range entriesByPath(n, "rename", "usr_name: name", ps) {
		one := Renaming{Path: path}
		doc.Decode(e.Value, &one.Name, ps)
		if one.Name == "" && e.Value.Kind == doc.Scalar {
			ps.Add(doc.Problem{Pos: e.Value.Pos, What: "the new name is empty"})
		}
		*r = append(*r, one)
	}
}

// EncodeDoc writes the renames as they are read.
func (r Renames) EncodeDoc() *doc.Node {
	out := &doc.Node{Kind: doc.Map}
	for _, one := range r {
		out.Entries = append(out.Entries, doc.Entry{Key: one.Path.Text, Value: &doc.Node{Kind: doc.Scalar, Value: one.Name}})
	}
	return out
}

// DocSchema implements doc.SchemaWriter.
func (Renames) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: doc.TextSchema("the new name")}
}

// Values are paths with values, in their order.
type Values []Value

// Value is one path with its value.
type Value struct {
	Path Path
	Tree config.Tree
}

// DecodeDoc reads a map of paths to JSON.
func (v *Values) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*v = nil
	for e, path := range entriesByPath(n, "set and default", "currency: EUR", ps) {
		one := Value{Path: path}
		one.Tree.DecodeDoc(e.Value, ps)
		if one.Path.anywhere || len(path.segments) > 0 && path.segments[len(path.segments)-1].every {
			ps.Add(doc.Problem{Pos: e.KeyPos, What: fmt.Sprintf("the path %q does not say which member gets the value", path.Text), Fix: "end it with a name, and begin it with one"})
		}
		*v = append(*v, one)
	}
}

// EncodeDoc writes the values as they are read.
func (v Values) EncodeDoc() *doc.Node {
	out := &doc.Node{Kind: doc.Map}
	for _, one := range v {
		out.Entries = append(out.Entries, doc.Entry{Key: one.Path.Text, Value: one.Tree.EncodeDoc()})
	}
	return out
}

// DocSchema implements doc.SchemaWriter.
func (Values) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: config.Tree{}.DocSchema()}
}

// entriesByPath returns the entries of a map with their keys as paths.
func entriesByPath(n *doc.Node, what, example string, ps *doc.Problems) func(yield func(doc.Entry, Path) bool) {
	return func(yield func(doc.Entry, Path) bool) {
		if n.Kind != doc.Map {
			ps.Add(doc.Problem{Pos: n.Pos, What: n.Kind.String() + " is given where paths are expected", Why: what + " has a map of paths", Fix: "for example `" + example + "`"})
			return
		}
		for _, e := range n.Entries {
			path := Path{Text: e.Key, Pos: e.KeyPos}
			path.read(ps)
			if !yield(e, path) {
				return
			}
		}
	}
}

// DecodeDoc reads the config and checks it at its position.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	for _, p := range c.problems(n) {
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

// problems tells what is wrong with c, which is at n, beyond what each key checks by itself.
func (c *Config) problems(n *doc.Node) []doc.Problem {
	var list []doc.Problem
	if r := c.Request; r != nil {
		list = append(list, fieldProblems(r.Headers)...)
		list = append(list, r.Cookies.problems(cookiesOf(n, "request"), "request", nil)...)
		list = append(list, r.problems("request")...)
		if _, err := fixedMethod(r.Method); err != nil {
			list = append(list, doc.Problem{Pos: r.Method.Pos, What: err.Error(), Fix: "for example `method: POST`, or an expression"})
		}
		if len(r.Write) > 1 {
			list = append(list, doc.Problem{Pos: r.Write[1].Pos, What: "a request is written in one format", Why: "the backend has not said which it takes", Fix: "keep one of them"})
		}
	}
	if r := c.Response; r != nil {
		list = append(list, fieldProblems(r.Headers)...)
		list = append(list, r.Cookies.problems(cookiesOf(n, "response"), "response", r.Cookies.Attributes)...)
		list = append(list, r.problems("response")...)
		if _, err := fixedStatus(r.Status); err != nil {
			list = append(list, doc.Problem{Pos: r.Status.Pos, What: err.Error(), Fix: "write 200 to 599, or an expression"})
		}
	}
	if len(list) == 0 && c.empty() {
		list = append(list, doc.Problem{What: "transform changes nothing", Fix: "give it request or response with body, remove, rename, default, set, read, write, headers or cookies"})
	}
	return list
}

func (c *Config) empty() bool {
	request := c.Request == nil || !c.Request.touches() && c.Request.Method == nil && c.Request.Path == nil && len(c.Request.Query)+len(c.Request.Headers) == 0 && c.Request.Cookies.empty()
	response := c.Response == nil || !c.Response.touches() && c.Response.Status == nil && len(c.Response.Headers)+len(c.Response.Cookies.Attributes) == 0 && c.Response.Cookies.empty()
	return request && response
}

func fieldProblems(fields config.Fields) []doc.Problem {
	var list []doc.Problem
	for _, f := range fields {
		if p, bad := f.Check(); bad {
			list = append(list, p)
		}
	}
	return list
}

// fixedStatus is a status that is not an expression; 0 for none.
func fixedStatus(t *config.Tree) (int, error) {
	if t == nil || t.Kind == config.TreeExpr {
		return 0, nil
	}
	status, err := strconv.Atoi(t.Literal)
	if err != nil || t.Kind != config.TreeLiteral || !finalStatus(int64(status)) {
		return 0, fmt.Errorf("the status is no final one")
	}
	return status, nil
}

// fixedMethod is a method that is not an expression; "" for none.
func fixedMethod(t *config.Tree) (string, error) {
	if t == nil || t.Kind == config.TreeExpr {
		return "", nil
	}
	v, err := jsonx.Parse([]byte(t.Literal), jsonx.Options{})
	if err != nil || t.Kind != config.TreeLiteral || v.Kind() != jsonx.String || !isMethod(v.Text()) {
		return "", fmt.Errorf("%s is no method that can be sent", cmp.Or(t.Literal, "this"))
	}
	return v.Text(), nil
}

// isMethod holds for methods that an adapter can send: CONNECT, which opens a tunnel, is not one.
func isMethod(s string) bool { return httpx.IsToken(s) && s != http.MethodConnect }

func finalStatus(n int64) bool { return n >= 200 && n <= 599 }

// touches tells whether the body is different afterwards.
func (m *Message) touches() bool {
	return m.anew() || m.patches() || len(m.Read)+len(m.Write) > 0
}

// anew tells whether the original body is replaced as a whole.
func (m *Message) anew() bool { return m.Body != nil || m.Text != nil }

func (m *Message) patches() bool {
	return len(m.Remove)+len(m.Rename)+len(m.Default)+len(m.Set) > 0
}

func (m *Message) problems(side string) []doc.Problem {
	var list []doc.Problem
	if m.Body != nil && m.patches() {
		list = append(list, doc.Problem{Pos: m.Body.Pos, What: fmt.Sprintf("the body of the %s is made anew and changed in places", side), Why: "what is made anew can hold all of it", Fix: "keep body, or remove, rename, default and set"})
	}
	if m.Text != nil {
		list = append(list, m.textProblems(side)...)
	}
	for i := range m.Read {
		list = append(list, m.Read[i].problems(false)...)
	}
	for i := range m.Write {
		list = append(list, m.Write[i].problems(true)...)
	}
	if m.MaxBody > mostBody {
		list = append(list, doc.Problem{What: fmt.Sprintf("max_body of the %s is %s", side, m.MaxBody), Why: "bodies are held in memory", Fix: fmt.Sprintf("write at most %s", doc.Size(mostBody))})
	}
	return list
}

func (m *Message) textProblems(side string) []doc.Problem {
	var list []doc.Problem
	if m.Body != nil || m.patches() {
		list = append(list, doc.Problem{Pos: m.Text.Pos, What: fmt.Sprintf("the body of the %s is a text and JSON", side), Why: "text makes all of it anew", Fix: "keep text, or body, remove, rename, default and set"})
	}
	for i := range m.Write {
		if m.Write[i].Name != media.NameText {
			list = append(list, doc.Problem{Pos: m.Write[i].Pos, What: fmt.Sprintf("the text of the %s is written as %s", side, m.Write[i].Name), Why: "it is sent as it is", Fix: "remove write, and say another type by `headers: { Content-Type: text/html }`"})
		}
	}
	return list
}

// maxBody is the largest body that is read.
func (m *Message) maxBody() int64 { return cmp.Or(int64(m.MaxBody), defaultBody) }

// Expressions implements config.Expressive.
func (c *Config) Expressions() []config.Expression {
	var list []config.Expression
	if r := c.Request; r != nil {
		for _, f := range slices.Concat(r.Query, r.Headers, r.Cookies.Set) {
			list = append(list, config.Expression{Expr: f.Expr, Field: f.Name, Want: expr.String, Scope: requestScope, Bodies: true})
		}
		if r.Method != nil {
			list = append(list, config.Expression{Expr: r.Method.Expr, Field: "method", Want: expr.String, Scope: requestScope, Bodies: true})
		}
		if r.Path != nil {
			for _, e := range r.Path.Expressions() {
				list = append(list, config.Expression{Expr: e, Field: "path", Want: expr.String, Scope: requestScope, Bodies: true})
			}
		}
		list = append(list, r.expressions(requestScope)...)
	}
	if r := c.Response; r != nil {
		list = append(list, config.Expression{Expr: r.When, Field: "when", Want: expr.Bool, Scope: responseScope})
		if r.Status != nil {
			list = append(list, config.Expression{Expr: r.Status.Expr, Field: "status", Want: expr.Int, Scope: responseScope, Bodies: true})
		}
		for _, f := range slices.Concat(r.Headers, r.Cookies.Set) {
			list = append(list, config.Expression{Expr: f.Expr, Field: f.Name, Want: expr.String, Scope: responseScope, Bodies: true})
		}
		list = append(list, r.expressions(responseScope)...)
	}
	return slices.DeleteFunc(list, func(e config.Expression) bool { return e.Expr == nil })
}

func (m *Message) expressions(scope expr.Scope) []config.Expression {
	var list []config.Expression
	add := func(field string, t *config.Tree) {
		for _, e := range t.Expressions() {
			list = append(list, config.Expression{Expr: e, Field: field, Want: expr.Any, Scope: scope, Bodies: true})
		}
	}
	add("body", m.Body)
	for _, e := range m.Text.Expressions() {
		list = append(list, config.Expression{Expr: e, Field: "text", Want: expr.Any, Scope: scope, Bodies: true})
	}
	for i := range m.Default {
		add("default", &m.Default[i].Tree)
	}
	for i := range m.Set {
		add("set", &m.Set[i].Tree)
	}
	return list
}

// The scopes of both sides. Expressions for a response may read both bodies.
const (
	requestScope  = expr.Request
	responseScope = expr.Request | expr.Response
)

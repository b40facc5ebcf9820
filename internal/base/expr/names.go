package expr

import (
	"cmp"
	"maps"
	"net/http"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// scopeOf says which scope the names below a root need.
var scopeOf = map[string]Scope{
	"request": Request, pathName: Request, queryName: Request, hostName: Request, "client": Request, authName: Request,
	"response": Response, stepsName: Steps, itemName: Item,
}

// clientNames are the roots of the values that the client has written.
var clientNames = []string{"request", pathName, queryName, hostName}

// typeNames are CEL's names of types, as in type(x) == int.
var typeNames = []string{"bool", bytesName, "double", "int", "list", "map", "null_type", stringName, "type", "uint"}

// resolver walks a parsed expression before its types are checked. It finds unknown names and reports them with better
// messages than CEL's checker has, and it records what is read. err is the first problem.
type resolver struct {
	env   *cel.Env
	scope Scope
	info  *ast.SourceInfo
	local []string // variables of the comprehensions around the current node
	err   error

	body, responseBody, query, client, peer, auth, item bool
	steps, heads, bodies, texts, params                 []string
	optional                                            []string // params that has() tests
}

func (r *resolver) reads() Reads {
	for _, list := range []*[]string{&r.steps, &r.heads, &r.bodies, &r.texts, &r.params} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return Reads{
		RequestBody: r.body, ResponseBody: r.responseBody, Query: r.query, Client: r.client, Peer: r.peer, Auth: r.auth, Item: r.item,
		Steps: r.steps, StepHeads: r.heads, StepBodies: r.bodies, StepTexts: r.texts,
		Params: slices.DeleteFunc(r.params, func(name string) bool { return slices.Contains(r.optional, name) }),
	}
}

func (r *resolver) fail(id int64, text, fix string) {
	if r.err != nil {
		return
	}
	e := errorAt(r.info, id)
	e.Text, e.Fix = text, fix
	r.err = e
}

func (r *resolver) walk(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		r.chain(e.ID(), e.AsIdent(), nil)
	case ast.SelectKind:
		r.selection(e)
	case ast.CallKind:
		r.call(e)
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			r.walk(element)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.walk(entry.AsMapEntry().Key())
			r.walk(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		r.fail(e.ID(), "there are no types to make values of", `write a map: {"name": value}`)
	case ast.ComprehensionKind:
		r.comprehension(e.AsComprehension())
	default: // literals contain no names
	}
}

func (r *resolver) comprehension(c ast.ComprehensionExpr) {
	r.walk(c.IterRange())
	r.walk(c.AccuInit())
	outer := len(r.local)
	r.local = append(r.local, c.AccuVar(), c.IterVar(), c.IterVar2())
	r.walk(c.LoopCondition())
	r.walk(c.LoopStep())
	r.walk(c.Result())
	r.local = r.local[:outer]
}

// selection handles a.b.c, starting at its outermost select.
func (r *resolver) selection(e ast.Expr) {
	root, fields := unfold(e)
	if root.Kind() == ast.IdentKind {
		r.chain(root.ID(), root.AsIdent(), fields)
		return
	}
	r.walk(root)
}

// link is one step of a chain a.b['c'].
type link struct {
	id   int64
	name string
	test bool // has(...) around it
}

// unfold splits a chain of selects and constant indexes.
func unfold(e ast.Expr) (root ast.Expr, links []link) {
	for {
		switch {
		case e.Kind() == ast.SelectKind:
			links = append(links, link{e.ID(), e.AsSelect().FieldName(), e.AsSelect().IsTestOnly()})
			e = e.AsSelect().Operand()
			continue
		case isIndex(e):
			if name, ok := literalString(e.AsCall().Args()[1]); ok {
				links = append(links, link{id: e.ID(), name: name})
				e = e.AsCall().Args()[0]
				continue
			}
		}
		slices.Reverse(links)
		return e, links
	}
}

func isIndex(e ast.Expr) bool {
	return e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// chain resolves root.link.link, which begins with an identifier.
func (r *resolver) chain(id int64, root string, links []link) {
	if slices.Contains(r.local, root) || slices.Contains(typeNames, root) || root == "google" {
		return
	}
	need, known := scopeOf[root]
	r.client = r.client || slices.Contains(clientNames, root)
	switch {
	case !known:
		r.fail(id, quoted(root)+" is not a known name", cmp.Or(r.belowRoots(root), r.meant(root, links), didYouMean(root, r.roots())))
	case need&r.scope == 0:
		r.fail(id, quoted(root)+" is not known here", "here an expression may use "+strings.Join(r.roots(), ", "))
	case root == stepsName:
		r.step(id, links)
	case root == itemName:
		r.item = true
	case root == pathName:
		if len(links) > 0 {
			r.param(links[0])
		}
		r.depth(links, 1, root)
	case root == queryName:
		r.query = true
		r.depth(links, 1, root)
	case root == hostName:
		r.depth(links, 0, root)
	default:
		r.field(id, root, links)
	}
}

// param records path.NAME.
func (r *resolver) param(l link) {
	if l.test {
		r.optional = append(r.optional, l.name)
	} else {
		r.params = append(r.params, l.name)
	}
}

// notMap reports request.query and request.path where a map is meant.
func (r *resolver) notMap(id int64, e ast.Expr) {
	root, links := unfold(e)
	if root.Kind() != ast.IdentKind || len(links) != 1 || slices.Contains(r.local, root.AsIdent()) {
		return
	}
	name := joinChain(root.AsIdent(), links)
	if fix := membersOf(links[0].name, nil); fix != "" && variables[name] == cel.StringType {
		r.fail(id, quoted(name)+" is a string and has no fields", fix)
	}
}

// membership records 'NAME' in path.
func (r *resolver) membership(id int64, function string, args []ast.Expr) {
	if function == operators.In {
		r.notMap(id, args[1])
	}
	if function != operators.In || args[1].Kind() != ast.IdentKind || args[1].AsIdent() != pathName {
		return
	}
	if name, ok := literalString(args[0]); ok {
		r.optional = append(r.optional, name)
	}
}

// field resolves root.NAME of request, client, auth and response.
func (r *resolver) field(id int64, root string, links []link) {
	known := fieldsOf(root)
	if len(links) == 0 {
		r.fail(id, quoted(root)+" alone has no value", "name one of its fields: "+strings.Join(known, ", "))
		return
	}
	name := root + "." + links[0].name
	if len(links) == 1 && links[0].test {
		r.fail(id, quoted(name)+" is always there", "compare it: "+name+" != ''")
		return
	}
	t, ok := variables[name]
	if !ok {
		r.fail(links[0].id, quoted(root)+" has no field "+quoted(links[0].name), orList(cmp.Or(r.meant(links[0].name, links[1:]), didYouMean(links[0].name, known)), known))
		return
	}
	if len(links) > 1 && (t == cel.StringType || t == cel.IntType) {
		r.fail(links[1].id, quoted(name)+" is "+describe(t.String())+" and has no fields", membersOf(links[0].name, links[1:]))
		return
	}
	r.body = r.body || name == requestBody
	r.query = r.query || name == requestQuery
	r.responseBody = r.responseBody || name == responseBody
	r.auth = r.auth || root == authName
	r.peer = r.peer || root == "client"
	if t == celFields {
		r.depth(links[1:], 1, name)
	}
}

// step resolves steps.NAME.FIELD. The names must be literal, because the graph of the composition is derived from them.
func (r *resolver) step(id int64, links []link) {
	if len(links) < 2 {
		r.fail(id, "a step is named in full", "write steps.NAME.body, .text, .status or .headers")
		return
	}
	known := sortedKeys(stepFields)
	if !slices.Contains(known, links[1].name) {
		r.fail(links[1].id, "a step has no field "+quoted(links[1].name), orList(didYouMean(links[1].name, known), known))
		return
	}
	name := links[0].name
	r.steps = append(r.steps, name)
	switch links[1].name {
	case bodyField:
		r.bodies = append(r.bodies, name)
	case textField:
		r.texts = append(r.texts, name)
	default:
		r.heads = append(r.heads, name)
	}
}

// depth reports an attempt to select a field of a string.
func (r *resolver) depth(links []link, most int, what string) {
	if len(links) > most {
		text := "the values of " + quoted(what) + " are strings and have no fields"
		if most == 0 {
			text = quoted(what) + " is a string and has no fields"
		}
		r.fail(links[most].id, text, "")
	}
}

// roots lists the root names of the current scope.
func (r *resolver) roots() []string {
	var names []string
	for name, need := range scopeOf {
		if need&r.scope != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// belowRoots suggests request.headers to a user who wrote headers or header. It returns "" if it has no suggestion.
func (r *resolver) belowRoots(field string) string {
	var names []string
	for _, root := range r.roots() {
		for _, name := range []string{root + "." + field, root + "." + field + "s"} {
			if _, ok := variables[name]; ok {
				names = append(names, quoted(name))
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "did you mean " + strings.Join(names, " or ") + "?"
}

func (r *resolver) call(e ast.Expr) {
	c := e.AsCall()
	name := c.FunctionName()
	switch {
	case isIndex(e):
		r.index(e)
		return
	case c.IsMemberFunction():
		qualified := ""
		if root, links := unfold(c.Target()); root.Kind() == ast.IdentKind {
			qualified = joinChain(root.AsIdent(), links) + "." + name
		}
		switch {
		case r.env.HasFunction(qualified): // math.greatest: math is part of the name, not a target
		case c.Target().Kind() == ast.IdentKind && c.Target().AsIdent() == authName && name == "has":
			r.authHas(c.Target().ID())
		case c.Target().Kind() == ast.IdentKind && c.Target().AsIdent() == authName && !r.env.HasFunction(name):
			r.fail(e.ID(), quoted(authName)+" has no function "+quoted(name), orList(didYouMean(name, []string{"has"}), []string{"has"}))
		default:
			r.walk(c.Target())
			r.function(e.ID(), name)
		}
	default:
		r.function(e.ID(), name)
	}
	r.constants(name, c.Args())
	r.membership(e.ID(), name, c.Args())
	r.ranges(name, c.Args())
	r.dashed(e)
	for _, arg := range c.Args() {
		r.walk(arg)
	}
}

// dashed reports request.headers.x-beta, which is parsed as a subtraction.
func (r *resolver) dashed(e ast.Expr) {
	c := e.AsCall()
	if c.FunctionName() != operators.Subtract || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.IdentKind {
		return
	}
	after := c.Args()[1].AsIdent()
	_, known := scopeOf[after]
	root, links := unfold(c.Args()[0])
	if known || len(links) == 0 || slices.Contains(r.local, after) || root.Kind() != ast.IdentKind {
		return
	}
	last := len(links) - 1
	r.fail(c.Args()[1].ID(), quoted(after)+" is not a known name", "a name with a dash is written in brackets: "+
		joinChain(root.AsIdent(), links[:last])+"['"+links[last].name+"-"+after+"']")
}

// ranges reports a comparison of client.ip with a range, which it never equals. In a negation that would let everybody
// pass.
func (r *resolver) ranges(function string, args []ast.Expr) {
	if len(args) != 2 || function != operators.In && function != operators.Equals && function != operators.NotEquals {
		return
	}
	for i, arg := range args {
		if root, links := unfold(arg); root.Kind() != ast.IdentKind || joinChain(root.AsIdent(), links) != clientAddress {
			continue
		}
		others := []ast.Expr{args[1-i]}
		if others[0].Kind() == ast.ListKind {
			others = others[0].AsList().Elements()
		}
		for _, other := range others {
			text, ok := literalString(other)
			if _, err := netip.ParsePrefix(text); ok && err == nil {
				r.fail(other.ID(), "client.ip is one address and equals no range", "write cidr('"+text+"').contains(client.ip)")
			}
		}
	}
}

// constants reports literal arguments that are never valid, at their position.
func (r *resolver) constants(function string, args []ast.Expr) {
	if len(args) == 0 {
		return
	}
	literals := []ast.Expr{args[len(args)-1]} // the last argument of x.matches(re) and matches(x, re)
	if literals[0].Kind() == ast.ListKind {
		literals = literals[0].AsList().Elements()
	}
	for _, e := range literals {
		text, ok := literalString(e)
		if !ok {
			continue
		}
		switch function {
		case "cidr":
			if _, err := parsePrefix(text); err != nil {
				r.fail(e.ID(), err.Error(), "")
			}
		case "matches":
			if _, err := syntax.Parse(text, syntax.Perl); err != nil {
				r.fail(e.ID(), "this is no regular expression: "+err.Error(), "the syntax is that of RE2")
			}
		}
	}
}

func (r *resolver) authHas(id int64) {
	if r.scope&Request == 0 {
		r.chain(id, authName, nil)
	}
	r.auth = true
}

// index resolves a[b]. It converts constant header names to the form that net/http uses, so that lookups at run time
// need not.
func (r *resolver) index(e ast.Expr) {
	args := e.AsCall().Args()
	if name, ok := literalString(args[1]); ok {
		if root, links := unfold(e); root.Kind() == ast.IdentKind {
			if n := len(links); n > 1 && links[n-2].name == headersField {
				args[1].SetKindCase(ast.NewExprFactory().NewLiteral(args[1].ID(), types.String(http.CanonicalHeaderKey(name))))
			}
			r.chain(root.ID(), root.AsIdent(), links)
			return
		}
	}
	r.notMap(e.ID(), args[0])
	r.walk(args[0])
	r.walk(args[1])
}

func (r *resolver) function(id int64, name string) {
	if r.env.HasFunction(name) || strings.ContainsAny(name, "@_") {
		return
	}
	var known []string
	for f := range r.env.Functions() {
		if !strings.ContainsAny(f, "@_.") {
			known = append(known, f)
		}
	}
	known = append(known, "has", "all", "exists", "exists_one", "map", "filter")
	r.fail(id, "there is no function "+quoted(name), didYouMean(name, known))
}

func joinChain(root string, links []link) string {
	for _, l := range links {
		root += "." + l.name
	}
	return root
}

// fieldsOf lists the fields of a root.
func fieldsOf(root string) []string {
	var fields []string
	for name := range variables {
		if field, ok := strings.CutPrefix(name, root+"."); ok {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	return fields
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func quoted(name string) string { return "'" + name + "'" }

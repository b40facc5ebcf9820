package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// nesting checks that no composition calls itself, directly or through others, and that the steps that call a
// composition give it what it reads.
func (c *validator) nesting() {
	done := map[*Composition]bool{}
	for i := range c.c.Compositions {
		c.recursion(&c.c.Compositions[i], nil, done)
	}
	for i := range c.c.Compositions {
		m := &c.c.Compositions[i]
		for _, s := range m.Calls() {
			inner := c.composed(s.Ref)
			path, err := s.Path.Parse()
			if inner == nil || err != nil {
				continue
			}
			c.given(inner, caller{
				what: fmt.Sprintf("the step %q", s.Name), at: s.Ref.Origin.at(), body: s.Body != nil,
				captured: captured{route: s.Name, names: path.names()}, lacks: "does not give it", bodyFix: "give the step a body",
				fix: func(want insertion) string {
					if want.rest {
						return "a step gives single values: write {name} in the composition's path"
					}
					return fmt.Sprintf("give it in the step's path, as /{%s=...}", want.name)
				},
			})
		}
	}
}

// recursion walks the compositions that m calls.
func (c *validator) recursion(m *Composition, way []*Composition, done map[*Composition]bool) {
	if i := slices.Index(way, m); i >= 0 {
		var names []string
		for _, w := range append(way[i:], m) {
			names = append(names, fmt.Sprintf("%q", w.Name))
		}
		c.add(m.Origin.at(), "a composition calls itself: "+strings.Join(names, " calls "), "so it would never end", "take one of these steps out")
		return
	}
	if done[m] {
		return
	}
	done[m] = true
	way = append(way, m)
	for _, s := range m.Calls() {
		if inner := c.composed(s.Ref); inner != nil {
			c.recursion(inner, way, done)
		}
	}
}

// routeComposes checks that a route gives the compositions behind it what they read.
func (c *validator) routeComposes(r *Route) {
	if r.Broken != "" {
		return
	}
	for i := range r.Backends {
		m := c.composed(r.Backends[i].Ref)
		if m == nil {
			continue
		}
		if !slices.ContainsFunc(r.Filters, c.identifies) {
			c.anonymous(m, r, &r.Backends[i], nil)
		}
		all := capturesOf(r.Hosts, r.Matches)
		some := capturedBy(r.Name, r.Hosts, r.Matches...)
		c.given(m, caller{
			what: fmt.Sprintf("the route %q", r.Name), at: r.Backends[i].Origin.at(), own: m.Name == inlineName(r.Name),
			body: hasBody(r.Matches), bodyFix: "let the route be a POST, or leave it out", captured: some, every: &all, lacks: "does not capture it", fix: all.instead,
		})
	}
}

// anonymous reports the first expression that reads the caller in a composition that a route without auth calls,
// directly or through another composition.
func (c *validator) anonymous(m *Composition, r *Route, b *Backend, seen []*Composition) bool {
	if slices.Contains(seen, m) {
		return false
	}
	for _, e := range c.readings(m) {
		if !e.reads.Auth {
			continue
		}
		by := caller{at: b.Origin.at(), own: m.Name == inlineName(r.Name)}
		c.add(by.place(e.find("auth")), fmt.Sprintf("%s reads who is calling, but the route %q authenticates nobody", by.who(m, e.Field), r.Name),
			"so it would always be empty", "add `auth:` to the route, or leave auth out of the expression")
		return true
	}
	for _, s := range m.Calls() {
		if inner := c.composed(s.Ref); inner != nil && c.anonymous(inner, r, b, append(seen, m)) {
			return true
		}
	}
	return false
}

// reading is an expression of a composition with what it reads.
type reading struct {
	Expression

	reads expr.Reads
}

// readings returns the expressions of m's steps and return that compile; the others have been reported. They are found
// once, because a composition may have many callers.
func (c *validator) readings(m *Composition) []reading {
	if list, ok := c.read[m]; ok {
		return list
	}
	var list []reading
	for _, e := range m.expressions() {
		if program, err := expr.Compile(e.Source, e.Want, e.Scope); err == nil {
			list = append(list, reading{e, program.Reads()})
		}
	}
	c.read[m] = list
	return list
}

// expressions returns all expressions of a composition: those of its steps and of its return.
func (m *Composition) expressions() []Expression {
	var list []Expression
	for i := range m.Steps {
		list = append(list, m.Steps[i].Expressions()...)
		list = append(list, m.Steps[i].undoExpressions()...)
	}
	return append(list, m.Return.Expressions()...)
}

// hasBody reports whether a request that matches may have a body.
func hasBody(matches []Match) bool {
	return slices.ContainsFunc(matches, func(m Match) bool { return m.Method == "" || !httpx.IsSafe(m.Method) })
}

// caller is a route or step that calls a composition.
type caller struct {
	what     string // in words
	at       doc.Pos
	own      bool // the composition stands on the route, so mistakes are reported there
	body     bool // it may send a body
	bodyFix  string
	lacks    string // what it fails to do with a missing name
	captured captured
	every    *captures // what every match of the route captures; nil: captured.names
	fix      func(want insertion) string
}

// given checks that a composition's caller provides what the composition reads of its request.
func (c *validator) given(m *Composition, by caller) {
	told := map[string]bool{} // a missing name is reported once
	for _, s := range m.Calls() {
		c.givenPath(s, by, told)
	}
	for _, e := range c.readings(m) {
		if e.reads.RequestBody && !by.body {
			c.add(by.place(e.find("request.body")), fmt.Sprintf("%s reads the body of the request, and %s has none", by.who(m, e.Field), by.what), "", by.bodyFix)
			by.body = true // report it once
		}
		for _, name := range e.reads.Params {
			if !by.captured.open && !slices.Contains(by.captured.names, name) && !told[name] {
				told[name] = true
				c.add(by.place(e.find("path."+name)), fmt.Sprintf("%s reads path.%s, which is never there", by.who(m, e.Field), name), by.what+" "+by.lacks, by.fix(insertion{name: name}))
			}
		}
	}
}

// givenPath checks that the path of a step can be filled in.
func (c *validator) givenPath(s *Step, by caller, told map[string]bool) {
	path, err := s.Path.Parse()
	if err != nil || by.captured.open {
		return
	}
	for _, name := range path.Captured() {
		rest := name == template.Rest || strings.Contains(s.Path.Text, "{"+name+"...}")
		has := slices.Contains(by.captured.names, name) && !rest
		if by.every != nil {
			has = by.every.unknown || rest && by.every.rest && (name == by.every.name || name == template.Rest && by.every.name == "") || !rest && slices.Contains(by.every.names, name)
		}
		if has || told[name] {
			continue
		}
		told[name] = true
		want, text := insertion{name: strings.TrimPrefix(name, template.Rest), rest: rest}, s.Path.Text
		shown := want.String()
		at := textPos(&doc.Node{Pos: s.Path.Pos, Value: text}, max(0, strings.Index(text, shown)))
		c.add(by.place(at), fmt.Sprintf("%s in %q cannot be filled", shown, text), by.what+" "+by.lacks, by.fix(want))
	}
}

// place is where a mistake is reported: in the composition if it is the caller's own, else at the caller.
func (b caller) place(at doc.Pos) doc.Pos {
	if b.own {
		return at
	}
	return b.at
}

func (b caller) who(m *Composition, field string) string {
	if b.own {
		return field
	}
	return fmt.Sprintf("%s of the composition %q", field, m.Name)
}

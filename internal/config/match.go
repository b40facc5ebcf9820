package config

import (
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// matchForm is `match` of a route: the conditions in addition to its key.
type matchForm struct {
	Headers fieldsForm `doc:"headers" help:"header fields and their values" example:"{x-beta: '1'}"`
	Query   fieldsForm `doc:"query" help:"query parameters and their values"`
	Cookies fieldsForm `doc:"cookies" help:"cookies and their values"`
	When    *Expr      `doc:"when" help:"an expression that must be true" example:"=request.headers['x-beta'] != ''"`
}

func (m *matchForm) match() Match {
	if m == nil {
		return Match{}
	}
	return Match{Headers: slices.Clone(m.Headers), Query: slices.Clone(m.Query), Cookies: slices.Clone(m.Cookies), When: m.When}
}

// fieldsForm is a map of names to values, or the list of the long form.
type fieldsForm []FieldMatch

type fieldForm struct {
	Name  string `doc:"name,required" help:"the name"`
	Value string `doc:"value,required,empty" help:"the value, or an RE2 regular expression that must match all of it"`
	Regex bool   `doc:"regex" help:"whether value is a regular expression"`
}

// fieldValueForm is a value, or `regex:`.
type fieldValueForm struct {
	Regex string `doc:"regex,required" help:"an RE2 regular expression that must match the whole value" example:"v[0-9]+"`
}

func (f *fieldsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Map:
		for _, e := range n.Entries {
			*f = append(*f, fieldOf(e, ps))
		}
	case doc.List:
		for _, item := range n.Items {
			var form fieldForm
			doc.Decode(item, &form, ps)
			*f = append(*f, FieldMatch(form))
		}
	case doc.Scalar:
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not a map", n.Value), Why: "it maps names to the values that they must have", Fix: "for example `headers:` and below it `x-beta: '1'`"})
	}
}

func fieldOf(e doc.Entry, ps *doc.Problems) FieldMatch {
	m := FieldMatch{Name: e.Key}
	if e.Value.Kind == doc.Map {
		var form fieldValueForm
		doc.Decode(e.Value, &form, ps)
		m.Value, m.Regex = form.Regex, true
		return m
	}
	doc.Decode(e.Value, &m.Value, ps)
	return m
}

// longMatchForm is one of `matches` in the long form.
type longMatchForm struct {
	Method  string     `doc:"method" help:"one method; any by default" example:"GET"`
	Path    pathForm   `doc:"path" help:"the path; any by default" example:"/orders/{id}"`
	Headers fieldsForm `doc:"headers" help:"header fields and their values"`
	Query   fieldsForm `doc:"query" help:"query parameters and their values"`
	Cookies fieldsForm `doc:"cookies" help:"cookies and their values"`
	When    *Expr      `doc:"when" help:"an expression that must be true"`
	At      doc.Pos    `doc:"-,pos"`
}

func (m longMatchForm) match() Match {
	return Match{
		Method: m.Method, Path: PathMatch(m.Path), Headers: m.Headers, Query: m.Query, Cookies: m.Cookies,
		When: m.When, Origin: Origin{Pos: m.At},
	}
}

// pathForm is a pattern, or one of exact, prefix and pattern.
type pathForm struct {
	Exact   string `doc:"exact" help:"exactly this path" example:"/orders"`
	Prefix  string `doc:"prefix" help:"this path and all paths below it" example:"/orders"`
	Pattern string `doc:"pattern" help:"a path pattern" example:"/orders/{id}"`
}

func (p *pathForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		p.Pattern = n.Value
		return
	}
	doc.Decode(n, (*plainPath)(p), ps)
}

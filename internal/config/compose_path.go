package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// PathTemplate is the path that a step sends:
//
//	/users/{user}             what the route captured
//	/users/{=steps.a.body.id} what an expression gives
//	/users/{id=item.id}       the same, with a name
//	/files/**  /files/{p...}  what a route's rest matched
//
// Each value is one segment or part of one, whatever it contains; a computed value cannot change the segments around
// it. The names become the path parameters of a function, and path.NAME in a composition.
type PathTemplate struct {
	Text string
	Pos  doc.Pos // of its first character
}

// PathValue is a computed part of a path.
type PathValue struct {
	Name  string // the name in template.Path
	Named bool   // it was written with a name
	Expr  *Expr
}

// ParsedPath is a parsed PathTemplate.
type ParsedPath struct {
	Template template.Path
	Text     string // with names in place of the expressions
	Values   []PathValue
}

// Captured returns the names that the template inserts without computing them; template.Rest for `**`.
func (p ParsedPath) Captured() []string {
	return slices.DeleteFunc(p.Template.Names(), func(name string) bool {
		return slices.ContainsFunc(p.Values, func(v PathValue) bool { return v.Name == name })
	})
}

// names returns the names that the called backend finds under path.
func (p ParsedPath) names() []string {
	list := p.Captured()
	for _, v := range p.Values {
		if v.Named {
			list = append(list, v.Name)
		}
	}
	return list
}

// Parse parses the template. The error is a *template.Error whose offset is an offset in Text.
func (p PathTemplate) Parse() (ParsedPath, error) {
	var parsed ParsedPath
	var plain strings.Builder
	var origins []int // offsets in Text, by the bytes of plain
	keep := func(text string, from int) {
		for i := range len(text) {
			origins = append(origins, from+i)
		}
		plain.WriteString(text)
	}
	for at := 0; at < len(p.Text); {
		value, length, err := p.value(at)
		if err != nil {
			return ParsedPath{}, err
		}
		if length == 0 {
			keep(p.Text[at:at+1], at)
			at++
			continue
		}
		if value.Name == "" {
			value.Name = p.freeName(len(parsed.Values))
		} else {
			value.Named = true
		}
		for range len(value.Name) + 2 {
			origins = append(origins, at)
		}
		plain.WriteString("{" + value.Name + "}")
		parsed.Values = append(parsed.Values, value)
		at += length
	}
	made, err := template.Parse(plain.String())
	if err != nil {
		if wrong, ok := errors.AsType[*template.Error](err); ok && wrong.Offset < len(origins) {
			wrong.Offset = origins[wrong.Offset]
		}
		return ParsedPath{}, err
	}
	parsed.Template, parsed.Text = made, plain.String()
	return parsed, twiceNamed(parsed)
}

// Ready prepares the template for use; compile compiles its expressions.
func (p PathTemplate) Ready(compile func(*Expr) (*expr.Program, error)) (ReadyPath, error) {
	parsed, err := p.Parse()
	if err != nil {
		return ReadyPath{}, err
	}
	made := ReadyPath{Template: parsed.Template, Text: parsed.Text, Captured: parsed.Captured()}
	for _, v := range parsed.Values {
		program, err := compile(v.Expr)
		if err != nil {
			return ReadyPath{}, err
		}
		made.Values = append(made.Values, ReadyPathValue{Name: v.Name, Named: v.Named, Program: program})
	}
	return made, nil
}

// DecodeDoc reads a path and checks it at its place.
func (p *PathTemplate) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if !wantText(n, "the path", "/users/{user}", ps) {
		return
	}
	*p = PathTemplate{Text: n.Value, Pos: textPos(n, 0)}
	if _, err := p.Parse(); err != nil {
		ps.Add(pathProblem(*p, err))
	}
}

// EncodeDoc writes the path in the form that is read.
func (p PathTemplate) EncodeDoc() *doc.Node { return scalarAt(p.Text, p.Pos) }

// DocSchema implements doc.SchemaWriter.
func (PathTemplate) DocSchema() *doc.Schema {
	return doc.TextSchema("a path; {name} is what was captured, {=expression} what is computed")
}

// Expressions returns the expressions of the path. A captured name counts as an expression that reads it.
func (p PathTemplate) Expressions() []*Expr {
	parsed, err := p.Parse()
	if err != nil {
		return nil
	}
	var list []*Expr
	for _, v := range parsed.Values {
		list = append(list, v.Expr)
	}
	for _, name := range parsed.Captured() {
		if name != template.Rest {
			list = append(list, &Expr{Source: "path['" + name + "']", Pos: p.Pos})
		}
	}
	return list
}

// twiceNamed checks that each computed value has a name of its own.
func twiceNamed(p ParsedPath) error {
	names := p.Template.Names()
	for i, name := range names {
		if slices.Contains(names[:i], name) && slices.ContainsFunc(p.Values, func(v PathValue) bool { return v.Name == name }) {
			return &template.Error{Text: "{" + name + "} stands twice in the path", Fix: "give each value its own name"}
		}
	}
	return nil
}

// freeName returns a name for the n-th value that occurs nowhere else in the text.
func (p PathTemplate) freeName(n int) string {
	name := "_" + strconv.Itoa(n)
	for strings.Contains(p.Text, "{"+name) {
		name = "_" + name
	}
	return name
}

// value reads the `{=expression}` or `{name=expression}` at Text[at:] and returns its length, which is 0 if there is
// none.
func (p PathTemplate) value(at int) (PathValue, int, error) {
	if p.Text[at] != '{' {
		return PathValue{}, 0, nil
	}
	name, _, ok := strings.Cut(p.Text[at+1:], "=")
	if !ok || name != "" && !pattern.IsName(name) {
		return PathValue{}, 0, nil
	}
	start := at + 1 + len(name) + 1
	length := expressionEnd(p.Text[start:])
	if length < 0 {
		return PathValue{}, 0, &template.Error{Offset: at, Text: "a { without a } after its expression", Fix: "write {=steps.NAME.body.id}"}
	}
	source := p.Text[start : start+length]
	trimmed := strings.TrimSpace(source)
	if trimmed == "" {
		return PathValue{}, 0, &template.Error{Offset: at, Text: "an empty expression in the path", Fix: "write {=steps.NAME.body.id}"}
	}
	pos := p.Pos
	pos.Col += utf8.RuneCountInString(p.Text[:start+strings.Index(source, trimmed)])
	return PathValue{Name: name, Expr: &Expr{Source: trimmed, Pos: pos}}, start + length + 1 - at, nil
}

// expressionEnd returns the offset of the brace that ends the expression before it, or -1. Braces within an expression
// come in pairs or are inside string literals.
func expressionEnd(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		case '\'', '"':
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return -1
}

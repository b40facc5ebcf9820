package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// captured are the names that expressions of a route may find under path.
type captured struct {
	route string
	names []string
	// open says that there may be more: a pattern could not be read, or nothing
	// is known of the route.
	open bool
}

// capturedBy gives what some host or match captures. What only some of them
// capture counts, for an expression may look whether it is there.
func capturedBy(route string, hosts []string, matches ...Match) captured {
	c := captured{route: route}
	for _, h := range hosts {
		host, err := ParseHost(h)
		c.open = c.open || err != nil
		if host.Param != "" {
			c.names = append(c.names, host.Param)
		}
	}
	for _, m := range matches {
		if m.Path.Pattern == "" {
			continue // captures nothing
		}
		p, err := ParsePattern(m.Path.Pattern)
		c.open = c.open || err != nil
		c.names = append(c.names, p.Names()...)
	}
	return c
}

// expression compiles e and tells its mistakes at their place in the file.
func (c *validator) expression(e *Expr, field string, want expr.Type, in captured) {
	if e == nil || *e == (Expr{}) { // none, or one that could not be read
		return
	}
	program, err := expr.Compile(e.Source, want, expr.Request)
	if err != nil {
		c.wrong(e, field, err)
		return
	}
	reads := program.Reads()
	if reads.RequestBody {
		c.add(e.find("request.body"), fmt.Sprintf("%s reads the body of the request", field), "it is decided before the body has come",
			"decide by what the head, the path or the query says")
	}
	c.captures(e, reads.Params, in)
}

// wrong tells why e does not compile.
func (c *validator) wrong(e *Expr, field string, err error) {
	p := doc.Problem{Pos: e.Pos, What: field + ": " + err.Error()}
	if wrong, ok := errors.AsType[*expr.Error](err); ok {
		p.What, p.Fix = field+": "+wrong.Text, wrong.Fix
		switch {
		case wrong.Line == 1 && wrong.Col > 0:
			p.Pos.Col += wrong.Col - 1
		case wrong.Line > 1:
			p.Why = fmt.Sprintf("line %d of the expression", wrong.Line)
		}
	}
	c.ps.Add(p)
}

// captures holds that the route captures what e reads of its path.
func (c *validator) captures(e *Expr, params []string, in captured) {
	if in.open {
		return
	}
	for _, name := range params {
		if slices.Contains(in.names, name) {
			continue
		}
		fix := fmt.Sprintf("write {%s} where it stands in the path or host, or has(path.%s) where it need not be there", name, name)
		c.add(e.find("path."+name), fmt.Sprintf("path.%s is never there", name),
			fmt.Sprintf("the route %q captures %s", in.route, listed(in.names)), suggest(name, in.names, fix))
	}
}

// listed is what a route captures, in words.
func listed(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return "{" + strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), "}, {") + "}"
}

// find is where text stands in e, or where e begins.
func (e *Expr) find(text string) doc.Pos {
	pos := e.Pos
	before, _, ok := strings.Cut(e.Source, text)
	if ok && pos.Line > 0 && !strings.Contains(before, "\n") {
		pos.Col += utf8.RuneCountInString(before)
	}
	return pos
}

// filterExpressions holds what the expressions in a filter's config read; the
// filter itself has compiled them.
func (c *validator) filterExpressions(config any, in captured) {
	walk(reflect.ValueOf(config), 0, func(v reflect.Value) bool {
		if v.Type() != reflect.TypeFor[Expr]() {
			return true
		}
		pos := v.FieldByName("Pos")
		e := Expr{Source: v.FieldByName("Source").String(), Pos: doc.Pos{
			File: pos.FieldByName("File").String(), Line: int(pos.FieldByName("Line").Int()), Col: int(pos.FieldByName("Col").Int()),
		}}
		if program, err := expr.Compile(e.Source, expr.Any, expr.Request|expr.Response|expr.Steps); err == nil {
			c.captures(&e, program.Reads().Params, in)
		}
		return false
	})
}

// maxDepth bounds the walk through a config; no config nests like that.
const maxDepth = 32

// walk visits v and all that it holds, whatever its type; what visit gives false
// for is not looked into.
func walk(v reflect.Value, depth int, visit func(reflect.Value) bool) {
	if depth > maxDepth || !v.IsValid() || !visit(v) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		walk(v.Elem(), depth+1, visit)
	case reflect.Struct:
		for _, field := range v.Fields() {
			walk(field, depth+1, visit)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(v.Index(i), depth+1, visit)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(it.Key(), depth+1, visit)
			walk(it.Value(), depth+1, visit)
		}
	default:
	}
}

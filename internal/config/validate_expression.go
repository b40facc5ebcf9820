package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// captured is what expressions of a route can read: names under path, and a caller under auth.
type captured struct {
	route string
	names []string
	// open says that there may be more names: a pattern could not be read, or nothing is known of the route.
	open bool
	// nobody says that no filter of the route recognises callers.
	nobody bool
	// tried says that auth is a dry run, so that everybody passes.
	tried bool
	// anonymous says that unknown callers may pass.
	anonymous bool
}

// capturedBy returns what at least one host or match captures. A name that only some of them capture counts, because an
// expression can test whether it is there.
func capturedBy(route string, hosts []string, matches ...Match) captured {
	c := captured{route: route}
	for _, h := range hosts {
		host, err := pattern.ParseHost(h)
		c.open = c.open || err != nil
		if host.Param != "" {
			c.names = append(c.names, host.Param)
		}
	}
	for _, m := range matches {
		if m.Path.Pattern == "" {
			continue // captures nothing
		}
		p, err := pattern.ParsePath(m.Path.Pattern)
		c.open = c.open || err != nil
		c.names = append(c.names, p.Names()...)
	}
	return c
}

// expression checks an expression of a route outside its filters.
func (c *validator) expression(e *Expr, field string, want expr.Type, in captured) {
	Expression{Expr: e, Field: field, Want: want}.check(in, &c.ps)
}

// check compiles e and reports its mistakes at their place in the file. An expression may read a body only if it says
// so; others are evaluated before a body has arrived.
func (e Expression) check(in captured, ps *doc.Problems) {
	if e.Expr == nil || *e.Expr == (Expr{}) { // none, or one that could not be read
		return
	}
	program, err := expr.Compile(e.Source, e.Want, cmp.Or(e.Scope, expr.Request))
	if err != nil {
		ps.Add(e.wrong(err))
		return
	}
	reads := program.Reads()
	for _, body := range []struct {
		of   string
		read bool
	}{{"request", reads.RequestBody}, {"response", reads.ResponseBody}} {
		if body.read && !e.Bodies {
			ps.Add(doc.Problem{
				Pos: e.find(body.of + ".body"), What: fmt.Sprintf("%s reads the body of the %s", e.Field, body.of),
				Why: "it is decided before the body has arrived", Fix: "decide by the head, the path or the query",
			})
		}
	}
	if e.Guards && reads.Auth && in.nobody {
		ps.Add(doc.Problem{
			Pos: e.find("auth"), What: fmt.Sprintf("%s reads who is calling, but the route %q authenticates nobody", e.Field, in.route),
			Why: "so it would decide the same for every caller", Fix: "add `auth:` to the route, or leave auth out of the expression",
		})
	}
	if e.Guards && !e.Key && !e.Tried && reads.Auth && in.tried {
		ps.Add(doc.Problem{
			Pos: e.find("auth"), What: fmt.Sprintf("%s asks who is calling, and auth of the route %q is a dry run", e.Field, in.route),
			Why: "unauthenticated callers pass that, and a condition could be true for them by accident", Fix: "write `dry_run: true` here too, or remove it from auth",
		})
	}
	if e.Key && in.anonymous && slices.Contains([]string{"auth.id", "auth.sub", "auth.iss", "auth.method"}, e.Source) {
		ps.Add(doc.Problem{
			Pos: e.find("auth"), Severity: doc.Warning, What: fmt.Sprintf("%s is empty for callers who are anonymous", e.Field),
			Why: "a request that cannot be counted is refused, so none of them would pass", Fix: fmt.Sprintf("write `=%s != '' ? %s : client.ip`", e.Source, e.Source),
		})
	}
	e.captures(reads.Params, in, ps)
}

// wrong returns why e does not compile.
func (e Expression) wrong(err error) doc.Problem {
	p := doc.Problem{Pos: e.Pos, What: e.Field + ": " + err.Error()}
	if wrong, ok := errors.AsType[*expr.Error](err); ok {
		p.What, p.Fix = e.Field+": "+wrong.Text, wrong.Fix
		switch {
		case wrong.Line == 1 && wrong.Col > 0:
			p.Pos.Col += wrong.Col - 1
		case wrong.Line > 1:
			p.Why = fmt.Sprintf("line %d of the expression", wrong.Line)
		}
	}
	return p
}

// captures checks that the route captures what e reads of its path.
func (e Expression) captures(params []string, in captured, ps *doc.Problems) {
	if in.open {
		return
	}
	for _, name := range params {
		if slices.Contains(in.names, name) {
			continue
		}
		fix := fmt.Sprintf("write {%s} where it stands in the path or host, or has(path.%s) where it may be absent", name, name)
		ps.Add(doc.Problem{
			Pos: e.find("path." + name), What: fmt.Sprintf("path.%s is never there", name),
			Why: fmt.Sprintf("the route %q captures %s", in.route, listed(in.names)), Fix: suggest(name, in.names, fix),
		})
	}
}

// listed describes in words what a route captures.
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

// checkExpressions checks the expressions in a filter's config.
func checkExpressions(config any, in captured, ps *doc.Problems) {
	if holder, ok := config.(Expressive); ok {
		for _, e := range holder.Expressions() {
			e.check(in, ps)
		}
	}
}

// maxDepth bounds the walk through a config; no config is nested that deep.
const maxDepth = 32

// walk visits v and everything in it, whatever its type. It does not descend into a value for which visit returns
// false.
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

// found returns every T in config, whatever config's type.
func found[T any](config any) []T {
	var list []T
	walk(reflect.ValueOf(config), 0, func(v reflect.Value) bool {
		if v.Type() != reflect.TypeFor[T]() || !v.CanInterface() {
			return true
		}
		list = append(list, v.Interface().(T)) //nolint:forcetypeassert // it was just looked at
		return false
	})
	return list
}

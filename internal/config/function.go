package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// function lowers one function: the kind is told by the key that it has.
func (l *loader) function(e element, group string, ps *doc.Problems) {
	names := kindNames(l.v.Functions)
	if e.node.Kind != doc.Map {
		p := doc.Problem{Pos: e.node.Pos, What: fmt.Sprintf("the function %q is %s", e.name, e.node.Kind), Why: "it is a map with the key of its kind: " + strings.Join(names, ", ")}
		if len(names) > 0 && e.node.Kind == doc.Scalar {
			p.Fix = fmt.Sprintf("write `%s:` and below it `%s: %s`", e.name, names[0], e.node.Value)
		}
		ps.Add(p)
		return
	}
	var found []string
	for _, entry := range e.node.Entries {
		if slices.Contains(names, entry.Key) {
			found = append(found, entry.Key)
		}
	}
	if len(found) != 1 {
		ps.Add(l.kindProblem(e, found))
		return
	}
	kind, _ := l.v.function(found[0])
	config := kind.New()
	var own doc.Problems
	doc.Decode(e.node, config, &own)
	for _, p := range own.Sorted() {
		ps.Add(p)
	}
	if !own.Failed() {
		l.cfg.Functions = append(l.cfg.Functions, Function{Name: e.name, Group: group, Kind: kind.Name, Config: config, Origin: Origin{Pos: e.pos}})
	}
}

// functionKinds are those of the full design.
func functionKinds() []string { return []string{"run", "lambda", "azure", "gcf"} }

// kindProblem says why the kind of e is not known.
func (l *loader) kindProblem(e element, found []string) doc.Problem {
	names := kindNames(l.v.Functions)
	if len(found) > 1 {
		return doc.Problem{Pos: e.pos, What: fmt.Sprintf("the function %q is of two kinds, %s", e.name, strings.Join(found, " and ")), Fix: "keep one of these keys"}
	}
	for _, entry := range e.node.Entries {
		if slices.Contains(functionKinds(), entry.Key) {
			return notYet(entry.KeyPos, entry.Key)
		}
		if near, ok := doc.Suggest(entry.Key, names); ok {
			return doc.Problem{Pos: entry.KeyPos, What: fmt.Sprintf("unknown key %q", entry.Key), Why: fmt.Sprintf("the function %q has no key of a kind: %s", e.name, strings.Join(names, ", ")), Fix: fmt.Sprintf("did you mean %q?", near)}
		}
	}
	return doc.Problem{Pos: e.pos, What: fmt.Sprintf("the function %q has no kind", e.name), Why: "the key that it has tells its kind", Fix: "add the key of a kind: " + strings.Join(names, ", ")}
}

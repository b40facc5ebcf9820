package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// kinded reads elements whose key decides their kind: functions and auth.
type kinded struct {
	what  string // "function"
	kinds []Kind
	later []string // kinds of the full design
}

// read returns the kind of e and its decoded config.
func (k kinded) read(e element, ps *doc.Problems) (kind string, config any, ok bool) {
	names := kindNames(k.kinds)
	if e.node.Kind != doc.Map {
		p := doc.Problem{Pos: e.node.Pos, What: fmt.Sprintf("the %s %q is %s", k.what, e.name, e.node.Kind), Why: "it is a map with the key of its kind: " + strings.Join(names, ", ")}
		if len(names) > 0 && e.node.Kind == doc.Scalar {
			p.Fix = fmt.Sprintf("write `%s:` and below it `%s: %s`", e.name, names[0], e.node.Value)
		}
		ps.Add(p)
		return "", nil, false
	}
	var told []string
	for _, entry := range e.node.Entries {
		if slices.Contains(names, entry.Key) {
			told = append(told, entry.Key)
		}
	}
	if len(told) != 1 {
		ps.Add(k.problem(e, told))
		return "", nil, false
	}
	known, _ := find(k.kinds, told[0])
	config = known.New()
	return known.Name, config, doc.Decode(e.node, config, ps)
}

// problem says why e has no single known kind; told are the kinds that it names.
func (k kinded) problem(e element, told []string) doc.Problem {
	names := kindNames(k.kinds)
	if len(told) > 1 {
		return doc.Problem{Pos: e.pos, What: fmt.Sprintf("the %s %q is of two kinds, %s", k.what, e.name, strings.Join(told, " and ")), Fix: "keep one of these keys"}
	}
	for _, entry := range e.node.Entries {
		if slices.Contains(k.later, entry.Key) {
			return notYet(entry.KeyPos, entry.Key)
		}
		if near, ok := doc.Suggest(entry.Key, names); ok {
			return doc.Problem{Pos: entry.KeyPos, What: fmt.Sprintf("unknown key %q", entry.Key), Why: fmt.Sprintf("the %s %q has no key of a kind: %s", k.what, e.name, strings.Join(names, ", ")), Fix: fmt.Sprintf("did you mean %q?", near)}
		}
	}
	return doc.Problem{Pos: e.pos, What: fmt.Sprintf("the %s %q has no kind", k.what, e.name), Why: "its kind is given by one of its keys", Fix: "add the key of a kind: " + strings.Join(names, ", ")}
}

package config

import (
	"fmt"
	"iter"
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// element is one named entry of a map (`name: ...`) or of a list in the long form (`- name: ...`).
type element struct {
	name  string
	pos   doc.Pos   // of the name
	group string    // as the long form names it
	team  *doc.Node // where the group is named
	node  *doc.Node
	long  bool
}

// memberForm holds the group that an element of the long form names.
type memberForm struct {
	Group string `doc:"group" help:"the group that this element belongs to" example:"shop"`
}

// elements yields the elements of n by name; none if n is neither map nor list.
func elements(n *doc.Node) iter.Seq2[string, element] {
	return func(yield func(string, element) bool) {
		if n == nil {
			return
		}
		for _, e := range n.Entries {
			if !yield(e.Key, element{name: e.Key, pos: e.KeyPos, node: e.Value}) {
				return
			}
		}
		for _, item := range n.Items {
			if e, ok := longElement(item); ok && !yield(e.name, e) {
				return
			}
		}
	}
}

// longElement takes `name` and `group` out of an item of a list.
func longElement(item *doc.Node) (element, bool) {
	name := item.Get("name")
	if item.Kind != doc.Map || name == nil || name.Kind != doc.Scalar || name.Value == "" {
		return element{}, false
	}
	e := element{name: name.Value, pos: name.Pos, node: &doc.Node{Kind: doc.Map, Pos: item.Pos}, long: true}
	if e.team = item.Get("group"); e.team != nil && e.team.Kind == doc.Scalar {
		e.group = e.team.Value
	}
	for _, entry := range item.Entries {
		if entry.Key != "name" && entry.Key != "group" {
			e.node.Entries = append(e.node.Entries, entry)
		}
	}
	return e, true
}

// each lowers the elements of n, which stands under key. Every element has its own problems. f gets the group that the
// element belongs to.
func (l *loader) each(n *doc.Node, key string, group string, f func(e element, group string, ps *doc.Problems)) {
	if n == nil || n.Kind == 0 {
		return
	}
	var own doc.Problems
	if n.Kind == doc.Scalar {
		own.Add(doc.Problem{Pos: n.Pos, What: key + " is one value", Why: "it must be a map of names, or a list in the long form", Fix: elementExample(key)})
	}
	for _, item := range n.Items {
		if _, ok := longElement(item); !ok && item.Kind != 0 {
			own.Add(doc.Problem{Pos: item.Pos, What: "an item of the list " + key + " has no name", Why: "a list is the long form, in which each item begins with its name", Fix: elementExample(key)})
		}
	}
	for _, e := range elements(n) {
		if e.node.Kind == 0 {
			continue
		}
		if e.team != nil {
			doc.Decode(e.team.Under("group"), &memberForm{}, &own)
		}
		f(e, l.groupOf(e, group, &own), &own)
	}
	l.ps.Join(&own)
}

func elementExample(key string) string {
	switch key {
	case "routes":
		return "for example `routes:` and below it `GET /orders: http://orders:8080`"
	case "streams":
		return "for example `streams:` and below it `db:` with `listen: tcp://:5432` and `to: http://...`"
	case "auth":
		return "for example `auth:` and below it `customer:` with `jwt: https://id.example.com/` and `audience: shop`"
	default:
		return fmt.Sprintf("for example `%s:` and below it `users: ...`", key)
	}
}

// groupOf returns the group of an element in a section of group.
func (l *loader) groupOf(e element, group string, ps *doc.Problems) string {
	switch {
	case e.group == "" || e.group == group:
		return group
	case group != "":
		ps.Add(doc.Problem{Pos: e.pos, What: fmt.Sprintf("%q names the group %q inside the group %q", e.name, e.group, group), Why: "an object of one group cannot act for another group", Fix: "remove the group here"})
		return group
	case !slices.ContainsFunc(l.cfg.Groups, func(g Group) bool { return g.Name == e.group }):
		ps.Add(l.unknownGroup(e.pos, e.group))
		return group
	default:
		return e.group
	}
}

func (l *loader) unknownGroup(pos doc.Pos, name string) doc.Problem {
	known := make([]string, len(l.cfg.Groups))
	for i, g := range l.cfg.Groups {
		known[i] = g.Name
	}
	return doc.Problem{
		Pos: pos, What: fmt.Sprintf("the group %q is not declared", name),
		Why: "the file that declares a group says what it may reach, not its members",
		Fix: suggest(name, known, fmt.Sprintf("write `groups:` and below it `%s: {}` in a file that belongs to no group", name)),
	}
}

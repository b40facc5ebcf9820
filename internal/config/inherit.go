package config

import (
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// level is a set of fields that routes inherit.
type level struct {
	name string // for Origin.Via: "defaults", "group shop"
	node *doc.Node
}

// levels returns the levels that the routes of a group inherit from, outermost first.
func (l *loader) levels(group string, own *level) []level {
	var all []level
	if l.defaults != nil {
		all = append(all, *l.defaults)
	}
	if t := l.teams[group]; t != nil && t.Defaults != nil {
		all = append(all, level{name: "group " + group, node: t.Defaults})
	}
	if own != nil {
		all = append(all, *own)
	}
	return all
}

// inheritable are the fields that may be inherited, in addition to filters.
func inheritable() []string { return []string{"timeout", "retry", "forwarded"} }

// inherited is one field of a route with the level that it comes from.
type inherited struct {
	doc.Entry
	via string // "" for the route's own
}

// slot is the key under which fields replace each other when they are inherited: strip and rewrite do the same job.
func slot(key string) string {
	if key == "strip" {
		return "rewrite"
	}
	return key
}

// inherit completes the entries of a route with those of levels. A field at an inner level replaces the whole field of
// an outer level, and `none` switches it off; nothing is merged.
func inherit(own []doc.Entry, levels []level) []inherited {
	var fields []inherited
	taken := map[string]bool{}
	add := func(entries []doc.Entry, via string) {
		for _, e := range entries {
			if !taken[slot(e.Key)] && !switchedOff(e) {
				fields = append(fields, inherited{Entry: e, via: via})
			}
		}
		for _, e := range entries {
			taken[slot(e.Key)] = true
		}
	}
	add(own, "")
	for _, level := range slices.Backward(levels) {
		if level.node.Kind == doc.Map {
			add(level.node.Entries, level.name)
		}
	}
	return fields
}

// switchedOff reports whether e only keeps an inherited field away. A timeout, retry or forwarded of none is a value
// of its own: it also overrides the service's, or the default.
func switchedOff(e doc.Entry) bool {
	return isNone(e.Value) && !slices.Contains(inheritable(), e.Key)
}

// checkLevel decodes a level by itself, so that a mistake is reported at its place even if no route inherits it.
func (l *loader) checkLevel(lv level) {
	var own doc.Problems
	defer l.ps.Join(&own)
	if lv.node.Kind != doc.Map {
		if lv.node.Kind != 0 {
			own.Add(doc.Problem{Pos: lv.node.Pos, What: "defaults is not a map", Why: "they are fields of routes", Fix: "for example `defaults:` and below it `timeout: 5s`"})
		}
		return
	}
	core, filters := l.v.split(lv.node, append(inheritable(), "strip"), everyKind, &own)
	var form routeForm
	fields := inherit(slices.Concat(core.Entries, filters), nil)
	doc.Decode(entriesOf(lv.node, fields, isCore), &form, &own)
	for _, f := range filtersOf(fields) {
		made, _ := l.filter(f, captures{unknown: true}, &own)
		for _, m := range made {
			checkExpressions(m.Config, captured{open: true}, &own)
			notHere(m, &own)
		}
	}
}

// entriesOf returns a map of the fields for which want is true.
func entriesOf(n *doc.Node, fields []inherited, want func(key string) bool) *doc.Node {
	made := &doc.Node{Kind: doc.Map, Pos: n.Pos}
	for _, f := range fields {
		if want(f.Key) {
			made.Entries = append(made.Entries, f.Entry)
		}
	}
	return made
}

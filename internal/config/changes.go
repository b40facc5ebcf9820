package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Element is one named part of a config, as `weir diff` compares them.
type Element struct {
	Kind string `json:"kind"`           // its key at the top level: "routes", "listen", "limits"
	Name string `json:"name,omitempty"` // "" for an element that exists once
	Text string `json:"text"`           // its long form, without places
}

// Elements splits c into its elements, in the order of its long form.
func Elements(c *Config) []Element {
	var list []Element
	for _, e := range (expander{}).config(c).Entries {
		if e.Value.Kind != doc.List || !ofElements(e.Value) {
			list = append(list, Element{Kind: e.Key, Text: string(doc.Encode(withoutComments(e.Value)))})
			continue
		}
		seen := map[string]int{}
		for _, item := range e.Value.Items {
			name := nameOfItem(item)
			if seen[name]++; seen[name] > 1 {
				name = fmt.Sprintf("%s (%d)", name, seen[name])
			}
			list = append(list, Element{Kind: e.Key, Name: name, Text: string(doc.Encode(withoutComments(item)))})
		}
	}
	return list
}

// ofElements reports whether a list holds elements rather than values.
func ofElements(list *doc.Node) bool { return len(list.Items) > 0 && list.Items[0].Kind == doc.Map }

// nameOfItem returns the name that people use for an element; for a test, that is its request.
func nameOfItem(item *doc.Node) string {
	if name := item.Get("name"); name != nil {
		return name.Value
	}
	if request := item.Get("request"); request != nil {
		if line := request.Get("line"); line != nil {
			return line.Value
		}
	}
	return ""
}

func withoutComments(n *doc.Node) *doc.Node {
	bare := *n
	bare.Comment = ""
	bare.Items = make([]*doc.Node, len(n.Items))
	for i, item := range n.Items {
		bare.Items[i] = withoutComments(item)
	}
	bare.Entries = slices.Clone(n.Entries)
	for i := range bare.Entries {
		bare.Entries[i].Value = withoutComments(bare.Entries[i].Value)
	}
	return &bare
}

// The ways in which an element changes.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change says what happened to one element between two configs.
type Change struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	What string `json:"what"` // Added, Removed or Changed
}

func (c Change) String() string {
	return strings.TrimSpace(c.What + " " + c.Kind + " " + c.Name)
}

// Changes returns the differences between two configs, sorted by the fields of Config and the names of their elements.
// before may be nil: everything is then added. Changes compares values and prints nothing, so it can run at each
// reload.
func Changes(before, after *Config) []Change {
	if before == nil {
		before = &Config{}
	}
	var changes []Change
	a, b := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range a.NumField() {
		kind := kindOf(a.Type().Field(i).Name)
		if isPlace(a.Field(i).Type()) {
			continue
		}
		if nameField(a.Field(i).Type()) != nil {
			changes = append(changes, namedChanges(kind, a.Field(i), b.Field(i))...)
		} else if !bySaying.comparer(a.Field(i).Type())(a.Field(i), b.Field(i)) {
			changes = append(changes, Change{Kind: kind, What: Changed})
		}
	}
	return changes
}

// kindOf returns the name that people use for a field of Config.
func kindOf(field string) string {
	switch field {
	case "TrustedProxies":
		return "trust"
	case "LambdaAPI":
		return LambdaAPIName
	}
	return strings.ToLower(field)
}

// nameField finds the name field of a list's elements; nil if they have none.
func nameField(list reflect.Type) []int {
	if list.Kind() != reflect.Slice || list.Elem().Kind() != reflect.Struct {
		return nil
	}
	f, ok := list.Elem().FieldByName("Name")
	if !ok || f.Type.Kind() != reflect.String {
		return nil
	}
	return f.Index
}

func namedChanges(kind string, before, after reflect.Value) []Change {
	at := nameField(before.Type())
	same := bySaying.comparer(before.Type().Elem())
	old := make(map[string]reflect.Value, before.Len())
	for i := range before.Len() {
		old[before.Index(i).FieldByIndex(at).String()] = before.Index(i)
	}
	var changes []Change
	for i := range after.Len() {
		e := after.Index(i)
		name := e.FieldByIndex(at).String()
		was, existed := old[name]
		delete(old, name)
		switch {
		case !existed:
			changes = append(changes, Change{kind, name, Added})
		case !same(was, e):
			changes = append(changes, Change{kind, name, Changed})
		}
	}
	for name := range old {
		changes = append(changes, Change{kind, name, Removed})
	}
	slices.SortFunc(changes, func(x, y Change) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.What, y.What)) })
	return changes
}

// Summary describes changes in short: "routes +1 -2 ~3, limits ~1"; "nothing" if there are none.
func Summary(changes []Change) string {
	type count struct{ added, removed, changed int }
	counts := map[string]*count{}
	var kinds []string
	for _, c := range changes {
		if counts[c.Kind] == nil {
			counts[c.Kind] = &count{}
			kinds = append(kinds, c.Kind)
		}
		switch c.What {
		case Added:
			counts[c.Kind].added++
		case Removed:
			counts[c.Kind].removed++
		default:
			counts[c.Kind].changed++
		}
	}
	parts := make([]string, 0, len(kinds))
	for _, kind := range kinds {
		text := []string{kind}
		for _, of := range []struct {
			sign string
			n    int
		}{{"+", counts[kind].added}, {"-", counts[kind].removed}, {"~", counts[kind].changed}} {
			if of.n > 0 {
				text = append(text, of.sign+strconv.Itoa(of.n))
			}
		}
		parts = append(parts, strings.Join(text, " "))
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

// Compare returns the differences between two lists of elements, in the order of after, followed by the removed
// elements.
func Compare(before, after []Element) []Change {
	type key struct{ kind, name string }
	old := make(map[key]string, len(before))
	for _, e := range before {
		old[key{e.Kind, e.Name}] = e.Text
	}
	var changes []Change
	for _, e := range after {
		text, existed := old[key{e.Kind, e.Name}]
		delete(old, key{e.Kind, e.Name})
		switch {
		case !existed:
			changes = append(changes, Change{e.Kind, e.Name, Added})
		case text != e.Text:
			changes = append(changes, Change{e.Kind, e.Name, Changed})
		}
	}
	for _, e := range before {
		if _, left := old[key{e.Kind, e.Name}]; left {
			changes = append(changes, Change{e.Kind, e.Name, Removed})
		}
	}
	return changes
}

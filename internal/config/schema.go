package config

import (
	"reflect"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Schema describes a config file, with everything that v knows, for editors.
func Schema(v Vocabulary) *doc.Schema {
	w := schemaWriter{v: v}
	root := w.of(reflect.TypeFor[fileForm]())
	root.Dialect = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Weir"
	w.define("filters", listOf(&doc.Schema{Type: doc.Types{"object"}, Properties: w.kinds(everyKind), AdditionalProperties: false}))
	w.define("variantFilters", listOf(&doc.Schema{Type: doc.Types{"object"}, Properties: w.kinds(perBackend), AdditionalProperties: false}))
	w.define("route", w.with(w.of(reflect.TypeFor[routeForm]()), everyKind))
	w.define("variant", w.with(w.of(reflect.TypeFor[variantForm]()), perBackend, doc.Property{Name: "strip", Schema: text("what is taken from the front of the path")}))
	w.define("defaults", w.defaults())
	w.define("longRoute", withName(w.of(reflect.TypeFor[longRouteForm]())))
	w.define("group", w.of(reflect.TypeFor[groupForm]()))
	w.define("longGroup", withName(w.of(reflect.TypeFor[groupForm]())))
	w.define("stream", w.of(reflect.TypeFor[streamForm]()))
	w.define("longStream", withName(w.of(reflect.TypeFor[streamForm]())))
	w.define("streamBackend", w.of(reflect.TypeFor[streamBackendForm]()))
	w.define("step", either(text("a backend"), w.step()))
	w.define("longStep", withName(w.step()))
	w.define("return", either(w.of(reflect.TypeFor[returnForm]()), Tree{}.DocSchema()))
	w.define("composition", w.of(reflect.TypeFor[compositionForm]()))
	w.define("longComposition", withName(w.of(reflect.TypeFor[compositionForm]())))
	w.define("listener", either(w.of(reflect.TypeFor[listenerForm]()), text("an address")))
	w.define("longListener", withName(w.of(reflect.TypeFor[plainListener]())))
	w.define("service", w.of(reflect.TypeFor[serviceForm]()))
	w.define("longService", withName(w.of(reflect.TypeFor[plainService]())))
	w.define("function", w.kinded(v.Functions, false))
	w.define("longFunction", w.kinded(v.Functions, true))
	w.define("auth", w.kinded(v.Auths, false))
	w.define("longAuth", w.kinded(v.Auths, true))
	w.define("discovery", w.byKind(w.v.Discoveries))
	w.define("clouds", w.byKind(w.v.Clouds))
	w.place("file", root)
	for _, p := range w.defs {
		if isOwn(p.Name) {
			w.place(p.Name, p.Schema)
		}
	}
	root.Defs = w.defs
	return root
}

// isOwn reports whether a definition belongs to this package. Filters, functions, auth and sources have fields of their
// own under any name.
func isOwn(name string) bool {
	kinds := strings.TrimPrefix(strings.ToLower(name), "long")
	return !strings.Contains(name, ".") && kinds != "function" && kinds != "auth" && kinds != "discovery" && kinds != "clouds" || strings.HasPrefix(name, "config.")
}

// schemaWriter collects definitions that refer to each other.
type schemaWriter struct {
	v    Vocabulary
	defs doc.Properties
}

func (w *schemaWriter) define(name string, s *doc.Schema) {
	if !slices.ContainsFunc(w.defs, func(p doc.Property) bool { return p.Name == name }) {
		w.defs = append(w.defs, doc.Property{Name: name, Schema: s})
	}
}

// of describes t. The definitions in t are added to those of the whole schema.
func (w *schemaWriter) of(t reflect.Type) *doc.Schema {
	s := doc.SchemaOf(t)
	for _, p := range s.Defs {
		w.define(p.Name, p.Schema)
	}
	s.Defs, s.Dialect = nil, ""
	return s
}

func refer(name string) *doc.Schema { return &doc.Schema{Ref: "#/$defs/" + name} }

func text(help string) *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Description: help}
}

func either(options ...*doc.Schema) *doc.Schema { return &doc.Schema{AnyOf: options} }

func listOf(item *doc.Schema) *doc.Schema {
	return doc.ListSchema(item)
}

func mapOf(value *doc.Schema) *doc.Schema {
	return &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: value}
}

func off() *doc.Schema {
	return &doc.Schema{Enum: []string{none}, Description: "switches an inherited one off"}
}

// with adds the filters for which want is true, and more, to a form.
func (w *schemaWriter) with(s *doc.Schema, want func(Kind) bool, more ...doc.Property) *doc.Schema {
	s.Properties = slices.Concat(s.Properties, more, w.kinds(want))
	return s
}

// kinds returns the filters by name.
func (w *schemaWriter) kinds(want func(Kind) bool) doc.Properties {
	var list doc.Properties
	for _, k := range w.v.Filters {
		if want(k) {
			s := either(w.of(reflect.TypeOf(k.New())), off())
			s.Description = k.Summary
			w.define("filter."+k.Name, s)
			list = append(list, doc.Property{Name: k.Name, Schema: refer("filter." + k.Name)})
		}
	}
	return list
}

// withName adds the name and group that elements in a list have.
func withName(s *doc.Schema) *doc.Schema {
	named := *s
	named.Required = append([]string{"name"}, s.Required...)
	named.Properties = append(doc.Properties{
		{Name: "name", Schema: text("its name")},
		{Name: "group", Schema: text("the group that it belongs to")},
	}, s.Properties...)
	return &named
}

// step is the form of a step, with the schema of transform, the one filter that a step may have.
func (w *schemaWriter) step() *doc.Schema {
	s := w.of(reflect.TypeFor[plainStep]())
	for i := range s.Properties {
		if s.Properties[i].Name == "transform" {
			s.Properties[i].Schema = &doc.Schema{Type: doc.Types{"object"}} // if the program has no such filter
			if known := w.kinds(func(k Kind) bool { return k.Name == "transform" }); len(known) > 0 {
				s.Properties[i].Schema = known[0].Schema
			}
		}
	}
	return s
}

// defaults describes what routes inherit.
func (w *schemaWriter) defaults() *doc.Schema {
	s := w.of(reflect.TypeFor[routeForm]())
	s.Properties = slices.DeleteFunc(s.Properties, func(p doc.Property) bool {
		return p.Name != "strip" && !slices.Contains(inheritable(), p.Name)
	})
	return w.with(s, everyKind)
}

// kinded describes kinds of functions or auth, each chosen by its key.
func (w *schemaWriter) kinded(kinds []Kind, long bool) *doc.Schema {
	var options []*doc.Schema
	for _, k := range kinds {
		s := w.of(reflect.TypeOf(k.New()))
		s.Description = k.Summary
		if long {
			s = withName(s)
		}
		options = append(options, s)
	}
	if len(options) == 0 {
		return &doc.Schema{Type: doc.Types{"object"}}
	}
	return either(options...)
}

// place inserts the definitions where a form holds only a node, which Load takes apart by hand. owner is the name of
// the definition s.
func (w *schemaWriter) place(owner string, s *doc.Schema) {
	if s == nil {
		return
	}
	for i, p := range s.Properties {
		known := part(owner, p.Name)
		if known == nil || !isOpen(p.Schema) {
			w.place(owner, p.Schema)
			continue
		}
		known.Description, known.Examples = p.Schema.Description, p.Schema.Examples
		s.Properties[i].Schema = known
	}
	for _, option := range s.AnyOf {
		w.place(owner, option)
	}
}

// part describes the node under key of a definition; nil: not known.
func part(owner, key string) *doc.Schema {
	named := func(short, long string) *doc.Schema { return either(mapOf(refer(short)), listOf(refer(long))) }
	stream := owner == "stream" || owner == "longStream"
	switch key {
	case "listen":
		if stream {
			return text("")
		}
		return either(text("an address"), mapOf(refer("listener")), listOf(either(refer("listener"), refer("longListener"))))
	case "groups":
		return named("group", "longGroup")
	case "services":
		return named("service", "longService")
	case "functions":
		return named("function", "longFunction")
	case "auth":
		return named("auth", "longAuth")
	case "streams":
		return named("stream", "longStream")
	case "compositions":
		return named("composition", "longComposition")
	case "compose", "steps":
		return named("step", "longStep")
	case "return":
		return refer("return")
	case "routes":
		return either(mapOf(either(to(), refer("route"))), listOf(refer("longRoute")))
	case "discovery", "clouds":
		return refer(key)
	case "defaults":
		return refer("defaults")
	case "to":
		if stream {
			return either(text("a backend"), refer("streamBackend"), listOf(either(text("a backend"), refer("streamBackend"))))
		}
		if owner == "step" || owner == "longStep" {
			return text("")
		}
		return to()
	case "use", "source", "line", "path":
		return text("")
	case "filters":
		if owner == "config.longBackendForm" {
			return refer("variantFilters")
		}
		return refer("filters")
	default:
		return nil
	}
}

// to describes one backend, or variants.
func to() *doc.Schema {
	return either(text("a backend"), refer("variant"), listOf(either(text("a backend"), refer("variant"))))
}

// isOpen reports whether s says nothing about what may stand there.
func isOpen(s *doc.Schema) bool {
	return s.Type == nil && s.Ref == "" && s.AnyOf == nil && s.Enum == nil && s.Properties == nil
}

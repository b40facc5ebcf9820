package doc

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Schema is the part of JSON Schema 2020-12 that describes what Decode reads.
// It is printed with encoding/json, always in the same order.
type Schema struct {
	Dialect     string     `json:"$schema,omitempty"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Ref         string     `json:"$ref,omitempty"`
	Type        Types      `json:"type,omitempty"`
	Enum        []string   `json:"enum,omitempty"`
	Pattern     string     `json:"pattern,omitempty"`
	Minimum     *int64     `json:"minimum,omitempty"`
	Maximum     *uint64    `json:"maximum,omitempty"`
	Examples    []any      `json:"examples,omitempty"`
	Items       *Schema    `json:"items,omitempty"`
	Properties  Properties `json:"properties,omitempty"`
	Required    []string   `json:"required,omitempty"`
	// AdditionalProperties is nil, false, or a *Schema for the values of a map.
	AdditionalProperties any        `json:"additionalProperties,omitempty"`
	AnyOf                []*Schema  `json:"anyOf,omitempty"`
	Defs                 Properties `json:"$defs,omitempty"`
}

// SchemaWriter is implemented by types with a short form, or that Decode cannot inspect, to describe what they read.
// The caller owns the returned Schema.
type SchemaWriter interface{ DocSchema() *Schema }

// Types are the JSON types that a value may have. A single type is printed as a string instead of a list.
type Types []string

// The types of JSON Schema that are used more than once.
const (
	typeString  = "string"
	typeInteger = "integer"
	typeArray   = "array"
)

// MarshalJSON implements json.Marshaler.
func (t Types) MarshalJSON() ([]byte, error) {
	var v any = []string(t)
	if len(t) == 1 {
		v = t[0]
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("types of a schema: %w", err)
	}
	return text, nil
}

// Property is a named schema.
type Property struct {
	Name   string
	Schema *Schema
}

// Properties are named schemas in the order in which they are printed.
type Properties []Property

// MarshalJSON implements json.Marshaler.
func (ps Properties) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, p := range ps {
		if i > 0 {
			text = append(text, ',')
		}
		name, err := json.Marshal(p.Name)
		if err != nil {
			return nil, fmt.Errorf("name of a property: %w", err)
		}
		schema, err := json.Marshal(p.Schema)
		if err != nil {
			return nil, fmt.Errorf("property %s: %w", p.Name, err)
		}
		text = append(append(append(text, name...), ':'), schema...)
	}
	return append(text, '}'), nil
}

// SchemaOf describes what Decode reads into a value of type t. Each named struct appears once, under $defs.
func SchemaOf(t reflect.Type) *Schema {
	w := schemaWriter{names: make(map[reflect.Type]string)}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	root := w.direct(t)
	root.Dialect = "https://json-schema.org/draft/2020-12/schema"
	root.Defs = w.defs
	return root
}

// SchemaOr describes a type with short forms: one of short, or what Decode reads into a T. T is the type without its
// own DocSchema.
func SchemaOr[T any](short ...*Schema) *Schema {
	return &Schema{AnyOf: append(short, SchemaOf(reflect.TypeFor[T]()))}
}

// TextSchema is a text, or a value that is kept as its text.
func TextSchema(help string) *Schema {
	s := anyScalar()
	s.Description = help
	return s
}

// ListSchema is a list whose elements are item.
func ListSchema(item *Schema) *Schema { return &Schema{Type: Types{typeArray}, Items: item} }

type schemaWriter struct {
	defs  Properties
	names map[reflect.Type]string // of types under $defs
}

// of describes t; a named struct by reference.
func (w *schemaWriter) of(t reflect.Type) *Schema {
	for t.Kind() == reflect.Pointer && t != reflect.TypeFor[*Node]() {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.Name() == "" || implements[encoding.TextUnmarshaler](t) && !implements[SchemaWriter](t) {
		return w.direct(t)
	}
	name, known := w.names[t]
	if !known {
		name = w.name(t)
		w.names[t] = name
		at := len(w.defs)
		w.defs = append(w.defs, Property{Name: name})
		schema := w.direct(t)
		w.defs[at].Schema = schema
	}
	return &Schema{Ref: "#/$defs/" + name}
}

// name returns package.Type, with a number if two packages have the same name.
func (w *schemaWriter) name(t reflect.Type) string {
	base := strings.Map(func(c rune) rune {
		if strings.ContainsRune("[]/*, ", c) {
			return '-'
		}
		return c
	}, path.Base(t.PkgPath())+"."+t.Name())
	name := base
	for n := 2; w.taken(name); n++ {
		name = base + strconv.Itoa(n)
	}
	return name
}

func (w *schemaWriter) taken(name string) bool {
	for _, p := range w.defs {
		if p.Name == name {
			return true
		}
	}
	return false
}

// implements tells whether t or a pointer to it implements the interface I.
func implements[I any](t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[I]())
}

// direct describes t itself.
func (w *schemaWriter) direct(t reflect.Type) *Schema {
	if implements[SchemaWriter](t) {
		written, ok := reflect.TypeAssert[SchemaWriter](reflect.New(t))
		if ok {
			schema := written.DocSchema()
			w.hoist(schema)
			return schema
		}
	}
	switch {
	case t == reflect.TypeFor[*Node](), implements[Decoder](t):
		return &Schema{} // may read anything
	case implements[encoding.TextUnmarshaler](t):
		return anyScalar()
	case t == reflect.TypeFor[time.Duration]():
		return &Schema{Type: Types{typeString}, Pattern: `^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$`, Examples: []any{"300ms", "1m30s"}}
	case t == reflect.TypeFor[Size]():
		return &Schema{Type: Types{typeString}, Pattern: `^\d+(\.\d+)? ?([KMGTkmgt][Ii]?)?[Bb]$`, Examples: []any{"10MB", "64KiB"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return w.structure(t)
	case reflect.Slice:
		return &Schema{Type: Types{typeArray}, Items: w.of(t.Elem())}
	case reflect.Map:
		return &Schema{Type: Types{"object"}, AdditionalProperties: w.of(t.Elem())}
	default:
		return scalarSchema(t)
	}
}

// hoist moves the $defs of a schema that a type wrote with the help of SchemaOf
// to the root, where its references look for them.
func (w *schemaWriter) hoist(s *Schema) {
	if s == nil {
		return
	}
	s.Dialect = ""
	for _, p := range s.Defs {
		if !w.taken(p.Name) {
			w.defs = append(w.defs, p)
		}
	}
	s.Defs = nil
	w.hoist(s.Items)
	for _, one := range s.AnyOf {
		w.hoist(one)
	}
	for _, p := range s.Properties {
		w.hoist(p.Schema)
	}
	if values, ok := s.AdditionalProperties.(*Schema); ok {
		w.hoist(values)
	}
}

// anyScalar allows any scalar value: Weir keeps its text, so `8` and `true` are texts if a text is wanted.
func anyScalar() *Schema { return &Schema{Type: Types{typeString, "number", "boolean"}} }

func scalarSchema(t reflect.Type) *Schema {
	switch t.Kind() {
	case reflect.String:
		return anyScalar()
	case reflect.Bool:
		return &Schema{Type: Types{"boolean"}}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: Types{"number"}}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if t.Bits() == 64 { // more than JSON readers represent exactly
			return &Schema{Type: Types{typeInteger}}
		}
		least, most := int64(math.MinInt64)>>(64-t.Bits()), uint64(math.MaxInt64)>>(64-t.Bits())
		return &Schema{Type: Types{typeInteger}, Minimum: &least, Maximum: &most}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		least, most := int64(0), uint64(math.MaxUint64)>>(64-t.Bits())
		if t.Bits() == 64 {
			return &Schema{Type: Types{typeInteger}, Minimum: &least}
		}
		return &Schema{Type: Types{typeInteger}, Minimum: &least, Maximum: &most}
	default:
		panic(fmt.Sprintf("doc: fields of type %s are not supported", t))
	}
}

func (w *schemaWriter) structure(t reflect.Type) *Schema {
	s := &Schema{Type: Types{"object"}, AdditionalProperties: false}
	for _, f := range inspect(t).fields {
		schema := w.of(f.typ)
		if f.oneOrMany {
			schema = &Schema{AnyOf: []*Schema{w.of(f.typ.Elem()), schema}}
		}
		if f.help != "" {
			schema.Description = f.help
		}
		if f.example != "" {
			schema.Examples = []any{exampleValue(f.example)}
		}
		if f.required {
			s.Required = append(s.Required, f.name)
		}
		s.Properties = append(s.Properties, Property{Name: f.name, Schema: schema})
	}
	return s
}

// exampleValue returns an example as a JSON value; an example in brackets is parsed first.
func exampleValue(example string) any {
	var ps Problems
	n := Parse("", []byte(example), &ps)
	if n == nil || ps.Failed() {
		return example
	}
	return jsonValue(n)
}

func jsonValue(n *Node) any {
	switch n.Kind {
	case List:
		items := make([]any, len(n.Items))
		for i, item := range n.Items {
			items[i] = jsonValue(item)
		}
		return items
	case Map:
		entries := make(map[string]any, len(n.Entries))
		for _, e := range n.Entries {
			entries[e.Key] = jsonValue(e.Value)
		}
		return entries
	default:
		if n.Quoted {
			return n.Value
		}
		return jsonScalar(n.Value)
	}
}

func jsonScalar(text string) any {
	var v any
	if text == yes || text == no || plainDecimal(text) == nil {
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			return v
		}
	}
	return text
}

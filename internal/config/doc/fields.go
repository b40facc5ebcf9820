package doc

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// field holds what the tags of one struct field say.
type field struct {
	name      string
	index     []int // for reflect.Value.FieldByIndex
	typ       reflect.Type
	required  bool
	oneOrMany bool
	omitZero  bool
	text      bool // a text that may not be empty
	help      string
	example   string
	element   bool // describes an element of the field
}

// fix shows how the field is written, if its tags have an example.
func (f field) fix() string {
	if f.example == "" {
		return ""
	}
	example := f.example
	if strings.IndexByte("*&!%@", example[0]) >= 0 { // these have a meaning at the beginning of a value
		example = quote(example)
	}
	return "for example `" + f.name + ": " + example + "`"
}

// empty is the problem of an empty text. The field would look as if it had been omitted, which is not what its author
// meant.
func (f field) empty(n *Node) Problem {
	p := Problem{Pos: n.Pos, What: f.name + " is empty", Why: f.help, Fix: f.fix()}
	switch {
	case f.required:
	case p.Fix == "":
		p.Fix = "leave it out"
	default:
		p.Fix = "leave it out, or " + p.Fix
	}
	return p
}

// structInfo is what Decode, SchemaOf and Encode know about a struct type.
type structInfo struct {
	fields []field
	pos    []int // index of the field that takes the position, nil if there is none
}

func (s *structInfo) names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

func (s *structInfo) field(name string) (field, bool) {
	i := slices.IndexFunc(s.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return s.fields[i], true
}

// inspected caches the results of inspect. The tags of a type never change, and decoding a config of ten thousand
// routes inspects the same few types again and again.
var inspected sync.Map // reflect.Type to *structInfo, which no longer changes

// inspect reads the tags of struct type t. An invalid tag is a programming mistake and panics, so that the first test
// finds it.
func inspect(t reflect.Type) *structInfo {
	if info, ok := inspected.Load(t); ok {
		return info.(*structInfo) //nolint:forcetypeassert // nothing else is stored
	}
	info := readTags(t)
	inspected.Store(t, info)
	return info
}

func readTags(t reflect.Type) *structInfo {
	info := &structInfo{}
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("doc")
		if !tagged {
			continue
		}
		if !f.IsExported() && !f.Anonymous {
			panic(fmt.Sprintf("doc: %s.%s has a doc tag but is not exported", t, f.Name))
		}
		name, rest, _ := strings.Cut(tag, ",")
		options := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' })
		switch {
		case name == "-" && slices.Contains(options, "pos"):
			if f.Type != reflect.TypeFor[Pos]() {
				panic(fmt.Sprintf("doc: %s.%s is tagged pos and must be a doc.Pos", t, f.Name))
			}
			info.pos = f.Index
		case name == "-":
		case slices.Contains(options, "inline"):
			info.inline(t, f)
		default:
			info.add(t, tagField(t, f, name, options))
		}
	}
	return info
}

func tagField(t reflect.Type, f reflect.StructField, name string, options []string) field {
	if name == "" {
		panic(fmt.Sprintf("doc: %s.%s has a doc tag without a name", t, f.Name))
	}
	if f.Type.Kind() == reflect.Interface {
		panic(fmt.Sprintf("doc: %s.%s is an interface, which Decode cannot fill; give it a type that implements Decoder", t, f.Name))
	}
	made := field{name: name, index: f.Index, typ: f.Type, help: f.Tag.Get("help"), example: f.Tag.Get("example")}
	made.text = isText(f.Type)
	for _, option := range options {
		switch option {
		case "empty":
			if !made.text {
				panic(fmt.Sprintf("doc: %s.%s is tagged empty and must be a string", t, f.Name))
			}
			made.text = false
		case "required":
			made.required = true
		case "omitzero":
			made.omitZero = true
		case "oneormany":
			if f.Type.Kind() != reflect.Slice {
				panic(fmt.Sprintf("doc: %s.%s is oneormany and must be a slice", t, f.Name))
			}
			made.oneOrMany = true
		default:
			panic(fmt.Sprintf("doc: %s.%s has the unknown tag option %q", t, f.Name, option))
		}
	}
	return made
}

// isText reports whether t is a string type that does not decode itself.
func isText(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return t.Kind() == reflect.String && !pointer.Implements(reflect.TypeFor[Decoder]()) && !pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// inline adds the keys of struct field f of t as if they were keys of t.
func (s *structInfo) inline(t reflect.Type, f reflect.StructField) {
	if f.Type.Kind() != reflect.Struct {
		panic(fmt.Sprintf("doc: %s.%s is inline and must be a struct", t, f.Name))
	}
	inner := inspect(f.Type)
	for _, g := range inner.fields {
		g.index = slices.Concat(f.Index, g.index)
		s.add(t, g)
	}
	if s.pos == nil && inner.pos != nil {
		s.pos = slices.Concat(f.Index, inner.pos)
	}
}

func (s *structInfo) add(t reflect.Type, f field) {
	if _, twice := s.field(f.name); twice {
		panic(fmt.Sprintf("doc: %s has two fields named %q", t, f.name))
	}
	s.fields = append(s.fields, f)
}

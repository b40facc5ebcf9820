package doc

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decode fills into, a pointer, from n. The `doc` tags of a struct name its fields. Decode leaves fields without a tag
// alone, and also those that n does not mention, so a caller can set defaults first. It reports mistakes to ps. sound
// is true if there were none, so that the caller can check the value further.
//
// The tag is `doc:"name"` with the options required, oneormany (a slice with one element may be written as that element
// alone) and inline (`doc:",inline"`: the keys of an embedded struct). `doc:"-,pos"` on a Pos takes the position of the
// struct. Decode refuses an empty text, because a field could not tell it from an omitted one, unless the option empty
// says that it has a meaning there. The tag `example` is shown if the value has the wrong kind; `help` goes into the
// schema.
//
// A type that implements Decoder reads itself. To read its long form with Decode, it converts itself to a type with the
// same fields but without the method:
//
//	type long Backend
//	doc.Decode(n, (*long)(b), ps)
func Decode(n *Node, into any, ps *Problems) (sound bool) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("doc: Decode needs a pointer, not %T", into))
	}
	before := ps.Len()
	d := decoder{ps: ps}
	d.value(n, v.Elem(), field{})
	return !slices.ContainsFunc(ps.list[before:], Problem.isError)
}

// DecodeSwitch reads the value of the key name: either `true`, which leaves into as it is, or anything that Decode
// reads. fix shows how it is written.
func DecodeSwitch(n *Node, into any, name, fix string, ps *Problems) (sound bool) {
	switch {
	case n.Kind == Map:
		return Decode(n, into, ps)
	case n.Kind == Scalar && n.Value == "true" && !n.Quoted:
		return true
	}
	ps.Add(Problem{Pos: n.Pos, What: name + " is " + n.shown(), Why: "it must be true or a map", Fix: fix})
	return false
}

type decoder struct{ ps *Problems }

// value decodes n into v; f is the field that v belongs to, for its example.
func (d decoder) value(n *Node, v reflect.Value, f field) {
	if n == nil || n.Kind == 0 { // Parse has reported it
		return
	}
	if v.Type() == reflect.TypeFor[*Node]() {
		v.Set(reflect.ValueOf(n))
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), f)
		return
	}
	if d.byItself(n, v, f) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, f)
	case reflect.Slice:
		d.slice(n, v, f)
	case reflect.Map:
		d.mapping(n, v, f)
	default:
		d.scalar(n, v, f)
	}
}

// byItself lets a type that can decode itself read n, and reports whether there was one.
func (d decoder) byItself(n *Node, v reflect.Value, f field) bool {
	if !v.CanAddr() {
		return false
	}
	switch into := v.Addr().Interface().(type) {
	case Decoder:
		into.DecodeDoc(n, d.ps)
		return true
	case encoding.TextUnmarshaler:
		if !d.expect(n, Scalar, "a value", f) {
			return true
		}
		if err := into.UnmarshalText([]byte(n.Value)); err != nil {
			d.bad(n, "is not understood here", err.Error(), f)
		}
		return true
	}
	return false
}

// shown describes n for a message.
func (n *Node) shown() string {
	if n.Kind == Scalar {
		return "the value " + shorten(n.Value)
	}
	return n.Kind.String()
}

// expect reports whether n has the wanted kind, and adds a problem if not.
func (d decoder) expect(n *Node, kind Kind, wanted string, f field) bool {
	if n.Kind == kind {
		return true
	}
	what := n.shown()
	p := Problem{Pos: n.Pos, What: what + " is given where " + wanted + " is expected", Fix: f.fix()}
	switch {
	case f.name != "" && f.element:
		p.What = what + " is among the elements of " + f.name
		p.Why = "each must be " + wanted
	case f.name != "":
		p.What = f.name + " is " + what
		p.Why = "it must be " + wanted
	}
	if kind == List && n.Kind == Scalar && p.Fix == "" {
		p.Fix = "put it in brackets: [" + shownValue(n) + "]"
	}
	d.ps.Add(p)
	return false
}

func shownValue(n *Node) string {
	if len(n.Value) > longestEcho {
		return "..."
	}
	if n.Quoted || needsQuotes(n.Value) || strings.ContainsAny(n.Value, ",[]{}") {
		return quote(n.Value)
	}
	return n.Value
}

func (d decoder) bad(n *Node, what, why string, f field) {
	d.ps.Add(Problem{Pos: n.Pos, What: shorten(n.Value) + " " + what, Why: oneLine(why), Fix: f.fix()})
}

// oneLine keeps the text of another package's error on one line.
func oneLine(s string) string { return strings.Join(strings.Fields(cleanText(s)), " ") }

func (d decoder) structure(n *Node, v reflect.Value, f field) {
	info := inspect(v.Type())
	if !d.expect(n, Map, "a map", f) {
		return
	}
	if info.pos != nil {
		v.FieldByIndex(info.pos).Set(reflect.ValueOf(n.Pos))
	}
	for _, e := range n.Entries {
		known, ok := info.field(e.Key)
		if !ok {
			d.ps.Add(unknownKey(e, info.names()))
			continue
		}
		d.value(e.Value, v.FieldByIndex(known.index), known)
	}
	for _, known := range info.fields {
		if known.required && n.Get(known.name) == nil {
			d.ps.Add(Problem{Pos: n.Pos, What: fmt.Sprintf("%q is missing", known.name), Why: known.help, Fix: known.fix()})
		}
	}
}

// mostKeys is the maximum number of known keys that a message lists.
const mostKeys = 12

func unknownKey(e Entry, known []string) Problem {
	p := Problem{Pos: e.KeyPos, What: "unknown key " + shorten(e.Key)}
	switch {
	case len(known) == 0:
		p.Why = "no key is valid here"
	case len(known) > mostKeys:
		p.Why = fmt.Sprintf("valid here are %s and %d more", strings.Join(known[:mostKeys], ", "), len(known)-mostKeys)
	default:
		p.Why = "valid here: " + strings.Join(known, ", ")
	}
	if near, ok := Suggest(e.Key, known); ok {
		p.Fix = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

func (d decoder) slice(n *Node, v reflect.Value, f field) {
	items := n.Items
	if f.oneOrMany && n.Kind != List {
		items = []*Node{n}
	} else if !d.expect(n, List, "a list", f) {
		return
	}
	made := reflect.MakeSlice(v.Type(), 0, len(items))
	for _, item := range items {
		if item.Kind == 0 { // Parse has reported it
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(item, element, field{name: f.name, element: true})
		made = reflect.Append(made, element)
	}
	v.Set(made)
}

func (d decoder) mapping(n *Node, v reflect.Value, f field) {
	if v.Type().Key().Kind() != reflect.String {
		panic(fmt.Sprintf("doc: the keys of %s must be strings", v.Type()))
	}
	if !d.expect(n, Map, "a map", f) {
		return
	}
	made := reflect.MakeMapWithSize(v.Type(), len(n.Entries))
	for _, e := range n.Entries {
		if e.Value.Kind == 0 {
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(e.Value, value, field{name: e.Key})
		made.SetMapIndex(reflect.ValueOf(e.Key).Convert(v.Type().Key()), value)
	}
	v.Set(made)
}

func (d decoder) scalar(n *Node, v reflect.Value, f field) {
	wanted := wantedScalar(v.Type())
	if !d.expect(n, Scalar, wanted, f) {
		return
	}
	if f.text && n.Value == "" {
		d.ps.Add(f.empty(n))
		return
	}
	if err := setScalar(v, n); err != nil {
		d.bad(n, "is not "+wanted, err.Error(), f)
	}
}

func wantedScalar(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration"
	case t == reflect.TypeFor[Size]():
		return "a size"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	default:
		panic(fmt.Sprintf("doc: fields of type %s are not supported", t))
	}
}

// setScalar sets v to what n says, or leaves v alone and returns the reason.
func setScalar(v reflect.Value, n *Node) error {
	switch v.Type() {
	case reflect.TypeFor[time.Duration]():
		return set(parseDuration(n.Value))(func(d time.Duration) { v.SetInt(int64(d)) })
	case reflect.TypeFor[Size]():
		return set(ParseSize(n.Value))(func(s Size) { v.SetInt(int64(s)) })
	}
	if v.Kind() == reflect.String {
		v.SetString(n.Value)
		return nil
	}
	if n.Quoted {
		return errors.New("the quotes make it a text; write it without them")
	}
	switch v.Kind() {
	case reflect.Bool:
		return set(parseBool(n.Value))(v.SetBool)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return set(parseInt(n.Value, v.Type().Bits()))(v.SetInt)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return set(parseUint(n.Value, v.Type().Bits()))(v.SetUint)
	default:
		return set(parseFloat(n.Value, v.Type().Bits()))(v.SetFloat)
	}
}

// set passes a value that was read without an error to a setter.
func set[T any](value T, err error) func(func(T)) error {
	return func(setter func(T)) error {
		if err == nil {
			setter(value)
		}
		return err
	}
}

// shorten quotes and shortens a text of the user so that a message stays on one line.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strconv.Quote(s)
}

package doc

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Decode fills into, a pointer, from n. Fields of structs are named by their
// `doc` tags; fields without one are left alone, and so is what n does not
// mention, which is how defaults are set. Mistakes go to ps.
//
// The tag is `doc:"name"` with the options required, oneormany (a slice that
// may be written as its only element) and inline (`doc:",inline"`: the keys of
// an embedded struct); `doc:"-,pos"` on a Pos takes the position of the struct.
// The tag `example` is shown where something else stood, `help` goes to the schema.
//
// A type that implements Decoder reads itself. To read its long form with
// Decode it converts itself to a type of the same fields without the method:
//
//	type long Backend
//	doc.Decode(n, (*long)(b), ps)
func Decode(n *Node, into any, ps *Problems) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("doc: Decode needs a pointer, not %T", into))
	}
	d := decoder{ps: ps}
	d.value(n, v.Elem(), field{})
}

type decoder struct{ ps *Problems }

// value decodes n into v; f is the field that v belongs to, for its example.
func (d decoder) value(n *Node, v reflect.Value, f field) {
	if n == nil || n.Kind == 0 { // was reported by Parse
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

// byItself lets types that know how read n.
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

// expect reports whether n has the kind that is wanted and says so if not.
func (d decoder) expect(n *Node, kind Kind, wanted string, f field) bool {
	if n.Kind == kind {
		return true
	}
	what := n.Kind.String()
	if n.Kind == Scalar {
		what = fmt.Sprintf("the value %s", shorten(n.Value))
	}
	p := Problem{Pos: n.Pos, What: fmt.Sprintf("%s stands where %s is expected", what, wanted)}
	if f.name != "" {
		p.What = fmt.Sprintf("%s is %s here", f.name, what)
		p.Why = "it must be " + wanted
	}
	p.Fix = exampleFix(f)
	d.ps.Add(p)
	return false
}

func (d decoder) bad(n *Node, what, why string, f field) {
	d.ps.Add(Problem{Pos: n.Pos, What: shorten(n.Value) + " " + what, Why: why, Fix: exampleFix(f)})
}

func exampleFix(f field) string {
	if f.example == "" {
		return ""
	}
	return "for example `" + f.name + ": " + f.example + "`"
}

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
			d.ps.Add(Problem{Pos: n.Pos, What: fmt.Sprintf("%q is missing", known.name), Why: known.help, Fix: exampleFix(known)})
		}
	}
}

// mostKeys is how many known keys a message lists.
const mostKeys = 12

func unknownKey(e Entry, known []string) Problem {
	p := Problem{Pos: e.KeyPos, What: "unknown key " + shorten(e.Key)}
	switch {
	case len(known) == 0:
		p.Why = "no key is known here"
	case len(known) > mostKeys:
		p.Why = fmt.Sprintf("known here are %s and %d more", strings.Join(known[:mostKeys], ", "), len(known)-mostKeys)
	default:
		p.Why = "known here: " + strings.Join(known, ", ")
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
	made := reflect.MakeSlice(v.Type(), len(items), len(items))
	element := field{name: f.name, example: f.example}
	for i, item := range items {
		d.value(item, made.Index(i), element)
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
	err := setScalar(v, n)
	if err != nil {
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
	default:
		return "a whole number"
	}
}

func setScalar(v reflect.Value, n *Node) error {
	switch v.Type() {
	case reflect.TypeFor[time.Duration]():
		duration, err := parseDuration(n.Value)
		v.SetInt(int64(duration))
		return err
	case reflect.TypeFor[Size]():
		size, err := ParseSize(n.Value)
		v.SetInt(int64(size))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			return fmt.Errorf("only true and false are")
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := parseInt(n.Value, v.Type().Bits())
		v.SetInt(i)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := parseUint(n.Value, v.Type().Bits())
		v.SetUint(u)
		return err
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(n.Value, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("it cannot be read as one")
		}
		v.SetFloat(x)
	default:
		panic(fmt.Sprintf("doc: fields of type %s are not supported", v.Type()))
	}
	return nil
}

// shorten quotes a text of the user so that a message stays one line.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strconv.Quote(s)
}

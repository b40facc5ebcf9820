// Package jsonx reads and writes JSON as a gateway needs it: without changing what it does not touch.
//
// Parse validates a document once and returns a Value that points into it. Nothing is decoded before it is asked for,
// numbers never pass through a float64, and a Value is written with its original bytes. Input that another parser might
// read differently is refused: invalid UTF-8, and on request members with the same name (RFC 8259 sections 4 and 8.1).
//
// Append writes such Values and plain Go trees, without HTML escaping.
package jsonx

import (
	"encoding/json"
	"fmt"
	"iter"
	"sort"
	"strconv"
	"strings"
)

// Kind is the kind of a Value.
type Kind uint8

// The kinds. Invalid is the kind of the zero Value.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	List
	Object
)

func (k Kind) String() string {
	return [...]string{"nothing", "null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// Value is a position in a parsed document. It is small and passed by value, is immutable and may be shared by
// goroutines. It keeps its document alive.
type Value struct {
	doc *document
	at  int
}

// document is a text and the flat list of its values, in order: a list is followed by its elements, an object by name,
// value, name, value.
type document struct {
	text  string
	items []item
	// index holds for every large list its elements, and for every large object its names in sorted order (equal names
	// in the order of the text), so that access to a hostile document is no slower than to others.
	index map[int][]uint32
}

// item is one value or member name; 20 bytes.
type item struct {
	start, end uint32 // in the text, quotes and brackets included
	next       uint32 // the item after this one and everything in it
	size       uint32 // elements of a list, members of an object
	kind       Kind
	escaped    bool // a string with a backslash in it
}

// Kind returns the kind of v.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Invalid
	}
	return v.item().kind
}

func (v Value) item() *item { return &v.doc.items[v.at] }

// Raw is v's own text as it was received, without surrounding blanks; "" for the zero Value.
func (v Value) Raw() string {
	if v.doc == nil {
		return ""
	}
	return v.doc.raw(v.at)
}

// Offset is where v begins in the text that was parsed, in bytes; 0 for the zero Value.
func (v Value) Offset() int {
	if v.doc == nil {
		return 0
	}
	return int(v.item().start)
}

func (d *document) raw(at int) string { return d.text[d.items[at].start:d.items[at].end] }

// Text is the content of a string, or "" if v is not a string.
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	return v.doc.unquoted(v.at)
}

// unquoted decodes the string at an item; a string without escapes is a substring of the text.
func (d *document) unquoted(at int) string {
	it := &d.items[at]
	inner := d.text[it.start+1 : it.end-1]
	if !it.escaped {
		return inner
	}
	return unescape(inner)
}

// Bool is the value of a Bool, false for other kinds.
func (v Value) Bool() bool { return v.Kind() == Bool && v.Raw() == "true" }

// Int returns the value of a number that is written as an integer and fits in an int64.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(v.Raw(), 10, 64) // refuses '.', 'e' and integers that do not fit
	return n, err == nil
}

// Len is the number of elements of a list or members of an object, and 0 for other kinds.
func (v Value) Len() int {
	if v.doc == nil {
		return 0
	}
	return int(v.item().size)
}

// Get returns the member of that name. If there are several, the last one counts.
func (v Value) Get(name string) (Value, bool) {
	if v.Kind() != Object {
		return Value{}, false
	}
	if v.item().size > large {
		return v.getLarge(v.doc.index[v.at], name)
	}
	found := Value{}
	at := v.at + 1
	for range v.item().size {
		value := at + 1
		if v.doc.nameIs(at, name) {
			found = Value{v.doc, value}
		}
		at = int(v.doc.items[value].next)
	}
	return found, found.doc != nil
}

func (v Value) getLarge(sorted []uint32, name string) (Value, bool) {
	after := sort.Search(len(sorted), func(i int) bool { return v.doc.unquoted(int(sorted[i])) > name })
	if after == 0 || !v.doc.nameIs(int(sorted[after-1]), name) {
		return Value{}, false
	}
	return Value{v.doc, int(sorted[after-1]) + 1}, true
}

func (d *document) nameIs(at int, name string) bool {
	it := &d.items[at]
	if it.escaped {
		return d.unquoted(at) == name
	}
	return d.text[it.start+1:it.end-1] == name
}

// At returns the i-th element of a list, or the zero Value.
func (v Value) At(i int) Value {
	if v.Kind() != List || i < 0 || i >= v.Len() {
		return Value{}
	}
	if v.item().size > large {
		return Value{v.doc, int(v.doc.index[v.at][i])}
	}
	at := v.at + 1
	for range i {
		at = int(v.doc.items[at].next)
	}
	return Value{v.doc, at}
}

// Elements yields the elements of a list.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != List {
			return
		}
		at := v.at + 1
		for range v.item().size {
			if !yield(Value{v.doc, at}) {
				return
			}
			at = int(v.doc.items[at].next)
		}
	}
}

// Members yields the names and values of an object in their order, including equal names.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		at := v.at + 1
		for range v.item().size {
			if !yield(v.doc.unquoted(at), Value{v.doc, at + 1}) {
				return
			}
			at = int(v.doc.items[at+1].next)
		}
	}
}

// Any decodes all of v: nil, bool, string, int64 for integers that fit, json.Number for all other numbers, []any and
// map[string]any.
func (v Value) Any() any {
	switch v.Kind() {
	case Bool:
		return v.Bool()
	case Number:
		if n, ok := v.Int(); ok {
			return n
		}
		return json.Number(v.Raw())
	case String:
		return v.Text()
	case List:
		list := make([]any, 0, v.Len())
		for e := range v.Elements() {
			list = append(list, e.Any())
		}
		return list
	case Object:
		object := make(map[string]any, v.Len())
		for name, value := range v.Members() {
			object[name] = value.Any()
		}
		return object
	default:
		return nil
	}
}

// MarshalJSON gives v's own text, so that encoding/json keeps it too (but compacts it).
func (v Value) MarshalJSON() ([]byte, error) {
	if v.doc == nil {
		return []byte("null"), nil
	}
	return []byte(v.Raw()), nil
}

// Options bound what Parse accepts. The zero value has the defaults.
type Options struct {
	MaxBytes int // of the text, 8 MiB by default; 1 GiB at most
	MaxDepth int // of nesting, 128 by default
	// Unique refuses an object that has a name twice: a policy must not read a different member than the backend does.
	Unique bool
	// Whole means that the contents of the value are not accessed. Nothing is recorded of them, so the value has a Kind
	// and its Raw text, but no elements or members.
	Whole bool
}

// The defaults of Options, and their maximum values: offsets are 32 bits wide.
const (
	defaultBytes = 8 << 20
	defaultDepth = 128
	mostBytes    = 1 << 30
	mostDepth    = 10_000
)

// SyntaxError is the reason why a text was refused.
type SyntaxError struct {
	Offset int // in bytes
	Text   string
}

func (e *SyntaxError) Error() string {
	return "json: " + e.Text + " at byte " + strconv.Itoa(e.Offset)
}

// TooLargeError is returned for a text of more than MaxBytes.
type TooLargeError struct{ Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("json: the text has more than %d bytes", e.Limit)
}

// Parse reads one JSON text, which blanks may surround. The error is a *SyntaxError or a *TooLargeError. data is
// copied.
func Parse(data []byte, options Options) (Value, error) {
	if err := options.fits(data); err != nil {
		return Value{}, err
	}
	p := parser{document: document{text: string(data)}, depth: options.depth(), unique: options.Unique}
	if options.Whole {
		return p.onlyWhole(data)
	}
	// All values and names follow a comma, a colon or a bracket; few of these occur in strings.
	p.items = make([]item, 0, 2+strings.Count(p.text, ",")+strings.Count(p.text, ":")+strings.Count(p.text, "{")+strings.Count(p.text, "["))
	if err := p.whole(); err != nil {
		return Value{}, err
	}
	made := p.document
	return Value{&made, 0}, nil
}

func (o Options) fits(data []byte) error {
	limit := defaultBytes
	if o.MaxBytes > 0 {
		limit = min(o.MaxBytes, mostBytes)
	}
	if len(data) > limit {
		return &TooLargeError{limit}
	}
	return nil
}

func (o Options) depth() int {
	if o.MaxDepth > 0 {
		return min(o.MaxDepth, mostDepth)
	}
	return defaultDepth
}

// onlyWhole reads the text data for Options.Whole. If it is invalid, the parser says what is wrong.
func (p *parser) onlyWhole(data []byte) (Value, error) {
	c := checker{text: data, depth: p.depth}
	root, ok := c.whole()
	if !ok || p.unique {
		if err := p.whole(); err != nil {
			return Value{}, err
		}
	}
	made := &struct {
		document
		root [1]item
	}{document{text: p.text}, [1]item{root}}
	made.items = made.root[:]
	return Value{&made.document, 0}, nil
}

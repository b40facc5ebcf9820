package exchange

import (
	"iter"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Head is the header fields of one message, in the order and spelling of the
// engine below as far as it keeps them. Names match without regard to case (RFC
// 9110 section 5.1). It is not safe for concurrent use.
type Head interface {
	// Get gives the first value of the field, or "" where there is none.
	Get(name string) string
	// Values gives all values of the field in order; the caller must not change the
	// slice, and later changes of the head do not show in it.
	Values(name string) []string
	// Set replaces all values of the field by one.
	Set(name, value string)
	// Add appends one value.
	Add(name, value string)
	// Del removes the field.
	Del(name string)
	// All yields every field line. The head must not be changed meanwhile,
	// except that the field just yielded may be deleted.
	All() iter.Seq2[string, string]
	// Len is the room that a copy needs: the number of fields or of lines,
	// whichever the engine keeps.
	Len() int
	// Names gives the name of each field once. In a trailer section these are, until
	// the body has ended, the fields that were announced.
	Names() []string
}

// Field is one line of a head.
type Field = fault.Field

// empty is All of a head without fields. It saves the iterator's allocation where
// there is nothing, as in most trailers.
func empty(func(name, value string) bool) {}

// CopyHead adds to dst every field of src whose name keep allows. Names and
// values are shared, not copied.
func CopyHead(dst, src Head, keep func(name string) bool) {
	from, ordered := src.(lines)
	switch to := dst.(type) {
	case lines:
		if ordered {
			to.take(from, keep)
			return
		}
	case mapHead:
		if from, ok := src.(mapHead); ok {
			to.take(from, keep)
			return
		}
	}
	fields := collect(src) // what keep is part of would be on the heap if an iterator called it
	if !ordered {
		slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) }) // a map has another order each time
	}
	for _, f := range fields {
		if keep(f.Name) {
			dst.Add(f.Name, f.Value)
		}
	}
}

// collect gives the lines of head.
func collect(head Head) []Field {
	fields := make([]Field, 0, head.Len())
	for name, value := range head.All() {
		fields = append(fields, Field{Name: name, Value: value})
	}
	return fields
}

// SetFields sets several fields of head, each to one value, or to those of several
// lines of one name that stand together. It costs one allocation where as many
// calls of Set would cost one each.
func SetFields(head Head, fields ...Field) {
	switch to := head.(type) {
	case mapHead:
		to.set(fields)
		return
	case lines:
		to.set(fields)
		return
	}
	for i, f := range fields {
		if i > 0 && f.Name == fields[i-1].Name {
			head.Add(f.Name, f.Value)
		} else {
			head.Set(f.Name, f.Value)
		}
	}
}

// HasField tells whether pick picks the name of a field of head.
func HasField(head Head, pick func(name string) bool) bool {
	if from, ordered := head.(lines); ordered {
		list := from[Lines]
		for i := 0; i < len(list); i += 2 {
			if list[i] != "" && pick(list[i]) {
				return true
			}
		}
		return false
	}
	for name := range head.All() {
		if pick(name) {
			return true
		}
	}
	return false
}

// DelFields deletes every field of head whose name drop picks.
func DelFields(head Head, drop func(name string) bool) {
	switch from := head.(type) {
	case mapHead:
		from.drop(drop)
	case lines:
		from.drop(drop)
	default:
		for _, name := range head.Names() {
			if drop(name) {
				head.Del(name)
			}
		}
	}
}

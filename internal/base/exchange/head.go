package exchange

import (
	"iter"
	"net/textproto"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
)

// Head is the header fields of one message, in the order and spelling of the engine below as far as it keeps them.
// Names match case-insensitively (RFC 9110 section 5.1). A Head is not safe for concurrent use.
type Head interface {
	// Get returns the first value of the field, or "" if there is none.
	Get(name string) string
	// Values returns all values of the field in order. The caller must not change the slice, and later changes of the
	// head do not show in it.
	Values(name string) []string
	// Set replaces all values of the field with one.
	Set(name, value string)
	// Add appends one value.
	Add(name, value string)
	// Del removes the field.
	Del(name string)
	// All yields every field line. The head must not be changed during the iteration, except that the field just
	// yielded may be deleted.
	All() iter.Seq2[string, string]
	// Len is the capacity that a copy needs: the number of fields or of lines, whichever the engine keeps.
	Len() int
	// Names returns the name of each field once. In a trailer section these are the announced fields until the body has
	// ended.
	Names() []string
}

// Field is one line of a head.
type Field = fault.Field

// empty is All of a head without fields. It saves the iterator's allocation where there are no fields, as in most
// trailers.
func empty(func(name, value string) bool) {}

// CopyAll adds every field of src to dst.
func CopyAll(dst, src Head) {
	CopyHead(dst, src, func(string, field.Known) bool { return true })
}

// CopyHead adds to dst every field of src that keep allows, by its name and its Known. Strings are shared, not copied.
func CopyHead(dst, src Head, keep func(name string, is field.Known) bool) {
	from, ordered := src.(*Lines)
	switch to := dst.(type) {
	case *Lines:
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
	fields := collect(src) // if an iterator called keep, the closure's variables would escape to the heap
	if !ordered {
		slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) }) // a map's order differs each time
	}
	for _, f := range fields {
		if keep(f.Name, field.Know(f.Name)) {
			dst.Add(f.Name, f.Value)
		}
	}
}

// collect returns the lines of head.
func collect(head Head) []Field {
	fields := make([]Field, 0, head.Len())
	for name, value := range head.All() {
		fields = append(fields, Field{Name: name, Value: value})
	}
	return fields
}

// SetFields sets several fields of head, each to one value, or to several values if consecutive elements have the same
// name. It needs one allocation, where one call of Set for each would need one each.
func SetFields(head Head, fields ...Field) {
	switch to := head.(type) {
	case mapHead:
		to.set(fields)
		return
	case *Lines:
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

// AddLines adds lines to a head that has no field of their names; no two of the lines may have the same name. "" is
// skipped. It needs no more allocations than SetFields.
func AddLines(head Head, lines ...field.Line) {
	switch to := head.(type) {
	case *Lines:
		to.list = append(to.list, lines...)
	case mapHead:
		values := make([]string, len(lines))
		for i, line := range lines {
			if line != "" {
				values[i] = line.Value()
				to[textproto.CanonicalMIMEHeaderKey(line.Name())] = values[i : i+1 : i+1]
			}
		}
	default:
		for _, line := range lines {
			if line != "" {
				head.Add(line.Name(), line.Value())
			}
		}
	}
}

// SetLine is Set for a line that is prepared for use in many heads. It allocates no new line if head is a *Lines. "" is
// skipped.
func SetLine(head Head, line field.Line) {
	switch l, ordered := head.(*Lines); {
	case line == "":
	case ordered:
		l.setLine(line)
	default:
		head.Set(line.Name(), line.Value())
	}
}

// AddLine is Add for such a line.
func AddLine(head Head, line field.Line) {
	switch l, ordered := head.(*Lines); {
	case line == "":
	case ordered:
		l.list = append(l.list, line)
	default:
		head.Add(line.Name(), line.Value())
	}
}

// KnownIn returns the set of names in a head, leaving out those spelled with '_' or '.' in place of '-'.
func KnownIn(head Head) (names field.Set) {
	switch of := head.(type) {
	case *Lines:
		for _, line := range of.list {
			if line != "" && !line.Known().IsAlias() {
				names.Add(line.Known())
			}
		}
	default:
		for _, name := range head.Names() {
			if is := field.Know(name); !is.IsAlias() {
				names.Add(is)
			}
		}
	}
	return names
}

// EachSays reports whether says is true for the value of every field of that name. Names spelled with '_' or '.' in
// place of '-' do not count.
func EachSays(head Head, is field.Known, says func(value string) bool) bool {
	l, ordered := head.(*Lines)
	if !ordered {
		return !slices.ContainsFunc(head.Values(is.String()), func(value string) bool { return !says(value) })
	}
	for _, line := range l.list {
		if line != "" && line.Known() == is && !says(line.Value()) {
			return false
		}
	}
	return true
}

// DelFields deletes every field of head whose name drop picks.
func DelFields(head Head, drop func(name string) bool) {
	DelKnown(head, func(name string, _ field.Known) bool { return drop(name) })
}

// DelKnown deletes every field of head that drop picks, by its name and its Known.
func DelKnown(head Head, drop func(name string, is field.Known) bool) {
	switch from := head.(type) {
	case mapHead:
		from.drop(drop)
	case *Lines:
		for i, line := range from.list {
			if line != "" && drop(line.Name(), line.Known()) {
				from.list[i] = ""
			}
		}
	default:
		for _, name := range head.Names() {
			if drop(name, field.Know(name)) {
				head.Del(name)
			}
		}
	}
}

// Names is a set of field names: those in All match in any spelling, those in Aliases only where they are spelled with
// '_' or '.' in place of '-'.
type Names struct{ All, Aliases field.Set }

func (n *Names) have(k field.Known) bool { return n.All.Has(k) || k.IsAlias() && n.Aliases.Has(k) }

// DelNames deletes the fields of head that have these names.
func DelNames(head Head, names *Names) {
	l, ordered := head.(*Lines)
	if !ordered {
		DelKnown(head, func(_ string, is field.Known) bool { return names.have(is) })
		return
	}
	for i, line := range l.list {
		if line != "" && names.have(line.Known()) {
			l.list[i] = ""
		}
	}
}

// CopyWithout adds to dst every field of src that has none of these names, and returns the set of names in src, as
// KnownIn does.
func CopyWithout(dst, src Head, names *Names) (came field.Set) {
	from, ordered := src.(*Lines)
	to, both := dst.(*Lines)
	if !ordered || !both {
		CopyHead(dst, src, func(_ string, is field.Known) bool { return !names.have(is) })
		return KnownIn(src)
	}
	list := to.list
	for _, line := range from.list {
		if line == "" {
			continue
		}
		known := line.Known()
		if !known.IsAlias() {
			came.Add(known)
		}
		if !names.have(known) {
			list = append(list, line)
		}
	}
	to.list = list
	return came
}

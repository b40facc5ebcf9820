package exchange

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"
)

// Head is the header fields of one message, in order as far as the engine
// below keeps it. Names match without regard to case (RFC 9110 section 5.1).
// It is not safe for concurrent use.
type Head interface {
	// Get gives the first value of the field, or "" where there is none.
	Get(name string) string
	// Values gives all values of the field in order; the caller must not change the slice.
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
}

// RequestHead gives the head of r.
func RequestHead(r *http.Request) Head { return mapHead(r.Header) }

// ResponseHead gives the head of res.
func ResponseHead(res *http.Response) Head { return mapHead(res.Header) }

// MapHead gives a Head over a standard header map; changes go to the map.
func MapHead(h http.Header) Head { return mapHead(h) }

// CopyHead adds to dst every field of src whose name keep allows. Names and
// values are shared, not copied.
func CopyHead(dst, src Head, keep func(name string) bool) {
	from, ok := src.(mapHead)
	if to, both := dst.(mapHead); ok && both {
		copyMap(to, from, keep)
		return
	}
	for name, value := range src.All() {
		if keep(name) {
			dst.Add(name, value)
		}
	}
}

// copyMap shares the slices of values with their capacity cut off, so that an
// Add on one side never shows on the other.
func copyMap(to, from mapHead, keep func(name string) bool) {
	for name, values := range from {
		if len(values) == 0 || !keep(name) {
			continue
		}
		if before := to[name]; len(before) > 0 {
			values = append(slices.Clip(before), values...)
		}
		to[name] = slices.Clip(values)
	}
}

// Field is one header field line.
type Field struct{ Name, Value string }

// SetFields sets several fields of head. It costs one allocation where as many
// calls of Set would cost one each.
func SetFields(head Head, fields ...Field) {
	to, ok := head.(mapHead)
	if !ok {
		for _, f := range fields {
			head.Set(f.Name, f.Value)
		}
		return
	}
	values := make([]string, len(fields))
	for i, f := range fields {
		values[i] = f.Value
		to[textproto.CanonicalMIMEHeaderKey(f.Name)] = values[i : i+1 : i+1]
	}
}

// DelFields deletes every field of head whose name drop picks.
func DelFields(head Head, drop func(name string) bool) {
	if from, ok := head.(mapHead); ok {
		for name := range from {
			if drop(name) {
				delete(from, name)
			}
		}
		return
	}
	for name := range head.All() {
		if drop(name) {
			head.Del(name)
		}
	}
}

// mapHead is the Head of the net/http engine: the standard map is the truth,
// so that third-party code sees the same fields. The map keeps no order.
type mapHead http.Header

func (h mapHead) Get(name string) string      { return http.Header(h).Get(name) }
func (h mapHead) Values(name string) []string { return http.Header(h).Values(name) }
func (h mapHead) Set(name, value string)      { http.Header(h).Set(name, value) }
func (h mapHead) Add(name, value string)      { http.Header(h).Add(name, value) }

// Del removes both the canonical spelling and the exact one, for a map may
// have been filled by code that did not canonicalise.
func (h mapHead) Del(name string) {
	delete(h, name)
	delete(h, textproto.CanonicalMIMEHeaderKey(name))
}

func (h mapHead) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for name, values := range h {
			for _, value := range values {
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

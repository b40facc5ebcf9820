package exchange

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"

	"github.com/weir-gateway/weir/internal/base/field"
)

// mapHead is the Head of the net/http engine. The standard map is the only store, so that third-party code sees the
// same fields. The map keeps no order.
type mapHead http.Header

func (h mapHead) Get(name string) string      { return http.Header(h).Get(name) }
func (h mapHead) Values(name string) []string { return http.Header(h).Values(name) }
func (h mapHead) Set(name, value string)      { http.Header(h).Set(name, value) }
func (h mapHead) Add(name, value string)      { http.Header(h).Add(name, value) }

// Del removes both the canonical and the exact spelling, because a map may have been filled by code that did not
// canonicalise.
func (h mapHead) Del(name string) {
	delete(h, name)
	delete(h, textproto.CanonicalMIMEHeaderKey(name))
}

func (h mapHead) Len() int { return len(h) }

func (h mapHead) All() iter.Seq2[string, string] {
	if len(h) == 0 {
		return empty
	}
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

// Names returns the names in alphabetical order.
func (h mapHead) Names() []string {
	if len(h) == 0 {
		return nil
	}
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// take shares the slices of values with their capacity clipped, so that an Add on one side never shows on the other.
func (h mapHead) take(from mapHead, keep func(name string, is field.Known) bool) {
	for name, values := range from {
		if len(values) == 0 || !keep(name, field.Know(name)) {
			continue
		}
		if before := h[name]; len(before) > 0 {
			values = append(slices.Clip(before), values...)
		}
		h[name] = slices.Clip(values)
	}
}

// set takes the values of all fields from one slice.
func (h mapHead) set(fields []Field) {
	values := make([]string, len(fields))
	begin := 0 // of the field's values
	for i, f := range fields {
		if values[i] = f.Value; f.Name != fields[begin].Name {
			begin = i
		}
		h[textproto.CanonicalMIMEHeaderKey(f.Name)] = values[begin : i+1 : i+1]
	}
}

func (h mapHead) drop(drop func(name string, is field.Known) bool) {
	for name := range h {
		if drop(name, field.Know(name)) {
			delete(h, name)
		}
	}
}

package exchange

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Lines is the key of a header map whose engine keeps heads as they came: under it
// stand the field lines, name and value by turns, in their order and spelling, and
// the map holds nothing else. No field can have this name (RFC 9110 section 5.1).
//
// Such a map is all that an engine needs for its heads to go through the house
// untouched. It stands as Header and Trailer in the engine's requests and responses,
// and is what its ResponseWriter.Header gives. The engine reads and fills it through
// MapHead, for Plain may have made it a map like every other. See doc.go for what
// an engine keeps to.
const Lines = ":lines"

// lines is the Head over such a map. A line without a name was deleted: neither
// places nor values ever change, so that what was given out stays as it is.
type lines http.Header

func (h lines) Get(name string) string {
	list := h[Lines]
	if i := find(list, name, 0); i >= 0 {
		return list[i+1]
	}
	return ""
}

func (h lines) Values(name string) []string {
	list := h[Lines]
	first := find(list, name, 0)
	if first < 0 {
		return nil
	}
	values := list[first+1 : first+2 : first+2]
	for i := find(list, name, first+2); i >= 0; i = find(list, name, i+2) {
		values = append(values, list[i+1])
	}
	return values
}

// Set keeps the place of the first line.
func (h lines) Set(name, value string) {
	i := find(h[Lines], name, 0)
	if i < 0 {
		h.Add(name, value)
		return
	}
	h.Del(name)
	list := slices.Clone(h[Lines])
	list[i], list[i+1] = name, value
	h[Lines] = list
}

// set looks into the map once for all of them.
func (h lines) set(fields []Field) {
	list := slices.Grow(h[Lines], 2*len(fields))
	before := len(list)
	for i, f := range fields {
		if i > 0 && f.Name == fields[i-1].Name || find(list[:before], f.Name, 0) < 0 {
			list = append(list, f.Name, f.Value)
			continue
		}
		h[Lines] = list
		h.Set(f.Name, f.Value)
		list = h[Lines]
	}
	h[Lines] = list
}

func (h lines) Add(name, value string) { h[Lines] = append(h[Lines], name, value) }

func (h lines) Del(name string) {
	list := h[Lines]
	for i := find(list, name, 0); i >= 0; i = find(list, name, i+2) {
		list[i] = ""
	}
}

func (h lines) Len() int { return len(h[Lines]) / 2 }

func (h lines) All() iter.Seq2[string, string] {
	list := h[Lines]
	if len(list) == 0 {
		return empty
	}
	return func(yield func(string, string) bool) {
		for i := 0; i < len(list); i += 2 {
			if list[i] != "" && !yield(list[i], list[i+1]) {
				return
			}
		}
	}
}

// Names are in the order of the first lines.
func (h lines) Names() []string {
	var names []string
	list := h[Lines]
	for i := 0; i < len(list); i += 2 {
		if list[i] != "" && find(list, list[i], 0) == i {
			names = append(names, list[i])
		}
	}
	return names
}

func (h lines) take(from lines, keep func(name string) bool) {
	list, lines := h[Lines], from[Lines]
	for i := 0; i < len(lines); i += 2 {
		if lines[i] != "" && keep(lines[i]) {
			list = append(list, lines[i], lines[i+1])
		}
	}
	h[Lines] = list
}

func (h lines) drop(drop func(name string) bool) {
	list := h[Lines]
	for i := 0; i < len(list); i += 2 {
		if list[i] != "" && drop(list[i]) {
			list[i] = ""
		}
	}
}

// find gives the place of the next line of that name, from i on, or -1. Most who spell a name spell it
// canonically, and names of the same length seldom begin alike.
func find(list []string, name string, i int) int {
	if name == "" {
		return -1 // it is deleted
	}
	initial := name[0] | lowers
	for ; i < len(list); i += 2 {
		other := list[i]
		if len(other) == len(name) && other[0]|lowers == initial && (other == name || strings.EqualFold(other, name)) {
			return i
		}
	}
	return -1
}

// lowers is the bit by which a small letter differs from its capital.
const lowers = 'a' - 'A'

// plain makes h a map like every other, in its place.
func plain(h http.Header) {
	list, ok := h[Lines]
	if !ok {
		return
	}
	delete(h, Lines)
	for name, value := range (lines{Lines: list}).All() {
		name = textproto.CanonicalMIMEHeaderKey(name)
		h[name] = append(h[name], value)
	}
}

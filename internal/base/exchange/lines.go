package exchange

import (
	"iter"
	"net/http"
	"net/textproto"
	"slices"
	"unsafe"

	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// Lines is a head that its engine keeps as it came: field lines in their order and spelling. It is the Head over the
// map that stands for it (Map). That map holds nothing else until Plain makes it an ordinary map. A copy of that map
// stands for nothing. See doc.go for the rules that an engine keeps.
//
// When Lines are reused, a line that is added is not allocated if the same line stood in its place before: most of what
// a gateway says it says with every message.
type Lines struct {
	list      []field.Line // "": a deleted line, because neither places nor lines ever change
	remembers int          // how many lines there were before, at most
	self      http.Header  // the map that stands for it; nil: none yet
	plain     bool         // the map was made an ordinary one, which may have been kept
	cell      [2]string    // what the first map holds
}

// key is the key under which the map of Lines holds them: the stamp, and a string that begins where the Lines do, which
// is their address. The string keeps the Lines from being collected and is never read. No field can have this name, and
// no other string lies where the stamp does.
const key = ":lines"

var stamp = string([]byte("lines")) // not a constant, whose memory may be shared

// NewLines makes an empty head with room for that many fields.
func NewLines(fields int) *Lines {
	l := new(Lines)
	if fields > 0 {
		l.list = make([]field.Line, 0, fields)
	}
	return l
}

// Ordered makes the map of a head that has those lines, with alternating names and values, as an engine would that
// keeps heads as they came.
func Ordered(fields ...string) http.Header {
	l := NewLines(len(fields) / 2)
	for i := 0; i < len(fields); i += 2 {
		l.Add(fields[i], fields[i+1])
	}
	return l.Map()
}

// Map returns the map that stands for l.
func (l *Lines) Map() http.Header {
	if l.self == nil {
		cell := &l.cell
		if cell[0] != "" { // the cell is in use by another map
			cell = new([2]string)
		}
		*cell = [...]string{stamp, unsafe.String((*byte)(unsafe.Pointer(l)), 1)} //nolint:gosec // see LinesOf
		l.self = http.Header{key: cell[:]}
	}
	return l.self
}

// LinesOf returns the lines that a map stands for, nil if it is an ordinary map.
func LinesOf(h http.Header) *Lines {
	cell := h[key]
	if len(cell) != len(Lines{}.cell) || unsafe.StringData(cell[0]) != unsafe.StringData(stamp) { //nolint:gosec // only compared
		return nil
	}
	l := (*Lines)(unsafe.Pointer(unsafe.StringData(cell[1]))) //nolint:gosec // what stands beside the stamp was made by Map
	if address(l.self) != address(h) {
		return nil // it is a copy of such a map, or was l's before: lines have only one
	}
	return l
}

// are reports whether h stands for l, which may be nil: nothing ends that without changing how many entries h has.
func (l *Lines) are(h http.Header) bool {
	return l != nil && address(l.self) == address(h) && len(h) == 1 && !l.plain
}

// address returns where a map lies, for comparison only.
func address(h http.Header) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&h)) } //nolint:gosec // a map is a pointer

// Renew empties l for another message, and returns its map. The map is a new one if the old one was made plain, and so
// may have been kept, if it holds something beside the lines, or if it was emptied.
func (l *Lines) Renew() http.Header {
	l.Forget()
	if l.plain || len(l.self) != 1 {
		l.self, l.plain = nil, false
	}
	return l.Map()
}

// A head that is reused keeps room for mostKept lines, and remembers its lines while they have mostRemembered bytes at
// most.
const (
	mostKept       = 128
	mostRemembered = 4 << 10
)

// Forget empties l, of which nobody has anything any more except strings. It remembers what it held until that is
// overwritten.
func (l *Lines) Forget() {
	n, size := len(l.list), 0
	switch {
	case n == 0:
		return // Forget may have been called before
	case cap(l.list) > mostKept:
		l.list = nil
		return
	}
	for _, line := range l.list {
		size += len(line)
	}
	if size > mostRemembered {
		clear(l.list)
	}
	if n < l.remembers { // what follows is of an earlier message
		clear(l.list[n:min(l.remembers, cap(l.list))])
	}
	l.remembers = n
	poison.Lines(l.list)
	l.list = l.list[:0]
}

// IsPlain reports whether the map of l was made an ordinary one, which may have been kept.
func (l *Lines) IsPlain() bool { return l.plain }

// Put makes list the lines of l, which owns it from then on.
func (l *Lines) Put(list []field.Line) { l.list = list }

// List returns all lines, with "" in the places of deleted ones. The slice is l's, and changes with it.
func (l *Lines) List() []field.Line { return l.list }

// Append appends a line.
func (l *Lines) Append(line field.Line) { l.list = append(l.list, line) }

// Get implements Head, as do the methods below.
func (l *Lines) Get(name string) string {
	if i := l.find(name, 0); i >= 0 {
		return l.list[i].Value()
	}
	return ""
}

// Values returns a slice of its own.
func (l *Lines) Values(name string) []string {
	var values []string
	for i := l.find(name, 0); i >= 0; i = l.find(name, i+1) {
		values = append(values, l.list[i].Value())
	}
	return values
}

// Set keeps the place of the first line.
func (l *Lines) Set(name, value string) {
	i := l.find(name, 0)
	if i < 0 {
		l.Add(name, value)
		return
	}
	if !l.list[i].Says(name, value) {
		l.list[i] = field.Make(name, value)
	}
	l.delFrom(name, i+1)
}

// setLine is Set for a line that exists already.
func (l *Lines) setLine(line field.Line) {
	name := line.Name()
	i := l.find(name, 0)
	if i < 0 {
		l.list = append(l.list, line)
		return
	}
	l.list[i] = line
	l.delFrom(name, i+1)
}

// Add appends a line.
func (l *Lines) Add(name, value string) {
	if last := l.last(); last.Says(name, value) {
		l.list = append(l.list, last)
		return
	}
	l.list = append(l.list, field.Make(name, value))
}

// last returns the line that stood last time where the next one will stand; "" if there is none.
func (l *Lines) last() field.Line {
	if n := len(l.list); n < cap(l.list) {
		return l.list[:n+1][n]
	}
	return ""
}

// set is Set for several fields. The lines of an empty head are made together, except for the first ones that were
// there last time.
func (l *Lines) set(fields []Field) {
	if len(l.list) == 0 {
		fields = fields[l.setAgain(fields):]
		l.setNew(fields)
		return
	}
	for i, f := range fields {
		if i > 0 && f.Name == fields[i-1].Name {
			l.Add(f.Name, f.Value)
		} else {
			l.Set(f.Name, f.Value)
		}
	}
}

// setAgain sets the first of fields that stood there last time, and returns how many.
func (l *Lines) setAgain(fields []Field) (n int) {
	for ; n < len(fields); n++ {
		last := l.last()
		if !last.Says(fields[n].Name, fields[n].Value) || l.stands(fields, n) {
			break
		}
		l.list = append(l.list, last)
	}
	return n
}

// stands reports whether the nth of fields has a name that was set before, but not by the field just before it.
func (l *Lines) stands(fields []Field, n int) bool {
	return (n == 0 || fields[n-1].Name != fields[n].Name) && l.find(fields[n].Name, 0) >= 0
}

// setNew sets fields whose lines are made together.
func (l *Lines) setNew(fields []Field) {
	var room [512]byte
	text := room[:0]
	for _, f := range fields {
		text = field.AppendAny(text, f.Name, f.Value)
	}
	all, at := string(text), 0
	for i, f := range fields {
		length := field.Size(f.Name, f.Value)
		if l.stands(fields, i) {
			l.Set(f.Name, f.Value)
		} else {
			l.list = append(l.list, field.Line(all[at:at+length]))
		}
		at += length
	}
}

// Del deletes lines.
func (l *Lines) Del(name string) { l.delFrom(name, 0) }

// delFrom deletes lines from the ith on.
func (l *Lines) delFrom(name string, i int) {
	for i = l.find(name, i); i >= 0; i = l.find(name, i+1) {
		l.list[i] = ""
	}
}

// Len returns the number of lines, including deleted ones.
func (l *Lines) Len() int { return len(l.list) }

// All yields the lines.
func (l *Lines) All() iter.Seq2[string, string] {
	if len(l.list) == 0 {
		return empty
	}
	return func(yield func(string, string) bool) {
		for _, line := range l.list {
			if line != "" && !yield(line.Name(), line.Value()) {
				return
			}
		}
	}
}

// Names returns the names in the order of their first lines.
func (l *Lines) Names() []string {
	var names []string
	for i, line := range l.list {
		if line != "" && l.find(line.Name(), 0) == i {
			names = append(names, line.Name())
		}
	}
	return names
}

func (l *Lines) take(from *Lines, keep func(name string, is field.Known) bool) {
	for _, line := range from.list {
		if line != "" && keep(line.Name(), line.Known()) {
			l.list = append(l.list, line)
		}
	}
}

// find returns the place of the next line of that name, from i on, or -1.
func (l *Lines) find(name string, i int) int {
	for ; i < len(l.list); i++ {
		if l.list[i].Is(name) {
			return i
		}
	}
	return -1
}

// unshare gives a clone of r heads of its own: a clone of a map that stands for lines stands for none.
func unshare(clone, r *http.Request) {
	if l := LinesOf(r.Header); l != nil {
		clone.Header = l.copied()
	}
	if l := LinesOf(r.Trailer); l != nil {
		clone.Trailer = l.copied()
	}
}

func (l *Lines) copied() http.Header { return (&Lines{list: slices.Clone(l.list)}).Map() }

// plain makes h an ordinary map, in place.
func plain(h http.Header) {
	l := LinesOf(h)
	if l == nil {
		return
	}
	l.plain = true
	delete(h, key)
	for name, value := range l.All() {
		name = textproto.CanonicalMIMEHeaderKey(name)
		h[name] = append(h[name], value)
	}
}

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

// Lines is a head that its engine keeps as it arrived: field lines in their original order and spelling. It is the Head
// for the map that stands for it (Map), which holds nothing else until Plain turns it into an ordinary map. A copy of
// that map stands for nothing. See doc.go for the rules of an engine.
//
// When a Lines is reused, adding a line takes the line that stood at the same position before if both are equal,
// instead of making a new one: most of what a gateway says is the same in every message.
type Lines struct {
	list      []field.Line // "": a deleted line, as positions never shift and lines are immutable
	remembers int          // at most this many lines are still there from before
	self      http.Header  // the map that stands for it; nil: there is none yet
	plain     bool         // that map was made an ordinary one, which others may have kept
	cell      [2]string    // what the first map holds
}

// key is the key of the entry by which a map stands for Lines. Its values are the stamp and a string whose data pointer
// is the address of the Lines. That string keeps the Lines from being garbage collected, and its bytes are never read.
// No field can have this name, and no other string has its data where the stamp has.
const key = ":lines"

var stamp = string([]byte("lines")) // not a constant, whose memory others may share

// NewLines makes an empty head with capacity for this many fields.
func NewLines(fields int) *Lines {
	l := new(Lines)
	if fields > 0 {
		l.list = make([]field.Line, 0, fields)
	}
	return l
}

// Ordered returns the map of a head that has these lines, names and values alternating, as an engine would make it that
// keeps heads as they arrived.
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
		if cell[0] != "" { // this cell belongs to an earlier map
			cell = new([2]string)
		}
		*cell = [...]string{stamp, unsafe.String((*byte)(unsafe.Pointer(l)), 1)} //nolint:gosec // see LinesOf
		l.self = http.Header{key: cell[:]}
	}
	return l.self
}

// LinesOf returns the Lines that a map stands for, nil for an ordinary map.
func LinesOf(h http.Header) *Lines {
	cell := h[key]
	if len(cell) != len(Lines{}.cell) || unsafe.StringData(cell[0]) != unsafe.StringData(stamp) { //nolint:gosec // only compared
		return nil
	}
	l := (*Lines)(unsafe.Pointer(unsafe.StringData(cell[1]))) //nolint:gosec // what stands beside the stamp was made by Map
	if address(l.self) != address(h) {
		return nil // a copy of such a map, or an earlier map of l: Lines has only one
	}
	return l
}

// are reports whether h stands for l, which may be nil. Other code cannot end that without changing the number of
// entries.
func (l *Lines) are(h http.Header) bool {
	return l != nil && address(l.self) == address(h) && len(h) == 1 && !l.plain
}

// address is where a map is in memory; it is only compared.
func address(h http.Header) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&h)) } //nolint:gosec // a map is a pointer

// Renew empties l for another message, and returns its map. It makes a new map if the old one has become an ordinary
// map, which others may still have, holds something beside the lines, or has been emptied.
func (l *Lines) Renew() http.Header {
	l.Forget()
	if l.plain || len(l.self) != 1 {
		l.self, l.plain = nil, false
	}
	return l.Map()
}

// A head that is reused keeps capacity for at most mostKept lines, and remembers its lines if they have at most
// mostRemembered bytes.
const (
	mostKept       = 128
	mostRemembered = 4 << 10
)

// Forget empties l. Nothing may hold any part of it any more except strings. It remembers the lines that it held until
// they are overwritten.
func (l *Lines) Forget() {
	n, size := len(l.list), 0
	switch {
	case n == 0:
		return // also when it was called before
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
	if n < l.remembers { // the lines behind are of an earlier message
		clear(l.list[n:min(l.remembers, cap(l.list))])
	}
	l.remembers = n
	poison.Lines(l.list)
	l.list = l.list[:0]
}

// IsPlain reports whether the map was turned into an ordinary one, which others may have kept.
func (l *Lines) IsPlain() bool { return l.plain }

// Put makes list the lines of l, which owns it from then on.
func (l *Lines) Put(list []field.Line) { l.list = list }

// List returns all lines, with "" in place of deleted ones. The slice belongs to l and changes with it.
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

// Values returns a new slice.
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

// setLine is Set for an existing line.
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

// last returns the line that stood last time at the position of the next line; "" if there is none.
func (l *Lines) last() field.Line {
	if n := len(l.list); n < cap(l.list) {
		return l.list[:n+1][n]
	}
	return ""
}

// set is Set for several fields. In an empty head the lines are made together, except for the first ones that stood
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

// setAgain sets the leading fields that stood at the same positions last time, and returns their number.
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

// stands reports whether fields[n] has a name that was set before, other than by the field directly before it.
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

// Len is the number of lines, including deleted ones.
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

// find returns the index of the next line of that name, from i on, or -1.
func (l *Lines) find(name string, i int) int {
	for ; i < len(l.list); i++ {
		if l.list[i].Is(name) {
			return i
		}
	}
	return -1
}

// unshare gives a clone of r heads of its own. A clone of a map that stands for Lines is not a head.
func unshare(clone, r *http.Request) {
	if l := LinesOf(r.Header); l != nil {
		clone.Header = l.copied()
	}
	if l := LinesOf(r.Trailer); l != nil {
		clone.Trailer = l.copied()
	}
}

func (l *Lines) copied() http.Header { return (&Lines{list: slices.Clone(l.list)}).Map() }

// plain turns h into an ordinary map, in place.
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

package http1

import (
	"bytes"

	"github.com/weir-gateway/weir/internal/base/field"
)

// gather makes the lines of heads. The heads of a connection mostly say the same. A line that equals the one in the
// same place of the previous head is neither parsed nor checked nor made again, because everything that is found out
// about a line follows from the line alone. If all lines are equal, none of them is looked at. The zero value is ready
// for use; it serves one head after another. A nil gather gathers nothing.
type gather struct {
	section []byte             // what lines were made of, including the empty line; empty: not remembered
	lines   []field.Line       // of the head, and from count on of the previous one; "": not made yet
	count   int                // lines of the head so far
	heeded  [mostHeeded]heeded // the fields of the section that are heeded
	heeds   uint8              // how many are heeded; more than there is room for: the section is not remembered
	made    []made             // the lines that are new
	fresh   []byte             // what the new lines are made of
}

// made is a line that is new.
type made struct{ line, end int }

// mostHeeded is how many heeded fields a head has at most, usually: Host, Connection, and one for framing.
const mostHeeded = 3

// heeded is a field whose value is judged in each head, and where the value stands in a section.
type heeded struct {
	known      field.Known
	begin, end uint16
}

// fields takes the lines at the beginning of b up to the empty one, whose number must not exceed most, and has judge
// judge those that m heeds. It returns what follows; nil if the end has not come.
func (g *gather) fields(b []byte, m *manner, most int, judge func(field.Known, []byte) Reason) (rest []byte, reason Reason) {
	if g.beginsAgain(b) {
		return g.sameFields(b, judge)
	}
	rest = b
	for count := 0; ; {
		known, length := g.again(rest)
		var value []byte
		if length > 0 {
			if m.heeds.Has(known) {
				value = g.valueAgain(rest)
			}
			rest = rest[length:]
		} else {
			var is what
			is, known, value, rest, reason = g.next(rest, m.split)
			switch {
			case reason != OK || is == aPart:
				return nil, reason
			case is == itsEnd:
				g.remember(b[:len(b)-len(rest)])
				return rest, OK
			}
		}
		if count++; count > most {
			return nil, TooManyFields
		}
		if m.heeds.Has(known) {
			if reason = judge(known, value); reason != OK {
				return nil, reason
			}
			g.heed(known, b, value)
		}
	}
}

// beginsAgain begins a head, and reports whether its fields are those of the previous head.
func (g *gather) beginsAgain(b []byte) bool {
	if g == nil {
		return false
	}
	if len(g.section) > 0 && bytes.HasPrefix(b, g.section) {
		return true
	}
	g.begin()
	return false
}

// begin begins a head.
func (g *gather) begin() {
	g.count, g.fresh, g.made, g.section, g.heeds = 0, g.fresh[:0], g.made[:0], g.section[:0], 0
}

// sameFields is fields for a head whose fields are those of the previous one.
func (g *gather) sameFields(b []byte, judge func(field.Known, []byte) Reason) (rest []byte, reason Reason) {
	for _, h := range g.heeded[:g.heeds] {
		if reason := judge(h.known, b[h.begin:h.end]); reason != OK {
			return nil, reason
		}
	}
	return b[len(g.section):], OK
}

// remember keeps the bytes that the lines were made of.
func (g *gather) remember(section []byte) {
	if g != nil && len(section) <= mostGathered && g.heeds <= mostHeeded {
		g.section = append(g.section, section...)
	}
}

// heed remembers where in b the value of a heeded field stands, if there is room to remember it. The position follows
// from the capacity behind the value: code that cuts b never limits its capacity.
func (g *gather) heed(known field.Known, b, value []byte) {
	begin := cap(b) - cap(value)
	if g == nil || begin+len(value) > mostGathered || g.heeds > mostHeeded {
		return
	}
	if g.heeds < mostHeeded {
		g.heeded[g.heeds] = heeded{known, uint16(begin), uint16(begin + len(value))}
	}
	g.heeds++
}

// what is what a head continues with.
type what uint8

const (
	aField what = iota
	itsEnd
	aPart // a line whose rest has not come
)

// again takes the line at the beginning of b if it equals the one in this place of the previous head, and returns its
// length; 0 if it does not.
func (g *gather) again(b []byte) (known field.Known, length int) {
	if g == nil || g.count == len(g.lines) {
		return 0, 0
	}
	line := g.lines[g.count]
	length, same := line.Begins(b)
	if !same {
		return 0, 0
	}
	g.count++
	return line.Known(), length
}

// valueAgain returns the value of the line that again has taken, from b, which begins with that line.
func (g *gather) valueAgain(b []byte) []byte {
	line := g.lines[g.count-1]
	return b[len(line.Name())+len(": "):][:len(line.Value())]
}

// next takes the line at the beginning of b that again has not taken, and returns what follows. If the line is a field,
// split checks it.
func (g *gather) next(b []byte, split splitter) (is what, known field.Known, value, rest []byte, reason Reason) {
	line, rest, whole, reason := cutLine(b)
	switch {
	case reason != OK || !whole:
		return aPart, 0, nil, nil, reason
	case len(line) == 0:
		return itsEnd, 0, nil, rest, OK
	}
	name, value, reason := split(line)
	if reason != OK {
		return aField, 0, nil, nil, reason
	}
	known = field.Know(name)
	if g != nil {
		g.add(known, name, value)
	}
	return aField, known, value, rest, OK
}

// manner is how heads of one kind are read: what checks their lines, and which fields are judged in addition.
type manner struct {
	split splitter
	heeds field.Set
}

// splitter checks a field line, without its CR LF, and returns its name and value.
type splitter func(line []byte) (name, value []byte, reason Reason)

// add adds a line that was checked and neither begins nor ends with blanks.
func (g *gather) add(k field.Known, name, value []byte) {
	g.fresh = field.Append(g.fresh, k, name, value)
	g.made = append(g.made, made{g.count, len(g.fresh)})
	if g.count < len(g.lines) {
		g.lines[g.count] = ""
	} else {
		g.lines = append(g.lines, "")
	}
	g.count++
}

// mostAlone is how many new lines of a head get a string each, at most.
const mostAlone = 3

// all returns the lines of a complete head. If a few of them are new, each new one gets a string of its own. Otherwise
// all lines share one string, including those of the previous head, so that a remaining line does not keep alive a
// string that the others have left.
func (g *gather) all() []field.Line {
	lines := g.lines[:g.count]
	if len(g.made) > mostAlone {
		g.together(lines)
		return lines
	}
	at := 0
	for _, m := range g.made {
		lines[m.line] = field.Line(g.fresh[at:m.end])
		at = m.end
	}
	g.made = g.made[:0]
	return lines
}

// together makes all lines out of one string.
func (g *gather) together(lines []field.Line) {
	for i, line := range lines {
		if line != "" {
			g.fresh = append(g.fresh, line...)
			g.made = append(g.made, made{i, len(g.fresh)})
		}
	}
	text, at := string(g.fresh), 0
	for _, m := range g.made {
		lines[m.line] = field.Line(text[at:m.end])
		at = m.end
	}
	g.made = g.made[:0]
}

// mostGathered is how large a head may be for its lines to be remembered.
const mostGathered = 4 << 10

// lighten forgets the lines if a head of size bytes is too large to be remembered, and otherwise the lines that are
// left from longer heads before.
func (g *gather) lighten(size int) {
	if size > mostGathered || cap(g.lines) > keptLines {
		*g = gather{}
		return
	}
	if len(g.lines) > g.count { // left from a longer head
		clear(g.lines[g.count:])
		g.lines = g.lines[:g.count]
	}
}

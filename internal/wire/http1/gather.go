package http1

import (
	"bytes"

	"github.com/weir-gateway/weir/internal/base/field"
)

// gather makes the lines of heads. The heads of a connection say mostly the same: a line that is what stood in its place in
// the head before is neither parsed nor checked nor made again, since what is found out about a line is found out from the line
// alone. Where all of them are, it is looked at none of them. The zero value is ready; it is for one head after the other. A nil one gathers nothing.
type gather struct {
	section []byte             // what lines were made of, with the empty line behind; empty: that is not remembered
	lines   []field.Line       // of the head, and behind count of the one before; "" is yet to be made
	count   int                // of the head
	heeded  [mostHeeded]heeded // which fields of the section are heeded
	heeds   uint8              // so many are, or more than there is room for: then it is not remembered
	made    []made             // which lines are new
	fresh   []byte             // what these are made of
}

// made is a line that is new.
type made struct{ line, end int }

// mostHeeded is how many fields of a head mostly are heeded: Host, Connection, and what frames.
const mostHeeded = 3

// heeded is a field that is heeded, and where its value stands in a section.
type heeded struct {
	known      field.Known
	begin, end uint16
}

// fields takes the lines that b begins with up to the empty one, at most so many, and has judge judge those that are heeded in a head of
// that manner. It gives what follows; nil where the end has not come.
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

// beginsAgain begins with a head, and tells whether its fields are those of the head before.
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

// begin begins with a head.
func (g *gather) begin() {
	g.count, g.fresh, g.made, g.section, g.heeds = 0, g.fresh[:0], g.made[:0], g.section[:0], 0
}

// sameFields is fields of those of the head before.
func (g *gather) sameFields(b []byte, judge func(field.Known, []byte) Reason) (rest []byte, reason Reason) {
	for _, h := range g.heeded[:g.heeds] {
		if reason := judge(h.known, b[h.begin:h.end]); reason != OK {
			return nil, reason
		}
	}
	return b[len(g.section):], OK
}

// remember remembers what the lines are made of.
func (g *gather) remember(section []byte) {
	if g != nil && len(section) <= mostGathered && g.heeds <= mostHeeded {
		g.section = append(g.section, section...)
	}
}

// heed remembers where a value stands that is heeded, in b, where that may be remembered. It is told by what is behind it: nobody who cuts b
// takes from its capacity.
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

// what is what a head goes on with.
type what uint8

const (
	aField what = iota
	itsEnd
	aPart // of a line, the rest of which has not come
)

// again takes the line that b begins with where it is the one that stood here before, and gives how long that is; 0 where it is not.
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

// valueAgain is the value of the line that again has taken, in b, which begins with it.
func (g *gather) valueAgain(b []byte) []byte {
	line := g.lines[g.count-1]
	return b[len(line.Name())+len(": "):][:len(line.Value())]
}

// next takes the line that b begins with, which again has not taken, and gives what follows. Where it is a field, split checks it.
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

// manner is how heads of a kind are read: what checks their lines, and which fields are judged beyond that.
type manner struct {
	split splitter
	heeds field.Set
}

// splitter checks a field line, without its CR LF, and gives its name and value.
type splitter func(line []byte) (name, value []byte, reason Reason)

// add adds a line that was checked, and begins and ends without blanks.
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

// mostAlone is how many new lines of a head have a text each.
const mostAlone = 3

// all gives the lines of a head that is whole. Where a few of them are new, each has a text of its own; else all have one in common, those
// from before too, lest one that stays keeps a text that others have left.
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

// together makes all lines out of one text.
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

// mostGathered is how large a head may be whose lines are remembered.
const mostGathered = 4 << 10

// lighten forgets what is too large to be remembered, of a head of so many bytes, and what is of longer heads before.
func (g *gather) lighten(size int) {
	if size > mostGathered || cap(g.lines) > keptLines {
		*g = gather{}
		return
	}
	if len(g.lines) > g.count { // which is of longer heads before
		clear(g.lines[g.count:])
		g.lines = g.lines[:g.count]
	}
}

package http1

import "github.com/weir-gateway/weir/internal/base/field"

// gather makes the lines of heads. The heads of a connection say mostly the same: a line that is what stood in its place in
// the head before is neither parsed nor checked nor made again, since what is found out about a line is found out from the line
// alone. The zero value is ready; it is for one head after the other. A nil one gathers nothing.
type gather struct {
	lines []field.Line // of the head, and behind count of the one before; "" is yet to be made
	count int          // of the head
	fresh []byte       // what the lines are made of that are new
	made  []made       // which these are
}

// made is a line that is new.
type made struct{ line, end int }

// begin begins with a head.
func (g *gather) begin() {
	if g != nil {
		g.count, g.fresh, g.made = 0, g.fresh[:0], g.made[:0]
	}
}

// what is what a head goes on with.
type what uint8

const (
	aField what = iota
	itsEnd
	aPart // of a line, the rest of which has not come
)

// next takes the line that b begins with, and gives what follows. Where it is a field that is not what stood here before, split checks it.
func (g *gather) next(b []byte, split splitter) (is what, known field.Known, value, rest []byte, reason Reason) {
	if g != nil && g.count < len(g.lines) {
		line := g.lines[g.count]
		if length, same := line.Begins(b); same {
			g.count++
			return aField, line.Known(), b[len(line.Name())+len(": ") : length-len("\r\n")], b[length:], OK
		}
	}
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
	if len(g.lines) > g.count {
		clear(g.lines[g.count:])
		g.lines = g.lines[:g.count]
	}
}

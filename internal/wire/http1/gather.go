package http1

import "github.com/weir-gateway/weir/internal/base/field"

// gather makes the lines of heads. The heads of a connection say mostly the same: a line that is what stood in its place in
// the head before is neither parsed nor checked nor made again, since what is found out about a line is found out from the line
// alone. The zero value is ready; it is for one head after the other. A nil one gathers nothing.
type gather struct {
	lines []field.Line // of the head, and behind count of longer ones before; "" is yet to be made
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

// all gives the lines of a head that is whole. What is new has a text in common where all of it is, as on a new connection; where it is
// a part, each line has its own, lest one that stays keeps the others.
func (g *gather) all() []field.Line {
	lines := g.lines[:g.count]
	at := 0
	if len(g.made) == g.count {
		text := string(g.fresh)
		for i, m := range g.made {
			lines[i] = field.Line(text[at:m.end])
			at = m.end
		}
	} else {
		for _, m := range g.made {
			lines[m.line] = field.Line(g.fresh[at:m.end])
			at = m.end
		}
	}
	g.made = g.made[:0]
	return lines
}

// mostGathered is how large a head may be whose lines are remembered.
const mostGathered = 4 << 10

// lighten forgets what is too large to be remembered.
func (g *gather) lighten() {
	if cap(g.fresh) > mostGathered || cap(g.lines) > keptLines {
		*g = gather{}
	}
}

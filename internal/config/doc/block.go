package doc

import (
	"fmt"
	"strings"
)

// parent is the key or list that contains a node: its column in the source (-1 for the document) and the column that
// Format gives it.
type parent struct{ col, out int }

// block reads the node that begins here, on its own line or after a dash.
func (r *reader) block(in parent) *Node {
	if !r.deeper() {
		r.depth--
		r.skipWhile(func() bool { return r.col > in.col })
		return &Node{}
	}
	defer func() { r.depth-- }()
	out := in.out + indentStep
	if r.layout != nil {
		r.layout.place(r.i, out)
	}
	switch {
	case r.atDash():
		return r.list(r.col, out, false)
	case r.atEntry(in):
		return r.mapping(r.col, out)
	default:
		return r.value(in)
	}
}

// passOver skips a line that could not be read, and reads what is nested below it only to report its problems. It
// returns a Node without a Kind.
func (r *reader) passOver(in parent) *Node {
	n := &Node{Pos: r.pos()}
	r.advance()
	if r.col > in.col {
		r.block(in)
	}
	return n
}

// skipWhile skips lines as long as holds returns true.
func (r *reader) skipWhile(holds func() bool) {
	for !r.ended() && holds() {
		r.advance()
	}
}

// atDash reports whether a list element begins here.
func (r *reader) atDash() bool {
	rest := r.rest()
	return rest != "" && rest[0] == '-' && (len(rest) == 1 || isBlank(rest[1]))
}

// atEntry reports whether a key begins here. A line without the space after its colon counts as a key if it cannot be
// anything else.
func (r *reader) atEntry(in parent) bool {
	rest := r.rest()
	switch rest[0] {
	case '[', '{', '|', '>':
		return false
	case '"', '\'':
		end := quoteEnd(rest)
		return end > 0 && strings.HasPrefix(strings.TrimLeft(rest[end:], " \t"), ":")
	}
	if keyEnd(rest) >= 0 || rest == "?" || strings.HasPrefix(rest, "? ") {
		return true
	}
	return gluedKey(rest) != "" && (in.col < 0 || r.siblingFollows())
}

// siblingFollows reports whether the next line that is neither empty nor a comment begins in this column.
func (r *reader) siblingFollows() bool {
	for _, l := range r.lines[r.i+1:] {
		if !l.empty() {
			return l.col == r.col
		}
	}
	return false
}

// list reads the elements whose dashes are in column col. If under is true, the list is the value of a key in the same
// column, and a further key in that column ends the list.
func (r *reader) list(col, out int, under bool) *Node {
	n := &Node{Kind: List, Pos: r.pos()}
	for r.col == col {
		if !r.atDash() {
			if under {
				break
			}
			r.reportShape(Problem{Pos: r.pos(), What: shorten(r.word()) + " is among the elements of a list", Why: "a node is either a list or a map", Fix: "begin it with `- `, or indent it under the element that it belongs to"})
			r.mapping(col, out)
			continue
		}
		line := r.i
		item := r.element(col, out)
		n.Items = append(n.Items, item)
		r.refuseDeeper(col, item.Pos.Line == line+1)
	}
	return n
}

// element reads what follows a dash.
func (r *reader) element(col, out int) *Node {
	if r.layout != nil {
		r.layout.place(r.i, out)
	}
	here := r.pos()
	r.off++
	r.col++
	if r.lineDone() {
		r.advance()
		if r.col > col {
			return r.block(parent{col: col, out: out})
		}
		return r.null(here, "this element of the list is empty", "write a value after the dash or remove it")
	}
	before := r.off
	r.skipBlanks()
	r.col += r.off - before
	r.squeeze(before, " ")
	return r.block(parent{col: col, out: out})
}

// mapping reads the entries whose keys begin in column col.
func (r *reader) mapping(col, out int) *Node {
	n := &Node{Kind: Map, Pos: r.pos()}
	seen := make(map[string]Pos)
	for r.col == col {
		if r.atDash() {
			r.reportShape(Problem{Pos: r.pos(), What: "an element of a list is among the keys of a map", Why: "a node is either a list or a map", Fix: "indent the `- ` under the key that it belongs to"})
			r.list(col, out, true)
			continue
		}
		if r.layout != nil {
			r.layout.place(r.i, out)
		}
		e, ok := r.entry(parent{col: col, out: out})
		if ok && r.fresh(seen, e) {
			n.Entries = append(n.Entries, e)
		}
		r.refuseDeeper(col, e.Value.Pos.Line == e.KeyPos.Line)
	}
	return n
}

// fresh records a key of its map, and reports it if the map already has it.
func (r *reader) fresh(seen map[string]Pos, e Entry) bool {
	first, twice := seen[e.Key]
	if !twice {
		seen[e.Key] = e.KeyPos
		return true
	}
	r.report(Problem{Pos: e.KeyPos, What: fmt.Sprintf("the key %s appears twice", shorten(e.Key)), Why: fmt.Sprintf("it is already on line %d", first.Line), Fix: "remove one of them or give it another name"})
	return false
}

// refuseDeeper reports lines that are indented deeper than column col although the node there is complete. It still
// reads them to report their problems. inline is true if the node ended on the line on which it began.
func (r *reader) refuseDeeper(col int, inline bool) {
	for r.col > col {
		p := Problem{
			Pos: r.pos(), What: shorten(r.word()) + " is indented wrongly", Why: "no line above that it could belong to begins in this column",
			Fix: fmt.Sprintf("begin it in column %d, or in the column of its neighbours", col+1),
		}
		if inline {
			p.Why = "the line above already has a value"
			p.Fix = fmt.Sprintf("begin it in column %d, or write a text of several lines after `|` or `>-`", col+1)
		}
		r.reportShape(p)
		r.block(parent{col: col, out: col})
	}
}

// entry reads a key and its value.
func (r *reader) entry(in parent) (Entry, bool) {
	e := Entry{KeyPos: r.pos()}
	ok := r.key(&e)
	if !ok {
		r.broken = r.broken || e.Key == ""
		e.Value = r.passOver(in)
		return e, e.Key != ""
	}
	colon := r.pos()
	if !r.lineDone() {
		before := r.off
		r.skipBlanks()
		r.squeeze(before, " ")
		e.Value = r.value(in)
		return e, true
	}
	r.advance()
	switch {
	case r.col > in.col:
		e.Value = r.block(in)
	case r.col == in.col && r.atDash():
		if r.deeper() {
			e.Value = r.list(in.col, in.out+indentStep, true)
		} else {
			e.Value = &Node{}
			r.skipWhile(func() bool { return r.col > in.col || r.col == in.col && r.atDash() })
		}
		r.depth--
	default:
		e.Value = r.null(colon, fmt.Sprintf("the key %s has no value", shorten(e.Key)), "write one after the colon, or remove the key")
	}
	return e, true
}

// null reports that a value is missing.
func (r *reader) null(pos Pos, what, fix string) *Node {
	if r.tabbed { // the value may be indented by a tab
		return &Node{Pos: pos}
	}
	r.report(Problem{Pos: pos, What: what, Why: "null means nothing to Weir", Fix: fix})
	return &Node{Pos: pos}
}

// key reads a key with its colon into e. If it returns false, it has reported why, and e.Key is what was probably
// meant, if anything.
func (r *reader) key(e *Entry) bool {
	rest := r.rest()
	end := keyEnd(rest)
	switch {
	case rest[0] == '"' || rest[0] == '\'':
		if quoteEnd(rest) < 0 {
			r.report(unclosedQuote(r.pos(), rest[0]))
			return false
		}
		text, ok := r.quoted()
		e.Key = text
		if !ok {
			return false
		}
		blanks := r.off
		r.skipBlanks()
		if !strings.HasPrefix(r.rest(), ":") {
			r.report(Problem{Pos: r.pos(), What: "no colon follows this key", Fix: "write `: ` between key and value"})
			return false
		}
		r.squeeze(blanks, "")
	case end < 0:
		e.Key = gluedKey(rest)
		r.report(noColon(r.pos(), r.word(), e.Key))
		return false
	default:
		e.Key = strings.TrimRight(rest[:end], " \t")
		if p, bad := badKey(r.pos(), e.Key, r.word()); bad {
			r.report(p)
			e.Key = ""
			return false
		}
		r.off += len(e.Key)
		blanks := r.off
		r.off += end - len(e.Key)
		r.squeeze(blanks, "")
	}
	r.off++
	if rest := r.rest(); rest != "" && !isBlank(rest[0]) {
		r.report(Problem{Pos: r.pos(), What: "a space is missing after the colon of " + shorten(e.Key), Fix: "write `: ` between key and value"})
		return false
	}
	return true
}

// keyEnd returns the offset of the colon that ends an unquoted key, or -1.
func keyEnd(text string) int {
	for i := range len(text) {
		switch {
		case text[i] == ':' && (i+1 == len(text) || isBlank(text[i+1])):
			return i
		case text[i] == '#' && (i == 0 || isBlank(text[i-1])):
			return -1
		}
	}
	return -1
}

// gluedKey returns the key of a line such as `listen::8080`, where the space after the colon is missing, or "".
func gluedKey(text string) string {
	key, _, found := strings.Cut(text, ":")
	if !found || strings.ContainsAny(key, " \t'\"[]{}#=/") {
		return ""
	}
	return key
}

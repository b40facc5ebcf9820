package doc

import "strings"

// indentStep is the number of columns by which each level is indented.
const indentStep = 2

// Format returns src in Weir's one style: two spaces for each level, one space after a colon and a dash, at most one
// empty line in a row, no trailing spaces. Comments, quotes, brackets and the order of keys stay as they are, and Parse
// reads the same tree from the result. Formatting twice changes nothing. If src has errors, Format returns nil and adds
// them to ps.
func Format(file string, src []byte, ps *Problems) []byte {
	var found Problems
	r := &reader{file: file, ps: &found, layout: &layout{}}
	r.document(src)
	for _, p := range found.list {
		ps.Add(p)
	}
	if found.Failed() {
		return nil
	}
	return []byte(r.layout.join())
}

// layout holds the place of everything in the output, line by line. The reader fills it.
type layout struct {
	lines  []line
	placed []placement
	// For each line, or -1 for none: above and below are the nearest lines in each direction that begin a node. up, for
	// a line that begins a node, is the nearest line above that begins one in a smaller column. textAbove is the
	// nearest line of a block text above.
	above, below, up, textAbove []int
}

type placement struct {
	kind  placeKind
	out   int    // the column of the line's first character
	text  string // for a line of a block text
	edits []edit
}

type placeKind uint8

const (
	unplaced  placeKind = iota // an empty line or a comment
	headed                     // begins a node
	continued                  // inside brackets
	verbatim                   // a line of a block text
)

// edit replaces text[from:to] of a line.
type edit struct {
	from, to int
	with     string
}

func (l *layout) reset(lines []line) {
	l.lines = lines
	l.placed = make([]placement, len(lines))
}

// place puts the beginning of line i in column out. Only the first node on a line counts.
func (l *layout) place(i, out int) {
	if p := &l.placed[i]; p.kind == unplaced {
		p.kind, p.out = headed, out
	}
}

// squeeze replaces the blanks between offset from and the reader with the text with.
func (r *reader) squeeze(from int, with string) {
	if r.layout != nil {
		p := &r.layout.placed[r.i]
		p.edits = append(p.edits, edit{from: from, to: r.off, with: with})
	}
}

// text places the lines of a block text below its head in line i.
func (l *layout) text(i int, body []string, indent int) {
	for j, text := range body {
		p := placement{kind: verbatim}
		if text != "" {
			p.text = strings.Repeat(" ", indent) + text
		}
		l.placed[i+1+j] = p
	}
}

// flow places the lines of a flow collection after the first. They keep their indentation relative to it.
func (l *layout) flow(first, last, parentOut int) {
	shift := l.placed[first].out - l.lines[first].col
	for i := first + 1; i <= last; i++ {
		if src := l.lines[i]; l.placed[i].kind == unplaced && !src.blank() {
			least := parentOut + indentStep
			if closes(src.text[src.start:]) {
				least = max(parentOut, 0)
			}
			l.placed[i] = placement{kind: continued, out: max(src.col+shift, least)}
		}
	}
}

// join returns the document.
func (l *layout) join() string {
	l.relate()
	var b strings.Builder
	empty := true // drops empty lines at the beginning
	for i := range l.lines {
		text := l.line(i)
		if text == "" && l.placed[i].kind != verbatim {
			empty = empty || l.emptyBefore(i)
			if !empty && l.moreFollows(i) {
				b.WriteByte('\n')
			}
			empty = true
			continue
		}
		b.WriteString(text)
		b.WriteByte('\n')
		empty = false
	}
	return b.String()
}

// emptyBefore reports whether the line before i is an empty line of a block text.
func (l *layout) emptyBefore(i int) bool {
	return i > 0 && l.placed[i-1].kind == verbatim && l.placed[i-1].text == ""
}

// moreFollows reports whether any line below i is not empty.
func (l *layout) moreFollows(i int) bool {
	for _, next := range l.lines[i+1:] {
		if !next.blank() {
			return true
		}
	}
	return false
}

// line returns line i as it is printed.
func (l *layout) line(i int) string {
	src, p := l.lines[i], l.placed[i]
	if p.kind == verbatim {
		return p.text
	}
	if src.blank() {
		return ""
	}
	out := p.out
	if p.kind == unplaced {
		out = l.commentColumn(i)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", out))
	at := src.start
	for _, e := range p.edits {
		b.WriteString(src.text[at:e.from])
		b.WriteString(e.with)
		at = e.to
	}
	b.WriteString(src.text[at:])
	return strings.TrimRight(b.String(), " \t")
}

// commentColumn aligns a comment with the next line that begins a node, or with an earlier line that it is aligned with
// in the source and whose block is still open.
func (l *layout) commentColumn(i int) int {
	next, nextOut := 0, 0
	if j := l.below[i]; j >= 0 {
		next, nextOut = l.lines[j].col, l.placed[j].out
	}
	j := l.above[i]
	if j >= 0 && l.endsInText(i) {
		return nextOut // any deeper, it would be part of the text
	}
	for ; j >= 0 && l.lines[j].col > next; j = l.up[j] {
		if l.lines[j].col <= l.lines[i].col {
			return l.placed[j].out
		}
	}
	return nextOut
}

// endsInText reports whether there is a block text between line i and the nearest line above it that begins a node.
func (l *layout) endsInText(i int) bool { return l.textAbove[i] > l.above[i] }

// relate finds, for each line, its neighbours that begin nodes. It makes one pass in each direction, so that a file of
// only comments costs time linear in its length.
func (l *layout) relate() {
	n := len(l.lines)
	l.above, l.below, l.up, l.textAbove = make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	last, text := -1, -1
	for i := range n {
		l.above[i], l.textAbove[i] = last, text
		switch l.placed[i].kind {
		case headed:
			up := last
			for up >= 0 && l.lines[up].col >= l.lines[i].col {
				up = l.up[up]
			}
			l.up[i], last = up, i
		case verbatim:
			text = i
		case unplaced, continued:
		}
	}
	next := -1
	for i := n - 1; i >= 0; i-- {
		if l.below[i] = next; l.placed[i].kind == headed {
			next = i
		}
	}
}

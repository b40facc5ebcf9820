package doc

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Parse reads one YAML document and reports every mistake that it finds to ps, with file as the file's name. It returns
// the tree, or nil if the shape of the tree is in doubt (after wrong indentation, for example), so that no false
// problems follow. If only a value could not be read or was refused (a null, a tag), the tree has a Node without a Kind
// there, which Decode skips. An empty document is an empty map.
//
// Time and memory are linear in len(src), which is at most MaxBytes.
func Parse(file string, src []byte, ps *Problems) *Node {
	r := &reader{file: file, ps: ps}
	return r.document(src)
}

// reader reads the block structure line by line. It is always at the beginning of something that is still to be read:
// off is the byte offset of its first character in line i, and col its column, counted from 0. At the end col is -1,
// which is less than the column of any block, so that all blocks end.
//
// Each method that reads something leaves the reader at the beginning of the next thing.
type reader struct {
	file    string
	ps      *Problems
	told    int  // number of problems found
	broken  bool // the tree's shape is in doubt
	tabbed  bool // a tab indents some line, so columns are guesses
	lines   []line
	i       int
	off     int
	col     int
	depth   int
	counted count
	layout  *layout // where Format puts everything; nil for Parse
}

func (r *reader) document(src []byte) *Node {
	start := Pos{File: r.file, Line: 1, Col: 1}
	if len(src) > MaxBytes {
		r.report(Problem{Pos: start, What: "the file is too large", Why: fmt.Sprintf("it has %d bytes and the limit is %d", len(src), MaxBytes), Fix: "split it into several files in one directory"})
		return nil
	}
	r.splitLines(src)
	if r.layout != nil {
		r.layout.reset(r.lines)
	}
	r.i = -1
	r.advance()
	r.prologue()
	root := &Node{Kind: Map, Pos: start}
	if r.col >= 0 {
		root = r.block(parent{col: -1, out: -2})
	}
	r.epilogue()
	if r.broken {
		return nil
	}
	return root
}

// prologue skips one `---` and refuses directives.
func (r *reader) prologue() {
	for !r.ended() && r.off == 0 && strings.HasPrefix(r.rest(), "%") {
		r.report(Problem{Pos: r.pos(), What: "this is a YAML directive", Why: "Weir reads YAML 1.2 and needs none", Fix: "remove the line"})
		r.advance()
	}
	if r.marker("---") {
		if r.layout != nil {
			r.layout.place(r.i, 0)
		}
		if len(r.rest()) == len("---") || commentAt(r.rest(), len("---")) {
			r.advance()
			return
		}
		r.report(Problem{Pos: r.pos(), What: "there is something after `---`", Fix: "write it on the next line"})
		r.advance()
	}
}

// epilogue reports what is left after the root has been read.
func (r *reader) epilogue() {
	for !r.ended() {
		if r.marker("---") {
			r.report(Problem{Pos: r.pos(), What: "a second document begins here", Why: "a file holds one", Fix: "move it to a file of its own"})
			return
		}
		if r.marker("...") {
			r.report(Problem{Pos: r.pos(), What: "`...` ends the document here", Why: "what follows would not be read", Fix: "remove the line"})
			return
		}
		r.reportShape(Problem{Pos: r.pos(), What: shorten(r.word()) + " does not belong to what is above it", Why: "it is indented less than the first line of the file, or follows a complete value", Fix: "indent it like its neighbours"})
		r.block(parent{col: -1, out: -2})
	}
}

// marker reports whether the reader is at the document marker m.
func (r *reader) marker(m string) bool {
	rest := r.rest()
	return !r.ended() && r.off == 0 && strings.HasPrefix(rest, m) && (len(rest) == len(m) || isBlank(rest[len(m)]))
}

func (r *reader) ended() bool { return r.i >= len(r.lines) }

// rest is what is left of the line.
func (r *reader) rest() string {
	if r.ended() {
		return ""
	}
	return r.lines[r.i].text[r.off:]
}

// word returns the beginning of rest, for messages.
func (r *reader) word() string {
	return cutComment(r.rest())
}

// pos is the position of the reader.
func (r *reader) pos() Pos { return r.posAt(r.i, r.off) }

// posAt counts the runes before an offset. It continues from the last count on the same line; otherwise it would count
// a line of a megabyte again and again.
func (r *reader) posAt(i, off int) Pos {
	last := &r.counted
	if last.line != i || off < last.off {
		*last = count{line: i}
	}
	last.runes += utf8.RuneCountInString(r.lines[i].text[last.off:off])
	last.off = off
	return Pos{File: r.file, Line: i + 1, Col: last.runes + 1}
}

// count is the number of runes before an offset in a line.
type count struct{ line, off, runes int }

// advance moves to the next line that is neither empty nor only a comment.
func (r *reader) advance() {
	r.i++
	for !r.ended() && r.lines[r.i].empty() {
		r.i++
	}
	if r.ended() {
		r.off, r.col = 0, -1
		return
	}
	l := r.lines[r.i]
	r.off, r.col = l.start, l.col
	if l.tab {
		r.report(Problem{Pos: r.posAt(r.i, strings.IndexByte(l.text, '\t')), What: "a tab indents this line", Why: "YAML indents with spaces only", Fix: "write two spaces for each level"})
		r.broken, r.tabbed = true, true
	}
	if r.marker("---") || r.marker("...") {
		r.col = -1 // ends every block; epilogue handles the marker
	}
}

// skipBlanks moves past spaces and tabs in the line.
func (r *reader) skipBlanks() {
	for text := r.lines[r.i].text; r.off < len(text) && isBlank(text[r.off]); r.off++ {
	}
}

// lineDone reports whether nothing but a comment is left on the line.
func (r *reader) lineDone() bool {
	rest := strings.TrimLeft(r.rest(), " \t")
	return rest == "" || commentAt(r.lines[r.i].text, len(r.lines[r.i].text)-len(rest))
}

// report adds a problem, but at most MaxProblems for one document.
func (r *reader) report(p Problem) {
	r.told++
	switch {
	case r.told < MaxProblems:
		r.ps.Add(p)
	case r.told == MaxProblems:
		r.ps.Add(Problem{Pos: p.Pos, What: "there are more problems, which are not shown", Fix: "fix these first"})
	}
}

// reportShape reports a problem of indentation, unless a tab caused it.
func (r *reader) reportShape(p Problem) {
	r.broken = true
	if !r.tabbed {
		r.report(p)
	}
}

// deeper enters a list or map and reports whether its depth is allowed.
func (r *reader) deeper() bool {
	r.depth++
	if r.depth <= MaxDepth {
		return true
	}
	r.report(Problem{Pos: r.pos(), What: "lists and maps are nested too deeply", Why: fmt.Sprintf("the limit is %d levels", MaxDepth)})
	r.broken = true
	return false
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// commentAt reports whether a comment begins at text[i:] after any blanks. It must follow a blank or begin the line.
func commentAt(text string, i int) bool {
	j := i
	for j < len(text) && isBlank(text[j]) {
		j++
	}
	return j < len(text) && text[j] == '#' && (j == 0 || isBlank(text[j-1]))
}

// cutComment returns an unquoted text without its comment and trailing blanks.
func cutComment(text string) string {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || isBlank(text[i-1])) {
			text = text[:i]
			break
		}
	}
	return strings.TrimRight(text, " \t")
}

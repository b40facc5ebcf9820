package doc

import (
	"fmt"
	"strings"
)

// value reads the scalar, block text or flow collection that begins here; in is the key or dash that it belongs to.
func (r *reader) value(in parent) *Node {
	switch rest := r.rest(); rest[0] {
	case '[', '{':
		return r.flowValue(in)
	case '|', '>':
		return r.blockText(in)
	case '"', '\'':
		return r.quotedValue(in)
	default:
		return r.plain(in)
	}
}

// plain reads an unquoted scalar, which ends with its line.
func (r *reader) plain(in parent) *Node {
	n := &Node{Kind: Scalar, Pos: r.pos()}
	rest := r.rest()
	text := cutComment(rest)
	n.Value = text
	if p, bad := badPlain(n.Pos, text, rest); bad {
		r.report(p)
		return r.passOver(in)
	}
	r.advance()
	if isNull(text) {
		return r.null(n.Pos, "`"+text+"` is a null", "write a value, or remove the key; for the text itself, use quotes")
	}
	return n
}

// isNull reports whether text is one of the spellings of null in YAML 1.2's core schema.
func isNull(text string) bool {
	switch text {
	case "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// quotedValue reads a scalar in quotes, after which its line must end.
func (r *reader) quotedValue(in parent) *Node {
	n := &Node{Kind: Scalar, Pos: r.pos(), Quoted: true}
	if quote := r.rest()[0]; quoteEnd(r.rest()) < 0 {
		r.report(unclosedQuote(n.Pos, quote))
		return r.passOver(in)
	}
	text, ok := r.quoted()
	n.Value = text
	if !r.endLine("a closing quote") || !ok {
		return &Node{Pos: n.Pos}
	}
	return n
}

// endLine moves to the next line and reports anything that is left on this one.
func (r *reader) endLine(behind string) bool {
	done := r.lineDone()
	if !done {
		r.skipBlanks()
		r.report(Problem{Pos: r.pos(), What: fmt.Sprintf("%s follows %s", shorten(r.word()), behind), Why: "a value ends there", Fix: "put quotes around the whole value; in single quotes a quote is written twice"})
	}
	r.advance()
	return done
}

// quoteEnd returns the offset after the quote that closes the one at the beginning of text, or -1.
func quoteEnd(text string) int {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return -1
}

// quoted reads a text in quotes that is known to be closed, and moves past it.
func (r *reader) quoted() (string, bool) {
	rest := r.rest()
	end := quoteEnd(rest)
	inner := rest[1 : end-1]
	defer func() { r.off += end }()
	if rest[0] == '\'' {
		return strings.ReplaceAll(inner, "''", "'"), true
	}
	text, at, bad := unescape(inner)
	if bad != "" {
		r.report(Problem{Pos: r.posAt(r.i, r.off+1+at), What: bad, Why: `double quotes know \n, \t, \", \\, \xHH, \uHHHH and the like`, Fix: `write \\ for a backslash, or use single quotes`})
	}
	return text, bad == ""
}

// blockText reads the lines below a `|` or `>` (YAML 1.2 section 8.1).
func (r *reader) blockText(in parent) *Node {
	n := &Node{Kind: Scalar, Pos: r.pos(), Quoted: true}
	head, ok := readTextHead(r.rest())
	if !ok {
		r.report(Problem{Pos: n.Pos, What: shorten(r.word()) + " begins with `" + r.rest()[:1] + "`", Why: "that begins a text on the lines below", Fix: "put the value in quotes"})
		return r.passOver(in)
	}
	first := r.i + 1
	parentCol := max(in.col, 0)
	indent := r.textIndent(first, parentCol, head)
	body := r.textLines(first, indent)
	n.Value = head.join(body)
	lines := len(body)
	if head.chomp != '+' {
		for ; lines > 0 && body[lines-1] == ""; lines-- {
		}
	}
	if r.layout != nil {
		r.layout.text(r.i, body[:lines], max(in.out, 0)+head.step())
	}
	r.i = first + lines - 1
	r.advance()
	return n
}

// textIndent is the number of spaces before each line of a block text: the number in its head, or the indentation of
// the first line that is not empty.
func (r *reader) textIndent(first, parentCol int, head textHead) int {
	if head.indent > 0 {
		return parentCol + head.indent
	}
	indent, widest := parentCol+1, first // widest: the widest of the empty lines before the text
	for i := first; i < len(r.lines); i++ {
		spaces := r.lines[i].spaces()
		switch {
		case spaces == len(r.lines[i].text):
			if spaces > r.lines[widest].spaces() {
				widest = i
			}
			indent = max(indent, spaces)
		case spaces <= parentCol:
			return indent
		default:
			if r.lines[widest].spaces() > spaces {
				r.report(Problem{Pos: r.posAt(widest, spaces), What: "this empty line has more spaces than the first line of the text", Why: "YAML cannot tell how far the text is indented", Fix: "remove the spaces, or write the indentation after the mark: `|2`"})
			}
			return spaces
		}
	}
	return indent
}

// textLines returns the lines of a block text without their indentation.
func (r *reader) textLines(first, indent int) []string {
	var body []string
	for _, l := range r.lines[first:] {
		switch spaces := l.spaces(); {
		case spaces >= indent:
			body = append(body, l.text[indent:])
		case spaces == len(l.text):
			body = append(body, "")
		default:
			return body
		}
	}
	return body
}

// isMarker reports whether text in the first column would begin or end a document.
func isMarker(text string) bool {
	return (strings.HasPrefix(text, "---") || strings.HasPrefix(text, "...")) && (len(text) == 3 || isBlank(text[3]))
}

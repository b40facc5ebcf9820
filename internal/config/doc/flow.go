package doc

import (
	"fmt"
	"strings"
)

// flowReader reads one `[...]` or `{...}` with everything in it. It gives up after its first problem, and the block
// reader continues after the collection.
type flowReader struct {
	*reader
	in    parent
	first int // line of the opening bracket
}

// flowValue reads a flow collection and the rest of its line.
func (r *reader) flowValue(in parent) *Node {
	depth := r.depth
	f := flowReader{reader: r, in: in, first: r.i}
	start := r.pos()
	n, ok := f.value()
	if r.layout != nil {
		r.layout.flow(f.first, min(r.i, len(r.lines)-1), in.out)
	}
	if !ok {
		r.depth = depth
		f.recover(start)
		return &Node{Pos: start}
	}
	if strings.HasPrefix(strings.TrimLeft(r.rest(), " \t"), ":") {
		r.report(Problem{Pos: start, What: fmt.Sprintf("%s is used as a key", n.Kind), Why: keysAreTexts, Fix: "put quotes around it if it is one"})
		r.broken = true
		return r.passOver(in)
	}
	if !r.endLine("the closing bracket") {
		return &Node{Pos: start}
	}
	return n
}

// recover moves past the collection that began at start: to the line after the one where its brackets are balanced, or
// to the first line that is not indented more than the parent.
func (f *flowReader) recover(start Pos) {
	open := 0
	f.i = start.Line - 1
	for first := true; !f.ended(); f.i++ {
		l := f.lines[f.i]
		if !first && !l.empty() && l.col <= f.in.col && !closes(l.text[l.start:]) {
			break
		}
		text := l.text
		if first {
			text = text[byteOffset(text, start.Col):]
		}
		open += brackets(text)
		if first = false; open <= 0 {
			f.advance()
			return
		}
	}
	f.i--
	f.advance()
}

func byteOffset(text string, col int) int {
	for i := range text {
		if col--; col == 0 {
			return i
		}
	}
	return len(text)
}

// brackets counts the brackets that text opens, minus those that it closes, outside quotes and comments.
func brackets(text string) int {
	open := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open--
		case c == '#' && i > 0 && isBlank(text[i-1]):
			return open
		case (c == '"' || c == '\'') && (i == 0 || strings.IndexByte(" \t[{,:", text[i-1]) >= 0):
			if end := quoteEnd(text[i:]); end > 0 {
				i += end - 1
			}
		}
	}
	return open
}

func closes(text string) bool { return text != "" && strings.IndexByte("]},", text[0]) >= 0 }

// fail reports p at the reader's position and returns the result of a failed read.
func (f *flowReader) fail(p Problem) (*Node, bool) {
	f.report(p)
	return nil, false
}

// value reads the node that begins here.
func (f *flowReader) value() (*Node, bool) {
	switch f.rest()[0] {
	case '[':
		return f.collection(List, ']')
	case '{':
		return f.collection(Map, '}')
	case '"', '\'':
		return f.text()
	default:
		return f.plain()
	}
}

// collection reads from an opening bracket to just after the closing one.
func (f *flowReader) collection(kind Kind, closing byte) (*Node, bool) {
	n := &Node{Kind: kind, Pos: f.pos()}
	defer func() { f.depth-- }()
	if !f.deeper() {
		return nil, false
	}
	seen := make(map[string]Pos)
	f.off++
	for {
		if !f.skip(n.Pos) {
			return nil, false
		}
		switch c := f.rest()[0]; c {
		case closing:
			f.off++
			return n, true
		case ',':
			return f.fail(Problem{Pos: f.pos(), What: "there is nothing before this comma", Fix: "remove the comma or write a value"})
		case ']', '}':
			return f.fail(Problem{Pos: f.pos(), What: fmt.Sprintf("`%c` closes what `%c` opened on line %d", c, opening(closing), n.Pos.Line), Fix: fmt.Sprintf("write `%c`", closing)})
		}
		if !f.member(n, seen) || !f.skip(n.Pos) {
			return nil, false
		}
		if f.rest()[0] == ',' {
			f.off++
		} else if f.rest()[0] != closing {
			return f.fail(f.unexpected(closing))
		}
	}
}

func opening(closing byte) byte {
	if closing == ']' {
		return '['
	}
	return '{'
}

// member reads an element of a list or an entry of a map into n.
func (f *flowReader) member(n *Node, seen map[string]Pos) bool {
	if n.Kind == Map {
		e, ok := f.entry()
		if ok && f.fresh(seen, e) {
			n.Entries = append(n.Entries, e)
		}
		return ok
	}
	item, ok := f.value()
	if !ok {
		return false
	}
	if f.atColon(item) {
		f.report(Problem{Pos: item.Pos, What: "there is a key in a list", Fix: "put braces around the pair: [{ key: value }], or quotes around a text"})
		return false
	}
	if isNull(item.Value) && !item.Quoted {
		item = f.null(item.Pos, "`"+item.Value+"` is a null", "write a value or remove it; for the text itself, use quotes")
	}
	n.Items = append(n.Items, item)
	return true
}

// entry reads a key, its colon and its value.
func (f *flowReader) entry() (Entry, bool) {
	e := Entry{KeyPos: f.pos()}
	key, ok := f.value()
	if !ok {
		return e, false
	}
	if key.Kind != Scalar {
		f.report(Problem{Pos: key.Pos, What: fmt.Sprintf("%s is used as a key", key.Kind), Why: keysAreTexts, Fix: "put quotes around it if it is one"})
		return e, false
	}
	e.Key = key.Value
	if !key.Quoted {
		if p, bad := badKey(key.Pos, e.Key, e.Key); bad {
			f.report(p)
			return e, false
		}
	}
	if !f.skip(f.pos()) {
		return e, false
	}
	if f.rest()[0] != ':' {
		f.report(f.noValue(e))
		return e, false
	}
	colon := f.pos()
	f.off++
	if !f.skip(colon) {
		return e, false
	}
	if closes(f.rest()) {
		e.Value = f.null(colon, fmt.Sprintf("the key %s has no value", shorten(e.Key)), "write one after the colon, or remove the key")
		return e, true
	}
	e.Value, ok = f.value()
	if ok && e.Value.Kind == Scalar && !e.Value.Quoted && isNull(e.Value.Value) {
		e.Value = f.null(e.Value.Pos, "`"+e.Value.Value+"` is a null", "write a value, or remove the key; for the text itself, use quotes")
	}
	return e, ok
}

// noValue is the problem of an entry without a colon: `{user}`, `{ to:http://x }`.
func (f *flowReader) noValue(e Entry) Problem {
	if key := gluedKey(e.Key); key != "" {
		return Problem{Pos: e.KeyPos, What: "a space is missing after the colon of " + shorten(key), Fix: fmt.Sprintf("write `%s: ...`", key)}
	}
	return Problem{Pos: e.KeyPos, What: shorten(e.Key) + " has no value", Why: "braces begin a map of `key: value`", Fix: fmt.Sprintf("if a text is meant, put quotes around all of it: '{%s}'", e.Key)}
}

// atColon reports whether item turns out to be a key.
func (f *flowReader) atColon(item *Node) bool {
	rest := strings.TrimLeft(f.rest(), " \t")
	return item.Kind == Scalar && strings.HasPrefix(rest, ":") && (item.Quoted || len(rest) == 1 || isBlank(rest[1]))
}

// unexpected is the problem of a value that neither a comma nor the closing bracket follows.
func (f *flowReader) unexpected(closing byte) Problem {
	rest := f.rest()
	p := Problem{Pos: f.pos(), What: shorten(f.word()) + " follows a complete value", Why: fmt.Sprintf("a comma or `%c` belongs here", closing), Fix: "write it, or put quotes around a text that contains one of []{},"}
	switch before := f.lines[f.i].text[:f.off]; {
	case rest[0] == '{' && before != "" && !isBlank(before[len(before)-1]):
		p.What, p.Why = "`{` is inside an unquoted text in brackets", "there it begins a map, even in an address such as http://users/{user}"
		p.Fix = "put quotes around the text, or write the value on lines of its own, without brackets"
	case rest[0] == ':':
		p.What, p.Why = "a colon follows a complete value", "a list has no keys"
		if closing == '}' {
			p.Why = "this entry already has a value"
		}
		p.Fix = "put quotes around a text that contains a colon and a space"
	}
	return p
}

// text reads a text in quotes.
func (f *flowReader) text() (*Node, bool) {
	n := &Node{Kind: Scalar, Pos: f.pos(), Quoted: true}
	if quoteEnd(f.rest()) < 0 {
		return f.fail(unclosedQuote(n.Pos, f.rest()[0]))
	}
	var ok bool
	n.Value, ok = f.quoted()
	return n, ok
}

// plain reads an unquoted text. It ends at the end of its line, at `: `, at ` #` and at any of the characters ,[]{}.
func (f *flowReader) plain() (*Node, bool) {
	n := &Node{Kind: Scalar, Pos: f.pos()}
	rest := f.rest()
	end := flowTextEnd(rest)
	n.Value = strings.TrimRight(rest[:end], " \t")
	if n.Value == "" {
		return f.fail(Problem{Pos: n.Pos, What: "there is no key before this colon", Fix: "write a key, or quotes around a text that begins with a colon"})
	}
	if n.Value[0] == '=' && (openQuote(n.Value) || openBracket(n.Value) || end < len(rest) && strings.IndexByte(":[{", rest[end]) >= 0) {
		return f.fail(Problem{Pos: n.Pos, What: "this expression is not in quotes and ends at " + endMark(rest[end:]), Why: "in brackets, YAML ends an unquoted text there", Fix: "put the whole expression in quotes"})
	}
	if n.Value == "-" || strings.HasPrefix(n.Value, "- ") || n.Value[0] == '?' {
		return f.fail(Problem{Pos: n.Pos, What: fmt.Sprintf("an unquoted text in brackets begins with `%c`", n.Value[0]), Why: "some parsers would read it as a list or a complex key", Fix: "put quotes around a text; a list in brackets is written [a, b]"})
	}
	if p, bad := badStart(n.Pos, n.Value, "value"); bad {
		return f.fail(p)
	}
	f.off += len(n.Value)
	return n, true
}

func endMark(rest string) string {
	if rest == "" {
		return "the end of its line"
	}
	return fmt.Sprintf("`%c`", rest[0])
}

func flowTextEnd(text string) int {
	for i := range len(text) {
		switch c := text[i]; {
		case strings.IndexByte(",[]{}", c) >= 0,
			c == ':' && (i+1 == len(text) || strings.IndexByte(" \t,[]{}", text[i+1]) >= 0),
			c == '#' && i > 0 && isBlank(text[i-1]):
			return i
		}
	}
	return len(text)
}

// skip moves to the next character that is not a blank, across lines and comments. It returns false if the collection
// that began at start is not closed.
func (f *flowReader) skip(start Pos) bool {
	for {
		if !f.lineDone() {
			f.skipBlanks()
			return true
		}
		f.advance()
		if !f.ended() && (f.col > f.in.col || f.col >= 0 && f.col == f.in.col && closes(f.rest())) {
			continue
		}
		f.report(Problem{Pos: start, What: "this bracket is not closed", Why: "lines inside brackets must be indented more than their key", Fix: "close it, or put quotes around a text that begins with a bracket"})
		return false
	}
}

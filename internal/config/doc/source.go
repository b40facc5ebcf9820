package doc

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of one document. A file of ten thousand routes has about 500 KB.
const (
	// MaxBytes is the largest document that Parse reads.
	MaxBytes = 1 << 20
	// MaxDepth is how deeply lists and maps may be nested, in block and flow style together. It bounds the recursion of
	// everything that walks a tree.
	MaxDepth = 64
	// MaxProblems is the number of problems of one document after which Parse reports no more.
	MaxProblems = 100
)

// line is one line of a document without its line break.
type line struct {
	text  string
	start int // byte offset of the first character that is not a space or tab
	col   int // its column from 0; a tab, which is an error, counts as two spaces
	tab   bool
}

// empty reports whether the line has nothing but blanks and perhaps a comment.
func (l line) empty() bool { return l.start == len(l.text) || l.text[l.start] == '#' }

// blank reports whether the line has nothing but blanks.
func (l line) blank() bool { return l.start == len(l.text) }

// spaces counts the spaces at the beginning of the line, without tabs.
func (l line) spaces() int { return len(l.text) - len(strings.TrimLeft(l.text, " ")) }

// byteOrderMark is U+FEFF in UTF-8.
const byteOrderMark = "\ufeff"

// splitLines checks the bytes of a source and splits it into lines. It reports and replaces bytes that are not valid in
// a text, so that the rest can be read.
func (r *reader) splitLines(src []byte) {
	if bytes.HasPrefix(src, []byte(byteOrderMark)) {
		src = src[len(byteOrderMark):]
		r.report(Problem{
			Pos: Pos{File: r.file, Line: 1, Col: 1}, Severity: Warning, What: "the file begins with a byte order mark",
			Why: "UTF-8 needs none and other tools stumble over it", Fix: "`weir fmt` removes it",
		})
	}
	carriage := false
	for number := 1; len(src) > 0; number++ {
		line, rest, _ := bytes.Cut(src, []byte("\n"))
		src = rest
		raw := string(line) // a copy: keeping a value of it keeps one line in memory, not the document
		if strings.HasSuffix(raw, "\r") {
			raw = raw[:len(raw)-1]
			if !carriage {
				carriage = true
				r.report(Problem{
					Pos: Pos{File: r.file, Line: number, Col: utf8.RuneCountInString(raw) + 1}, Severity: Warning,
					What: "lines end with CR LF", Why: "line feeds alone are read the same everywhere", Fix: "`weir fmt` changes that",
				})
			}
		}
		r.lines = append(r.lines, measure(r.checkText(number, raw)))
	}
}

// measure finds where the content of a line begins.
func measure(text string) line {
	l := line{text: text}
	for l.start < len(text) {
		switch text[l.start] {
		case ' ':
			l.col++
		case '\t':
			l.col += 2
			l.tab = true
		default:
			return l
		}
		l.start++
	}
	return l
}

// checkText reports what a text may not contain: bytes that are not UTF-8, control characters, and invisible marks that
// make a line look like a different one.
func (r *reader) checkText(number int, text string) string {
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	clean := make([]rune, 0, len(text))
	for i, c := range text {
		if !unprintable(c) || properReplacement(text[i:]) {
			clean = append(clean, c)
			continue
		}
		r.report(describeUnprintable(Pos{File: r.file, Line: number, Col: len(clean) + 1}, text[i], c))
		clean = append(clean, utf8.RuneError)
	}
	return string(clean)
}

// properReplacement distinguishes a U+FFFD in the source from one that stands for an invalid byte.
func properReplacement(text string) bool { return strings.HasPrefix(text, string(utf8.RuneError)) }

// unprintable follows YAML 1.2 section 5.1 and adds the marks that change the direction of writing, which can hide text
// from a reader.
func unprintable(c rune) bool {
	switch {
	case c == '\t', c == '\u0085':
		return false
	case c < ' ', c >= 0x7f && c < 0xa0, c == utf8.RuneError, c == '\ufeff', c == '\ufffe', c == '\uffff':
		return true
	}
	return turnsDirection(c)
}

func turnsDirection(c rune) bool {
	return c >= '\u202a' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069'
}

func describeUnprintable(pos Pos, first byte, c rune) Problem {
	escape := "write it as an escape in double quotes if it is meant: "
	switch {
	case c == utf8.RuneError:
		return Problem{Pos: pos, What: fmt.Sprintf("the byte 0x%02X is not UTF-8", first), Fix: "save the file as UTF-8"}
	case c == 0:
		return Problem{Pos: pos, What: "there is a NUL byte here", Why: "text contains none", Fix: "save the file as UTF-8, not as UTF-16"}
	case turnsDirection(c):
		return Problem{
			Pos: pos, What: fmt.Sprintf("there is an invisible mark here that changes the text direction (U+%04X)", c),
			Why: "the line is not what it looks like", Fix: fmt.Sprintf("%s`\\u%04X`", escape, c),
		}
	default:
		return Problem{Pos: pos, What: fmt.Sprintf("the control character U+%04X is not allowed", c), Fix: fmt.Sprintf("%s`\\u%04X`", escape, c)}
	}
}

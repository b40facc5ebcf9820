package doc

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// textHead is the head of a block text: `|`, `>-`, `|2+`.
type textHead struct {
	folded bool
	chomp  byte // '+', '-' or 0
	indent int  // 0 if the first line determines it
}

// step is how far Format indents the text below its key.
func (h textHead) step() int {
	if h.indent > 0 {
		return h.indent
	}
	return indentStep
}

func readTextHead(rest string) (textHead, bool) {
	text := cutComment(rest)
	head := textHead{folded: text[0] == '>'}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case (c == '+' || c == '-') && head.chomp == 0:
			head.chomp = c
		case c >= '1' && c <= '9' && head.indent == 0:
			head.indent = int(c - '0')
		default:
			return head, false
		}
	}
	return head, true
}

// join returns the value of a block text with these lines.
func (h textHead) join(lines []string) string {
	end := len(lines)
	for end > 0 && lines[end-1] == "" {
		end--
	}
	var b strings.Builder
	if h.folded {
		fold(&b, lines[:end])
	} else {
		b.WriteString(strings.Join(lines[:end], "\n"))
	}
	if h.chomp != '-' && end > 0 {
		b.WriteByte('\n')
	}
	if h.chomp == '+' {
		b.WriteString(strings.Repeat("\n", len(lines)-end))
	}
	return b.String()
}

// fold joins lines with spaces. Empty lines stand for line breaks, and lines that begin with a blank keep the breaks
// around them.
func fold(b *strings.Builder, lines []string) {
	last := "" // the last line that was not empty
	empty := 0
	for i, l := range lines {
		if l == "" {
			empty++
			continue
		}
		switch {
		case last == "": // only empty lines before
			b.WriteString(strings.Repeat("\n", i))
		case isBlank(last[0]) || isBlank(l[0]):
			b.WriteString(strings.Repeat("\n", empty+1))
		case empty > 0:
			b.WriteString(strings.Repeat("\n", empty))
		default:
			b.WriteByte(' ')
		}
		b.WriteString(l)
		last, empty = l, 0
	}
}

// escapes are the characters of the one-letter escapes in double quotes (YAML 1.2 section 5.7).
var escapes = map[byte]rune{
	'0': 0, 'a': '\a', 'b': '\b', 't': '\t', '\t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', 'e': 0x1b,
	' ': ' ', '"': '"', '/': '/', '\\': '\\', 'N': 0x85, '_': 0xa0, 'L': 0x2028, 'P': 0x2029,
}

// unescape reads the inside of double quotes. If an escape is invalid, bad says why and at is its offset.
func unescape(s string) (text string, at int, bad string) {
	if !strings.Contains(s, `\`) {
		return s, 0, ""
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		c, size := escape(s[i:])
		if size == 0 {
			return "", i, fmt.Sprintf("%s is not an escape", shorten(s[i:min(i+2, len(s))]))
		}
		b.WriteRune(c)
		i += size
	}
	return b.String(), 0, ""
}

// escape reads the escape at the beginning of s. Its size is 0 if the escape is invalid.
func escape(s string) (c rune, size int) {
	letter := s[1] // quoteEnd allows no backslash at the end
	if c, ok := escapes[letter]; ok {
		return c, 2
	}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[letter]
	if digits == 0 || len(s) < 2+digits {
		return 0, 0
	}
	code, err := strconv.ParseUint(s[2:2+digits], 16, 32)
	if err != nil {
		return 0, 0
	}
	if letter == 'u' && code >= 0xd800 && code < 0xdc00 && len(s) >= 12 && strings.HasPrefix(s[6:], `\u`) {
		return surrogates(code, s)
	}
	if code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
		return 0, 0
	}
	return rune(code), 2 + digits
}

// surrogates reads `\uD83D\uDE00`, the form in which JSON encoders write a character above U+FFFF.
func surrogates(high uint64, s string) (c rune, size int) {
	low, err := strconv.ParseUint(s[8:12], 16, 32)
	if err != nil || low < 0xdc00 || low > 0xdfff {
		return 0, 0
	}
	return rune(0x10000 + (high-0xd800)<<10 + low - 0xdc00), 12
}

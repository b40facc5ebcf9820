package cli

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable makes s, which came from elsewhere, safe for a terminal: characters that could end the line, move the
// cursor, change colours or change the text direction are escaped as in Go. All output that this program has not
// written itself goes through it.
func printable(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+size]
		if hidden(c) || c == utf8.RuneError && size == 1 {
			quoted := strconv.Quote(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		b.WriteString(piece)
		i += size
	}
	return b.String()
}

// printableLines is printable for a text of several lines; it keeps the line breaks.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

func hidden(c rune) bool { return c != '\t' && !unicode.IsPrint(c) }

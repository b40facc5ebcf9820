package doc

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestExcerpt is the maximum number of runes of a line that Excerpt shows.
const longestExcerpt = 100

// Excerpt returns the line at pos with a caret below it at the column, for terminals:
//
//	12 | lisen: :8080
//	   | ^
//
// It is empty if src has no such line. Control characters are shown as `?`, so that a file cannot send control
// sequences to the terminal.
func Excerpt(src []byte, pos Pos) string {
	src = bytes.TrimPrefix(src, []byte(byteOrderMark))
	lines := bytes.Split(src, []byte("\n"))
	if pos.Line < 1 || pos.Line > len(lines) {
		return ""
	}
	runes := []rune(shownText(string(lines[pos.Line-1])))
	at := min(max(pos.Col-1, 0), len(runes))
	if from := at - longestExcerpt/2; from > 0 && len(runes) > longestExcerpt {
		runes, at = append([]rune("..."), runes[from:]...), at-from+len("...")
	}
	if len(runes) > longestExcerpt {
		runes = append(runes[:longestExcerpt:longestExcerpt], []rune("...")...)
	}
	number := fmt.Sprint(pos.Line)
	return fmt.Sprintf("%s | %s\n%s | %s^\n", number, string(runes), strings.Repeat(" ", len(number)), strings.Repeat(" ", caretColumn(runes[:at])))
}

func shownText(line string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case c == utf8.RuneError, unicode.IsControl(c), unprintable(c):
			return '?'
		}
		return c
	}, strings.TrimSuffix(line, "\r"))
}

// caretColumn counts the terminal cells that text takes. Wide characters of East Asian scripts take two.
func caretColumn(text []rune) int {
	cells := 0
	for _, c := range text {
		cells++
		switch {
		case unicode.In(c, unicode.Mn, unicode.Me):
			cells--
		case unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
			cells++
		}
	}
	return cells
}

package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// textStyle writes key=value, as the program's own log does.
type textStyle struct{}

func (textStyle) key(name string) string  { return name + "=" }
func (textStyle) begin(b []byte) []byte   { return b }
func (textStyle) between(b []byte) []byte { return append(b, ' ') }
func (textStyle) end(b []byte) []byte     { return append(b, '\n') }

func (textStyle) append(b []byte, v value) []byte {
	switch v.kind {
	case aNumber:
		return strconv.AppendInt(b, v.number, 10)
	case aDuration:
		const microseconds = 3
		return append(strconv.AppendFloat(b, float64(v.number)/float64(time.Millisecond), 'f', microseconds, 64), 'm', 's')
	case aTime:
		return appendTime(b, v.number)
	case anAddress:
		return v.addr.AppendTo(b)
	case aText:
		if plainText(v.text) {
			return append(b, v.text...)
		}
		return strconv.AppendQuote(b, v.text)
	case nothing:
	}
	return b
}

// plainText reports whether s needs no quotes: it is printable, and has no characters with a meaning in a line.
func plainText(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c <= ' ' || c == '"' || c == '=' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError || !unicode.IsPrint(r) || unicode.IsSpace(r) {
			return false
		}
		i += size
	}
	return s != ""
}

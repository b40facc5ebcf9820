package accesslog

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// jsonStyle writes one object per line.
type jsonStyle struct{}

func (s jsonStyle) key(name string) string { return string(appendJSON(nil, name)) + ":" }
func (jsonStyle) begin(b []byte) []byte    { return append(b, '{') }
func (jsonStyle) between(b []byte) []byte  { return append(b, ',') }
func (jsonStyle) end(b []byte) []byte      { return append(b, '}', '\n') }

func (jsonStyle) append(b []byte, v value) []byte {
	switch v.kind {
	case aNumber:
		return strconv.AppendInt(b, v.number, 10)
	case aDuration:
		const microseconds = 6
		return strconv.AppendFloat(b, time.Duration(v.number).Seconds(), 'f', microseconds, 64)
	case aTime:
		return append(appendTime(append(b, '"'), v.number), '"')
	case anAddress:
		return append(v.addr.AppendTo(append(b, '"')), '"')
	case aText:
		return appendJSON(b, v.text)
	case nothing:
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendJSON writes s as a JSON string (RFC 8259 section 7). It also escapes unprintable characters that JSON allows,
// so that a line may be shown on a terminal.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			i += size
			if unicode.IsPrint(r) {
				b = utf8.AppendRune(b, r) // also RuneError, which replaces invalid UTF-8
			} else {
				b = appendEscaped(b, r)
			}
		}
	}
	return append(b, '"')
}

// appendEscaped writes r as \uXXXX, or as two of these (a surrogate pair).
func appendEscaped(b []byte, r rune) []byte {
	const base, half, high, low = 0x10000, 10, 0xd800, 0xdc00
	if r >= base {
		r -= base
		b = appendEscaped(b, high+r>>half)
		r = low + r&(1<<half-1)
	}
	return append(b, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}

package httpx

import "strings"

// IsUnreserved reports whether c means the same encoded or not (RFC 3986 section 2.3).
func IsUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

func isLowerHex(c byte) bool { return 'a' <= c && c <= 'f' }

// Unhex reads two hexadecimal digits of s at i, and reports whether they are there.
func Unhex(s string, i int) (byte, bool) {
	if i+2 > len(s) {
		return 0, false
	}
	high, ok1 := hexDigit(s[i])
	low, ok2 := hexDigit(s[i+1])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Unescape decodes the percent-encodings in a piece of a path, once. A '+' stays a '+'. An invalid encoding, which a
// normalised path does not have, stays as it is. Unescape allocates only if there is something to decode.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	return unescape(s, false)
}

// unescape decodes s, and '+' as a blank if plus is set.
func unescape(s string, plus bool) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c, n := decodeAt(s, i, plus)
		b = append(b, c)
		i += n - 1
	}
	return string(b)
}

// decodeAt returns the character at s[i] and how many bytes it takes there.
func decodeAt(s string, i int, plus bool) (byte, int) {
	switch {
	case s[i] == '%':
		if c, ok := Unhex(s, i+1); ok {
			return c, 3
		}
	case s[i] == '+' && plus:
		return ' ', 1
	}
	return s[i], 1
}

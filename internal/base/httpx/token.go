package httpx

import "strings"

// IsToken reports whether s is a token of RFC 9110 section 5.6.2: the name of a method, a field and the like.
func IsToken(s string) bool {
	for i := range len(s) {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsTokenByte reports whether c may occur in a token.
func IsTokenByte(c byte) bool {
	alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return alphanumeric || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsFieldValue reports whether s may be a field's value: it has no control characters except tabs (RFC 9110 section
// 5.5).
func IsFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

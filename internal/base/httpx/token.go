package httpx

import "strings"

// IsToken holds for the token of RFC 9110 section 5.6.2: names of methods,
// fields and the like.
func IsToken(s string) bool {
	for i := range len(s) {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsTokenByte holds for the characters that tokens are made of.
func IsTokenByte(c byte) bool {
	alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return alphanumeric || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsFieldValue holds for what may stand in a field's value: no control
// characters but tabs (RFC 9110 section 5.5).
func IsFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

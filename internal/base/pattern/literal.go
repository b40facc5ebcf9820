package pattern

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// NormalizeLiteral converts the literal text of one segment of a pattern to the form of normalised request paths, so
// that both can be compared as bytes. It decodes percent-encoded unreserved characters, makes the digits of every other
// encoding upper case, and percent-encodes what may not appear in a path as it is (blanks, quotes, everything beyond
// ASCII) (RFC 3986 sections 2.3, 3.3 and 6.2.2). Reserved characters stay as they were written: "%3A" and ":" are
// different paths.
func NormalizeLiteral(text string) (string, *Error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '%':
			decoded, ok := httpx.Unhex(text, i+1)
			if !ok {
				return "", &Error{i, "a % that is not followed by two hexadecimal digits", "write %25 for the character itself"}
			}
			if err := writeEscaped(&b, decoded, i); err != nil {
				return "", err
			}
			i += 2
		case c == '*':
			return "", &Error{i, "a * has no meaning inside a segment", "write /** at the end for everything below, {name} for one segment, or %2A for the character itself"}
		case c == '?' || c == '#':
			return "", &Error{i, fmt.Sprintf("a path has no %c: the query and the fragment are not part of it", c), "match on the query under match:, or write the encoded character"}
		case c == '\\':
			return "", &Error{i, `a \ in a path is ambiguous, so no route sees one`, "write a slash"}
		case c < ' ' || c == 0x7f:
			return "", &Error{i, "a control character in the path", "remove it"}
		case isPathChar(c):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), nil
}

// writeEscaped writes the character that was percent-encoded at offset i.
func writeEscaped(b *strings.Builder, decoded byte, i int) *Error {
	switch {
	case decoded == 0:
		return &Error{i, "%00 in a path is always refused", "remove it"}
	case httpx.IsUnreserved(decoded):
		b.WriteByte(decoded)
	default:
		fmt.Fprintf(b, "%%%02X", decoded)
	}
	return nil
}

// isPathChar reports whether c may appear in a segment unencoded (RFC 3986 section 3.3).
func isPathChar(c byte) bool {
	return httpx.IsUnreserved(c) || strings.IndexByte("!$&'()*+,;=:@", c) >= 0
}

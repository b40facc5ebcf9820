package http1

// The classes of bytes that the grammar knows; one byte may be in several.
const (
	tchar     uint16 = 1 << iota // RFC 9110 section 5.6.2: what tokens are made of
	nameOther                    // a tchar that is neither a letter, a digit nor '-'
	fieldByte                    // RFC 9110 section 5.5: HTAB, SP, VCHAR and obs-text
	pathByte                     // RFC 3986 pchar and '/', and what browsers leave raw: | [ ]
	queryByte                    // the same, '?', and what browsers leave raw: \ ^ ` { }
	hostByte                     // RFC 3986 unreserved: what registered names are made of in practice
	hexDigit
	quotedByte // RFC 9110 section 5.6.4 qdtext without obs-text
	plainByte  // what net/url writes in a path as it is
	firstByte  // pathByte, except '%': what a path is mostly made of
)

const (
	letters   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits    = "0123456789"
	subDelims = "!$&'()*+,;="
)

// classes holds the classes of each byte.
var classes = classify()

func classify() (table [256]uint16) {
	mark := func(class uint16, members string) {
		for i := range len(members) {
			table[members[i]] |= class
		}
	}
	mark(tchar, letters+digits+"!#$%&'*+-.^_`|~")
	mark(nameOther, "!#$%&'*+.^_`|~")
	mark(pathByte, letters+digits+"-._~"+subDelims+":@/%|[]")
	mark(queryByte, letters+digits+"-._~"+subDelims+":@/%|[]?\\^`{}")
	mark(hostByte, letters+digits+"-._~")
	mark(plainByte, letters+digits+"-._~/$&+,:;=@")
	mark(firstByte, letters+digits+"-._~"+subDelims+":@/|[]")
	mark(hexDigit, digits+"abcdefABCDEF")
	for c := ' '; c <= 0xff; c++ {
		if c != 0x7f {
			table[c] |= fieldByte
		}
		if c < 0x7f && c != '"' && c != '\\' {
			table[c] |= quotedByte
		}
	}
	mark(fieldByte|quotedByte, "\t")
	return table
}

// all reports whether every byte of b is of the class.
func all(b []byte, class uint16) bool {
	for _, c := range b {
		if classes[c]&class == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether b is an RFC 9110 token, which is never empty.
func isToken(b []byte) bool { return len(b) > 0 && all(b, tchar) }

// lower returns the lower case of an ASCII letter, and every other byte as it is.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// equalFold reports whether b is the lower-case ASCII text want, in any case.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if lower(c) != want[i] {
			return false
		}
	}
	return true
}

// equalFoldBytes reports whether a and b are the same except for the case of ASCII letters.
func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if lower(c) != lower(b[i]) {
			return false
		}
	}
	return true
}

// trimOWS removes optional white space (SP, HTAB) from both ends.
func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

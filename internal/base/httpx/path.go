package httpx

import (
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Path is a request's path in the one form that is matched, authorized and
// forwarded.
type Path struct {
	// Text begins with a slash and is still percent-encoded where necessary. It has no empty segment except possibly
	// the last one, no dot segment in any spelling, no backslash, no encoded control character and only valid UTF-8.
	Text string
	// EncodedSlash means that Text holds a separator that servers disagree on: an encoded slash or backslash (%2F, %5C,
	// or encoded twice as %252F), or the ';' of a path parameter, which Java servers cut off before they match
	// ("/admin;x" is "/admin" to them). The path must be refused unless the route opted in.
	EncodedSlash bool
}

// NormalizePath converts the path of a request target (without query) into its one form. It refuses some paths with a
// *fault.Fault of kind MalformedRequest or AmbiguousPath whose Detail names the offending part. An empty path is "/"
// (RFC 9110 section 4.2.3). NormalizePath allocates nothing if raw is already normal.
//
// Some things are repaired, because clients send them without meaning harm, and the backend sees the repaired form:
// percent-encoded unreserved characters are decoded and the digits of all other encodings made upper case (RFC 3986
// section 6.2.2), characters that may not occur in a path are encoded, and consecutive slashes, the mark of a base URL
// joined carelessly, become one.
//
// Other things are refused, because two servers may read them as two different paths: backslashes; encoded control
// characters; percent signs that would decode a second time; invalid or overlong UTF-8; and dot segments. Browsers and
// curl resolve dot segments before they send a request, so that any left are someone probing. They are refused in every
// spelling: with encoded dots, next to an encoded slash, or with a parameter ("..;x").
func NormalizePath(raw string) (Path, error) {
	if raw != "" && normalUntil(raw) == len(raw) {
		return Path{Text: raw}, nil
	}
	return normalizePath(raw)
}

// NormalizeTarget is NormalizePath for the path of a request target. It also returns the query that follows the path,
// without its '?'.
func NormalizeTarget(target string) (path Path, query string, err error) {
	if end := normalUntil(target); end > 0 {
		if end == len(target) {
			return Path{Text: target}, "", nil
		}
		if target[end] == '?' {
			return Path{Text: target[:end]}, target[end+1:], nil
		}
	}
	raw, query, _ := strings.Cut(target, "?")
	path, err = normalizePath(raw)
	return path, query, err
}

// normalUntil returns the length of the prefix of a target that is evidently a normal path: without encodings,
// parameters, and segments that are empty or begin with a dot. For almost all targets that is the whole path.
func normalUntil(target string) int {
	if target == "" || target[0] != '/' {
		return 0
	}
	for i := range len(target) {
		if classes[target[i]] != plain { // as in usualName
			if target[i] != '/' || i+1 < len(target) && (target[i+1] == '/' || target[i+1] == '.') {
				return i
			}
		}
	}
	return len(target)
}

// normalizePath is NormalizePath for any path.
func normalizePath(raw string) (Path, error) {
	switch {
	case raw == "":
		return Path{Text: "/"}, nil
	case raw[0] != '/':
		return Path{}, fault.MalformedRequest.New("The path does not begin with a slash.")
	}
	s := scan(raw)
	text := raw
	if s.fault == nil && s.rewrite {
		text = rewrite(raw)
		s = scan(text)
	}
	if s.fault != nil {
		return Path{}, s.fault
	}
	return Path{Text: text, EncodedSlash: s.hidden}, nil
}

// class is what one byte means in a path.
type class uint8

const (
	encode    class = iota // may not occur in a path as it is, but its encoding may
	plain                  // pchar of RFC 3986 section 3.3, except ';' and '%'
	slash                  // ends a segment
	semicolon              // begins a parameter
	percent                // begins an encoding
	refused                // blanks, controls, '?' and '#': not part of any path
	backslash              // some servers read it as a slash
)

// classes is read-only.
var classes = makeClasses()

func makeClasses() (table [256]class) {
	for c := range table {
		switch b := byte(c); {
		case IsUnreserved(b) || strings.IndexByte("!$&'()*+,=:@", b) >= 0:
			table[c] = plain
		case b <= ' ' || b == 0x7f || b == '?' || b == '#':
			table[c] = refused
		}
	}
	table['/'], table[';'], table['%'], table['\\'] = slash, semicolon, percent, backslash
	return table
}

// scanner is one pass over a path: it refuses the path, or determines whether it is in its normal form.
type scanner struct {
	path    string
	start   int // of the current segment; encoded slashes begin one too
	name    int // where that segment's name ends before a ';', -1 while there is none
	hidden  bool
	rewrite bool
	fault   *fault.Fault
}

func scan(path string) scanner {
	s := scanner{path: path, start: 1, name: -1}
	for i := 1; i < len(path); {
		n := 1
		switch classes[path[i]] {
		case plain:
		case slash:
			s.rewrite = s.rewrite || path[i-1] == '/'
			s.endSegment(i, i+1)
		case percent:
			n = s.escape(i)
		case semicolon:
			s.parameter(i)
		case encode:
			s.rewrite = true
		case backslash:
			s.fail(fault.AmbiguousPath, "A backslash in the path is ambiguous.")
		case refused:
			s.fail(fault.MalformedRequest, "The path holds a character that must be percent-encoded there.")
		}
		if s.fault != nil {
			return s
		}
		i += n
	}
	s.endSegment(len(path), len(path))
	return s
}

func (s *scanner) fail(kind fault.Kind, detail string) { s.fault = kind.New(detail) }

// parameter notes a ';' at i.
func (s *scanner) parameter(i int) {
	s.hidden = true
	if s.name < 0 {
		s.name = i
	}
}

// endSegment checks the segment that ends before i; the next one begins at next.
func (s *scanner) endSegment(i, next int) {
	end := i
	if s.name >= 0 {
		end = s.name
	}
	switch name := s.path[s.start:end]; {
	case name == "." || name == "..":
		s.fail(fault.AmbiguousPath, "The path holds the dot segment \""+s.path[s.start:i]+"\"; send the path that is meant.")
	case name == "" && s.name >= 0:
		s.fail(fault.AmbiguousPath, "A segment of the path begins with ';'.")
	}
	s.start, s.name = next, -1
}

// escape checks the percent-encoding at i and returns its length.
func (s *scanner) escape(i int) int {
	c, ok := Unhex(s.path, i+1)
	if !ok {
		s.fail(fault.MalformedRequest, "The path holds a '%' that two hexadecimal digits do not follow.")
		return 1
	}
	if isLowerHex(s.path[i+1]) || isLowerHex(s.path[i+2]) || IsUnreserved(c) {
		s.rewrite = true
	}
	switch {
	case c < ' ' || c == 0x7f:
		s.fail(fault.AmbiguousPath, "The path holds the encoded control character "+s.path[i:i+3]+".")
	case c == '/' || c == '\\':
		s.hidden = true
		s.endSegment(i, i+3)
	case c == ';':
		s.parameter(i)
	case c == '%':
		return s.double(i)
	case c >= utf8.RuneSelf:
		return s.character(i)
	}
	return 3
}

// double checks an encoded percent sign at i: a server that decodes twice must not find another path behind it. A slash
// is the only character that people encode twice on purpose, because their server decodes once too often.
func (s *scanner) double(i int) int {
	switch c, ok := Unhex(s.path, i+3); {
	case !ok:
		return 3
	case c == '/' || c == '\\':
		s.hidden = true
		s.endSegment(i, i+5)
	default:
		s.fail(fault.AmbiguousPath, "The path is percent-encoded twice at "+s.path[i:i+5]+".")
	}
	return 5
}

// character checks the encoded non-ASCII bytes that begin at i: together they must be one character of valid UTF-8, in
// its shortest form (RFC 3629 section 3).
func (s *scanner) character(i int) int {
	var buf [utf8.UTFMax]byte
	n := 0
	for at := i; n < len(buf) && at < len(s.path) && s.path[at] == '%'; at += 3 {
		c, ok := Unhex(s.path, at+1)
		if !ok {
			break
		}
		s.rewrite = s.rewrite || isLowerHex(s.path[at+1]) || isLowerHex(s.path[at+2])
		buf[n] = c
		n++
	}
	r, size := utf8.DecodeRune(buf[:n])
	if r == utf8.RuneError && size <= 1 {
		s.fail(fault.AmbiguousPath, "The path is not valid UTF-8 at "+s.path[i:i+3]+".")
		return 3
	}
	return 3 * size
}

// rewrite repairs what may be repaired in a path whose encodings are complete.
func rewrite(path string) string {
	b := make([]byte, 0, len(path)+16)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch classes[c] {
		case slash:
			if i == 0 || path[i-1] != '/' {
				b = append(b, c)
			}
		case percent:
			c, _ = Unhex(path, i+1)
			b = appendEscaped(b, c)
			i += 2
		case encode:
			b = appendEscaped(b, c)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// appendEscaped appends c, percent-encoded unless it is unreserved.
func appendEscaped(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	if IsUnreserved(c) {
		return append(b, c)
	}
	return append(b, '%', digits[c>>4], digits[c&0xf])
}

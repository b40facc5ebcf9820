package sigv4

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// canonical returns the text of r that is signed (AWS, "Create a signed AWS API request"): method, path, query, the
// signed header fields and the body's digest.
func (s *signature) canonical(r Request, digest string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	b.WriteString(canonicalPath(r.Path) + "\n")
	b.WriteString(canonicalQuery(r.Query, s.presigned) + "\n")
	for _, name := range s.headers {
		value, _ := field(r, name)
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + digest)
	return b.String()
}

// canonicalPath encodes a path again that is already encoded, as every service except S3 requires.
func canonicalPath(path string) string {
	if path == "" {
		return "/"
	}
	return encode(path, '/')
}

// canonicalQuery sorts the parameters, each encoded in the only permitted way.
func canonicalQuery(raw string, presigned bool) string {
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = encode(decode(name), 0), encode(decode(value), 0)
		if presigned && name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{name, value})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	list := make([]string, len(pairs))
	for i, p := range pairs {
		list[i] = p[0] + "=" + p[1]
	}
	return strings.Join(list, "&")
}

// decode decodes a piece of a query, where '+' is a blank.
func decode(s string) string { return httpx.Unescape(strings.ReplaceAll(s, "+", " ")) }

// encode percent-encodes everything except the unreserved characters of RFC 3986, and keep.
func encode(s string, keep byte) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; httpx.IsUnreserved(c) || c == keep && keep != 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&0xf])
		}
	}
	return b.String()
}

// field returns the value of a signed header field: all of its lines, joined, without unnecessary blanks.
func field(r Request, name string) (value string, there bool) {
	values := r.Head.Values(name)
	switch {
	case name == "host":
		return r.Host, r.Host != ""
	case name == "content-length" && len(values) == 0 && r.Length >= 0: // a server may have removed it
		return strconv.FormatInt(r.Length, 10), true
	case len(values) == 0:
		return "", false
	case len(values) == 1:
		return squeeze(values[0]), true
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = squeeze(v)
	}
	return strings.Join(list, ","), true
}

// squeeze removes blanks from both ends, and replaces several consecutive ones by one.
func squeeze(v string) string {
	if !strings.Contains(v, "  ") && !strings.ContainsRune(v, '\t') {
		return strings.Trim(v, " ")
	}
	return strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' || c == '\t' }), " ")
}

// Package pattern is the grammar of the paths and hosts that routes match, and that listeners and groups are bounded
// by. All code that parses, compares or serves a pattern uses this package, so that all of it means the same requests.
//
//   - path.go: paths; literal.go: their text in the form of normalised requests.
//   - host.go: hosts.
package pattern

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Path is a parsed path pattern of Weir's grammar. It is a list of segments, the parts between the slashes:
//
//	/orders/{id}        a literal and a parameter
//	/files/{name}.json  a literal, and a parameter with a literal suffix
//	/orders/{id}:cancel the same with another suffix
//	/v/pre-{id}         a parameter with a literal prefix
//	/files/{path...}    everything below /files, and /files itself, by name
//	/files/**           the same without a name
//
// A normalised path "/a/b" has the segments "a" and "b", "/" has one empty segment, and "/a/" has "a" and an empty one.
// So a trailing slash matters, in the path and in the pattern: a pattern that ends in a slash ends in an empty Literal
// segment. No other segment is ever empty.
type Path struct {
	// Segments has at least one element. Only the last one may be a Rest.
	Segments []Segment
}

// SegmentKind is how a segment of a pattern matches. The order is the order of precedence: a smaller kind is more
// specific.
type SegmentKind uint8

// The kinds of segments.
const (
	// Literal matches the segment that equals Prefix, byte by byte.
	Literal SegmentKind = iota
	// Mixed matches a segment that begins with Prefix and ends with Suffix, with at least one byte between them. Prefix
	// and Suffix are not both empty.
	Mixed
	// Param matches any one segment that is not empty.
	Param
	// Rest matches all remaining segments, or none at all: /x/** covers /x, /x/ and /x/y/z. It is always the last
	// segment.
	Rest
)

// Segment is what one segment of a path must look like. Prefix and Suffix are in the form of normalised request paths
// (see NormalizeLiteral), so that they can be compared with the path's bytes.
type Segment struct {
	Kind   SegmentKind
	Prefix string // the whole text of a Literal; the text before a Mixed's parameter
	Suffix string // the text after a Mixed's parameter
	// Name is the name under which the value is captured; "" for a Literal and for `**`.
	Name string
}

// Error is a mistake in a path or host pattern.
type Error struct {
	Offset int    // position in the pattern, in bytes
	Text   string // what is wrong
	Fix    string // what to write instead; may be empty
}

func (e *Error) Error() string {
	if e.Fix == "" {
		return e.Text
	}
	return e.Text + "; " + e.Fix
}

// ParsePath parses a path pattern. Errors are *Error.
func ParsePath(text string) (Path, error) {
	if !strings.HasPrefix(text, "/") {
		return Path{}, &Error{0, fmt.Sprintf("the path %q does not begin with a slash", text), fmt.Sprintf("write %q", "/"+text)}
	}
	var p Path
	seen := map[string]bool{}
	offset := 1
	for part := range strings.SplitSeq(text[1:], "/") {
		last := offset+len(part) == len(text)
		s, err := parseSegment(part, offset)
		if err != nil {
			return Path{}, err
		}
		if err := checkSegment(s, part, offset, last, seen); err != nil {
			return Path{}, err
		}
		p.Segments = append(p.Segments, s)
		offset += len(part) + 1
	}
	return p, nil
}

// checkSegment enforces the rules that concern more than one segment.
func checkSegment(s Segment, part string, offset int, last bool, seen map[string]bool) error {
	switch {
	case part == "" && !last:
		return &Error{offset, "the path has an empty segment (two slashes in a row)", "write one slash"}
	case s.Kind == Rest && !last:
		return &Error{offset, fmt.Sprintf("%s stands for everything that is left, so nothing can follow it", part), "move it to the end, or use {name} for one segment"}
	case s.Name != "" && seen[s.Name]:
		return &Error{offset, fmt.Sprintf("the parameter {%s} stands twice in the path", s.Name), "give each its own name"}
	}
	if s.Name != "" {
		seen[s.Name] = true
	}
	return nil
}

// parseSegment parses the text between two slashes, which begins at offset.
func parseSegment(part string, offset int) (Segment, error) {
	if part == "**" {
		return Segment{Kind: Rest}, nil
	}
	open := strings.IndexAny(part, "{}")
	if open < 0 {
		return literalSegment(part, offset)
	}
	if part[open] == '}' {
		return Segment{}, &Error{offset + open, "a } without a { before it", "write {name}, or %7D for the character itself"}
	}
	length := strings.IndexByte(part[open:], '}')
	if length < 0 {
		return Segment{}, &Error{offset + open, "a { without a } in the same segment", "write {name}, or %7B for the character itself"}
	}
	prefix, inner, suffix := part[:open], part[open+1:open+length], part[open+length+1:]
	if i := strings.IndexAny(suffix, "{}"); i >= 0 {
		return Segment{}, &Error{offset + open + length + 1 + i, fmt.Sprintf("the segment %q has more than one parameter", part), "a segment holds one; take it as one {name} and take it apart in the backend"}
	}
	return paramSegment(prefix, inner, suffix, offset)
}

func literalSegment(part string, offset int) (Segment, error) {
	text, err := NormalizeLiteral(part)
	if err != nil {
		return Segment{}, err.at(offset)
	}
	if text == "." || text == ".." {
		return Segment{}, &Error{offset, fmt.Sprintf("the segment %q never reaches a route: dot segments are refused", part), "write the path without it"}
	}
	if err := reachable(text, part, offset); err != nil {
		return Segment{}, err
	}
	return Segment{Kind: Literal, Prefix: text}, nil
}

// paramSegment makes the segment `prefix{inner}suffix`.
func paramSegment(prefix, inner, suffix string, offset int) (Segment, error) {
	name, rest := strings.CutSuffix(inner, "...")
	at := offset + len(prefix) + 1
	if !IsName(name) {
		return Segment{}, &Error{at, fmt.Sprintf("{%s} is no name of a parameter", inner), "a name is letters, digits and _, and does not begin with a digit, as {order_id}"}
	}
	if rest {
		if prefix != "" || suffix != "" {
			return Segment{}, &Error{offset, fmt.Sprintf("{%s...} stands for whole segments, so nothing can stand beside it", name), fmt.Sprintf("write /{%s...} alone", name)}
		}
		return Segment{Kind: Rest, Name: name}, nil
	}
	before, err := NormalizeLiteral(prefix)
	if err != nil {
		return Segment{}, err.at(offset)
	}
	after, err := NormalizeLiteral(suffix)
	if err != nil {
		return Segment{}, err.at(at + len(inner) + 1)
	}
	if err := reachable(before+"x"+after, prefix+"{"+inner+"}"+suffix, offset); err != nil {
		return Segment{}, err
	}
	kind := Mixed
	if before == "" && after == "" {
		kind = Param
	}
	return Segment{Kind: kind, Prefix: before, Suffix: after, Name: name}, nil
}

// reachable refuses a segment that no normalised path can contain, such as invalid UTF-8.
func reachable(text, part string, offset int) error {
	if _, err := httpx.NormalizePath("/" + text); err != nil {
		why := err.Error()
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			why = f.Detail
		}
		return &Error{offset, fmt.Sprintf("no request reaches a route with the segment %q: %s", part, why), "write the path in its plain form"}
	}
	return nil
}

func (e *Error) at(offset int) *Error {
	moved := *e
	moved.Offset += offset
	return &moved
}

// IsName reports whether s can name a parameter: [A-Za-z_][A-Za-z0-9_]*.
func IsName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Names returns the names of the parameters in the order of the pattern.
func (p Path) Names() []string {
	var names []string
	for _, s := range p.Segments {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// Rest returns the last segment and true if it is a Rest.
func (p Path) Rest() (Segment, bool) {
	if n := len(p.Segments); n > 0 && p.Segments[n-1].Kind == Rest {
		return p.Segments[n-1], true
	}
	return Segment{}, false
}

// String returns the pattern in its normalised form, which parses to the same pattern.
func (p Path) String() string {
	return p.write(func(s Segment) string {
		switch {
		case s.Kind == Rest && s.Name != "":
			return "{" + s.Name + "...}"
		case s.Kind == Rest:
			return "**"
		default:
			return "{" + s.Name + "}"
		}
	})
}

// Shape is the pattern without its names: two patterns match the same paths exactly when their shapes are equal.
func (p Path) Shape() string {
	return p.write(func(s Segment) string {
		if s.Kind == Rest {
			return "**"
		}
		return "{}"
	})
}

func (p Path) write(param func(Segment) string) string {
	var b strings.Builder
	for _, s := range p.Segments {
		b.WriteByte('/')
		b.WriteString(s.Prefix)
		if s.Kind != Literal {
			b.WriteString(param(s))
		}
		b.WriteString(s.Suffix)
	}
	return b.String()
}

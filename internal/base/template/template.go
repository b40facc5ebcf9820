// Package template makes paths from what a route captured: the path that the gateway sends to a backend, or the path
// that it sends a client to.
//
//	/internal/{id}.json   {id} is inserted as one segment, whatever is in it
//	/internal/**          ** is the unnamed rest, with its segments as they came
//	/internal/{path...}   the same for a rest with a name
//
// The resulting path is in the form that httpx.NormalizePath returns, or it is refused: no value of a parameter can
// leave its segment.
package template

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Rest is the name under which a route keeps what `**` or a prefix matched: still encoded, without a leading slash.
const Rest = "**"

// Path is a parsed template. It is immutable. The zero value makes "/".
type Path struct {
	parts []part
}

// part is literal text, or a parameter if name is not empty.
type part struct {
	literal string
	name    string
	rest    bool // insert it unchanged, with its slashes
}

// Error is a mistake in a template.
type Error struct {
	Offset int    // position in bytes
	Text   string // what is wrong
	Fix    string // what to do; may be empty
}

func (e *Error) Error() string {
	if e.Fix == "" {
		return e.Text
	}
	return e.Text + "; " + e.Fix
}

// Parse parses a template. The error is an *Error.
func Parse(text string) (Path, error) {
	if !strings.HasPrefix(text, "/") {
		return Path{}, &Error{0, fmt.Sprintf("the path %q does not begin with a slash", text), fmt.Sprintf("write %q", "/"+text)}
	}
	var p Path
	for at := 0; at < len(text); {
		next, n, err := parsePart(text, at)
		if err != nil {
			return Path{}, err
		}
		p.parts = append(p.parts, next)
		at += n
	}
	// Any value shows whether the text around it makes a valid path.
	sample, err := p.make(func(string) (string, bool) { return "x", true })
	if err != nil {
		return Path{}, &Error{0, detail(err), "write the path in its plain form"}
	}
	if p.Constant() {
		p.parts = []part{{literal: sample}}
	}
	return p, nil
}

// parsePart reads the literal, parameter or rest at text[at:], and returns its length.
func parsePart(text string, at int) (part, int, error) {
	switch rest := text[at:]; {
	case rest == Rest && text[at-1] == '/':
		return part{name: Rest, rest: true}, len(Rest), nil
	case rest[0] == '{':
		return parseParam(text, at)
	}
	end := strings.IndexAny(text[at:], "{}*?#")
	if end < 0 {
		return part{literal: text[at:]}, len(text) - at, nil
	}
	if end > 0 {
		return part{literal: text[at : at+end]}, end, nil
	}
	switch text[at] {
	case '}':
		return part{}, 0, &Error{at, "a } without a { before it", "write {name}, or %7D for the character itself"}
	case '*':
		return part{}, 0, &Error{at, "a * has no meaning here", "write /** at the end for the rest, or %2A for the character itself"}
	default:
		return part{}, 0, &Error{at, fmt.Sprintf("a path has no %c", text[at]), "the client's query is kept; write the path alone"}
	}
}

func parseParam(text string, at int) (part, int, error) {
	length := strings.IndexAny(text[at:], "}/")
	if length < 0 || text[at+length] == '/' {
		return part{}, 0, &Error{at, "a { without a } in the same segment", "write {name}, or %7B for the character itself"}
	}
	name, rest := strings.CutSuffix(text[at+1:at+length], "...")
	switch {
	case !isName(name):
		return part{}, 0, &Error{at, fmt.Sprintf("{%s} is no name of a parameter", name), "a name is letters, digits and _, as {order_id}"}
	case rest && (text[at-1] != '/' || at+length+1 != len(text)):
		return part{}, 0, &Error{at, fmt.Sprintf("{%s...} stands for whole segments at the end", name), "write it as the last segment, alone"}
	}
	return part{name: name, rest: rest}, length + 1, nil
}

// isName reports whether s matches [A-Za-z_][A-Za-z0-9_]*, as in a route's pattern.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// Constant reports whether the path is the same for every request.
func (p Path) Constant() bool {
	for _, part := range p.parts {
		if part.name != "" {
			return false
		}
	}
	return true
}

// Names lists the parameters that the template inserts, with Rest for `**`.
func (p Path) Names() []string {
	var names []string
	for _, part := range p.parts {
		if part.name != "" {
			names = append(names, part.name)
		}
	}
	return names
}

// Expand makes the normalised path for an exchange. If a value is not a single segment (".", "..") or not a valid one
// at all, the error is a *fault.Fault of kind AmbiguousPath. If the route did not capture a parameter, it is of kind
// RouteBroken.
func (p Path) Expand(x *exchange.Exchange) (string, error) {
	switch {
	case len(p.parts) == 0:
		return "/", nil
	case len(p.parts) == 1: // the first part is never a parameter
		return p.parts[0].literal, nil
	}
	path, err := p.make(x.Params.Get)
	if err != nil {
		return "", err
	}
	if last := p.parts[len(p.parts)-1]; last.rest {
		if rest, _ := x.Params.Get(last.name); rest == "" && !strings.HasSuffix(x.Path, "/") {
			path = withoutSlash(path) // /x/** matched /x itself
		}
	}
	return path, nil
}

// Make makes the path. value returns the value for each of Names, which is inserted as one segment; that of a rest is
// inserted unchanged. Errors are those of Expand, and those of value.
func (p Path) Make(value func(name string) (string, error)) (string, error) {
	switch {
	case len(p.parts) == 0:
		return "/", nil
	case len(p.parts) == 1: // the first part is never a parameter
		return p.parts[0].literal, nil
	}
	var failure error
	path, err := p.make(func(name string) (string, bool) {
		text, err := value(name)
		if failure == nil {
			failure = err
		}
		return text, true
	})
	if failure != nil {
		return "", failure
	}
	return path, err
}

func withoutSlash(path string) string {
	if len(path) > 1 {
		return strings.TrimSuffix(path, "/")
	}
	return path
}

// make inserts the values and normalises the result.
func (p Path) make(value func(name string) (string, bool)) (string, error) {
	b := make([]byte, 0, 128)
	for _, part := range p.parts {
		if part.name == "" {
			b = append(b, part.literal...)
			continue
		}
		v, ok := value(part.name)
		switch {
		case !ok:
			return "", fault.RouteBroken.New("", fault.Internal("the route captures no {%s}, which its path template needs", part.name))
		case part.rest:
			b = append(b, v...)
		default:
			b = appendSegment(b, v)
		}
	}
	return normal(string(b))
}

func normal(path string) (string, error) {
	p, err := httpx.NormalizePath(path)
	if err != nil {
		return "", fault.AmbiguousPath.New("A part of the path cannot be sent on: "+detail(err), fault.Cause(err))
	}
	return p.Text, nil
}

func detail(err error) string {
	if f := fault.From(err); f.Detail != "" {
		return f.Detail
	}
	return err.Error()
}

// appendSegment encodes s so that it stays within one segment. It encodes everything except pchar (RFC 3986 section
// 3.3), and also ';', at which some servers cut a segment.
func appendSegment(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; isSegmentChar(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&0xF])
		}
	}
	return b
}

func isSegmentChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,=:@", c) >= 0
}

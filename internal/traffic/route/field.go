package route

import (
	"fmt"
	"net/http"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
)

type fieldKind uint8

const (
	header fieldKind = iota
	query
	cookie
)

func (k fieldKind) String() string { return [...]string{"header", "query", "cookie"}[k] }

// field is a compiled config.FieldMatch. A missing field satisfies no condition,
// not even one that asks for an empty value.
type field struct {
	kind  fieldKind
	name  string // header names in canonical form
	value string
	regex *regexp.Regexp // nil: the value must equal value
}

func compileFields(matches []config.FieldMatch, kind fieldKind) ([]field, error) {
	var fields []field
	for _, m := range matches {
		f := field{kind: kind, name: m.Name, value: m.Value}
		if kind == header {
			f.name = textproto.CanonicalMIMEHeaderKey(m.Name)
		}
		if m.Regex {
			regex, err := regexp.Compile(`\A(?:` + m.Value + `)\z`)
			if err != nil {
				return nil, fmt.Errorf("the %s %s: %q is no regular expression: %w", kind, m.Name, m.Value, err)
			}
			f.regex = regex
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// key returns equal texts for conditions that hold for the same requests.
func (f *field) key() string {
	return fmt.Sprintf("%s %q %q %t", f.kind, f.name, f.value, f.regex != nil)
}

func (f *field) holds(r *http.Request) bool {
	if r == nil {
		return false
	}
	if f.kind == header && f.name != "Host" {
		return f.headerHolds(exchange.RequestHead(r).Values(f.name))
	}
	value, ok := f.find(r)
	return ok && f.fits(value)
}

// headerHolds compares the combined value of a field's lines (RFC 9110 section
// 5.3). It avoids combining them where it can.
func (f *field) headerHolds(lines []string) bool {
	switch {
	case len(lines) == 0:
		return false
	case len(lines) == 1:
		return f.fits(lines[0])
	case f.regex == nil:
		return equalsJoined(lines, f.value)
	default:
		return f.fits(strings.Join(lines, ", "))
	}
}

func (f *field) fits(value string) bool {
	if f.regex != nil {
		return f.regex.MatchString(value)
	}
	return f.value == value
}

// equalsJoined reports whether lines, joined by ", ", equal want.
func equalsJoined(lines []string, want string) bool {
	for i, line := range lines {
		if i > 0 {
			var ok bool
			if want, ok = strings.CutPrefix(want, ", "); !ok {
				return false
			}
		}
		var ok bool
		if want, ok = strings.CutPrefix(want, line); !ok {
			return false
		}
	}
	return want == ""
}

// find returns the value of the field in r. For a query parameter or a cookie it
// returns the first value.
func (f *field) find(r *http.Request) (string, bool) {
	switch {
	case f.kind == query:
		return httpx.QueryLookup(r.URL.RawQuery, f.name)
	case f.kind == header && f.name == "Host": // servers move it out of the header
		return r.Host, r.Host != ""
	case f.kind == header:
		lines := exchange.RequestHead(r).Values(f.name)
		return strings.Join(lines, ", "), len(lines) > 0
	}
	for _, line := range exchange.RequestHead(r).Values("Cookie") {
		if value, ok := httpx.CookieLookup(line, f.name); ok {
			return value, true
		}
	}
	return "", false
}

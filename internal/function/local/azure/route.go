package azure

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// route is a template as in ASP.NET Core: literals, {name}, {name?}, {name=default} and {*rest}, each with constraints.
// Literals match in any case. Parameters take a whole segment.
type route struct {
	template string
	segments []segment
}

type segment struct {
	literal  string // if name is ""
	name     string
	optional bool
	rest     bool // takes all remaining segments, possibly none
	standard string
	hasStd   bool
	checks   []constraint
}

// parseRoute reads a template with the app's prefix in front.
func parseRoute(prefix, template string) (route, error) {
	r := route{template: template}
	text := strings.Trim(strings.Trim(prefix, "/")+"/"+strings.TrimPrefix(template, "/"), "/")
	for i, part := range splitTemplate(text) {
		if part == "" {
			if text == "" {
				break
			}
			return route{}, errors.New("a segment is empty")
		}
		s, err := parseSegment(part)
		if err != nil {
			return route{}, err
		}
		if i > 0 {
			before := r.segments[i-1]
			if before.rest {
				return route{}, fmt.Errorf("something follows {*%s}, which takes all that is left", before.name)
			}
			if before.optional && !s.optional && !s.rest && !s.hasStd {
				return route{}, fmt.Errorf("something follows {%s?}, which may be missing", before.name)
			}
		}
		if s.name != "" && slices.ContainsFunc(r.segments, func(o segment) bool { return strings.EqualFold(o.name, s.name) }) {
			return route{}, fmt.Errorf("there are two parameters called %s", s.name)
		}
		r.segments = append(r.segments, s)
	}
	return r, nil
}

// splitTemplate splits at slashes outside of braces and parentheses. Regular expressions may have slashes within these.
func splitTemplate(text string) []string {
	var parts []string
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{', '(':
			depth++
		case '}', ')':
			depth--
		case '/':
			if depth == 0 {
				parts = append(parts, text[from:i])
				from = i + 1
			}
		}
	}
	return append(parts, text[from:])
}

func parseSegment(text string) (segment, error) {
	inner, open := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !open && !closed && !strings.ContainsAny(text, "{}") {
		return segment{literal: text}, nil
	}
	if !open || !closed {
		return segment{}, fmt.Errorf("%q mixes text and a parameter in one segment, which is not supported here; write the parameter alone", text)
	}
	var s segment
	if rest := strings.TrimLeft(inner, "*"); rest != inner {
		s.rest, inner = true, rest
	}
	inner, s.standard, s.hasStd = cutStandard(inner)
	if !s.hasStd {
		inner, s.optional = strings.CutSuffix(inner, "?")
	}
	name, constraints, _ := strings.Cut(inner, ":")
	s.name = name
	if name == "" || strings.ContainsAny(name, "{}*?/=") {
		return segment{}, fmt.Errorf("%q has no parameter's name", text)
	}
	var err error
	s.checks, err = parseConstraints(constraints)
	return s, err
}

// cutStandard cuts {name=default}. It ignores an equals sign within a constraint's parentheses.
func cutStandard(text string) (before, standard string, ok bool) {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '=':
			if depth == 0 {
				return text[:i], text[i+1:], true
			}
		}
	}
	return text, "", false
}

// Param is a value that a route has taken from a path. The value is decoded; Missing is set if an optional parameter
// was absent.
type Param struct {
	Name, Value string
	Missing     bool
}

// match reports whether the path, split and decoded, fits.
func (r route) match(parts []string) ([]Param, bool) {
	params := make([]Param, 0, len(r.segments))
	for _, s := range r.segments {
		switch {
		case s.rest:
			value := strings.Join(parts, "/")
			if value == "" && s.hasStd {
				value = s.standard
			}
			return append(params, Param{s.name, value, value == ""}), value == "" || s.accepts(value)
		case len(parts) == 0:
			if !s.optional && !s.hasStd {
				return nil, false
			}
			params = append(params, Param{s.name, s.standard, !s.hasStd})
			continue
		case s.name == "":
			if !strings.EqualFold(s.literal, parts[0]) {
				return nil, false
			}
		default:
			if parts[0] == "" || !s.accepts(parts[0]) {
				return nil, false
			}
			params = append(params, Param{Name: s.name, Value: parts[0]})
		}
		parts = parts[1:]
	}
	return params, len(parts) == 0
}

func (s segment) accepts(value string) bool {
	return !slices.ContainsFunc(s.checks, func(c constraint) bool { return !c(value) })
}

// split returns the segments of an escaped path, decoded.
func split(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = httpx.Unescape(part)
	}
	return parts
}

// rank orders the kinds of segments, the most specific first.
func (s segment) rank() int {
	switch {
	case s.name == "":
		return 0
	case !s.rest && len(s.checks) > 0:
		return 1
	case !s.rest:
		return 2
	case len(s.checks) > 0:
		return 3
	default:
		return 4
	}
}

// compare puts the more specific route first: segment by segment, and if one route ends earlier, the longer one.
func (r route) compare(o route) int {
	for i := range min(len(r.segments), len(o.segments)) {
		if d := r.segments[i].rank() - o.segments[i].rank(); d != 0 {
			return d
		}
	}
	return len(o.segments) - len(r.segments)
}

// Match finds the function to which a method and an escaped path lead. If functions have the path but not the method, f
// is nil and allow lists their methods.
func (a *App) Match(method, path string) (f *Function, params []Param, allow []string) {
	parts := split(path)
	for _, f := range a.Functions {
		params, ok := f.route.match(parts)
		switch {
		case !ok:
		case f.Takes(method):
			return f, params, nil
		default:
			allow = append(allow, f.Methods...)
		}
	}
	return nil, nil, allow
}

// Takes reports whether the function accepts that method.
func (f *Function) Takes(method string) bool {
	return len(f.Methods) == 0 || slices.Contains(f.Methods, method)
}

// Place returns the parameters of a request that the gateway's own route led to this function, and the escaped path at
// which Azure's host would have received it. That is the request's own path if it fits, or else one made from the
// function's route and what the gateway's route captured. It fails if a parameter for that is missing.
func (f *Function) Place(path string, captured *exchange.Params) (string, []Param, error) {
	if params, ok := f.route.match(split(path)); ok {
		return path, params, nil
	}
	var made strings.Builder
	var params []Param
	for _, s := range f.route.segments {
		if s.name == "" {
			made.WriteString("/" + url.PathEscape(s.literal))
			continue
		}
		value, ok := captured.Get(s.name)
		switch {
		case ok && s.accepts(value):
		case s.hasStd:
			value = s.standard
		case s.optional || s.rest:
			params = append(params, Param{s.name, "", true})
			continue
		default:
			return "", nil, fmt.Errorf("the function %s is at %q, and the gateway's route has captured no fitting %s", f.Name, f.route.template, s.name)
		}
		params = append(params, Param{Name: s.name, Value: value})
		made.WriteString("/" + escape(value, s.rest))
	}
	if made.Len() == 0 {
		return "/", params, nil
	}
	return made.String(), params, nil
}

// escape writes a value as one segment, or as several if it is the rest of a path.
func escape(value string, rest bool) string {
	if !rest {
		return url.PathEscape(value)
	}
	parts := strings.Split(value, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/")
}

package azure

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/pattern"
)

// template is the path of a function within its app: the route template of its function.json with the prefix in front.
// The app itself checks the constraints on parameters.
type template struct{ segments []segment }

type segment struct {
	literal  string // escaped; set if name is ""
	name     string
	optional bool
	rest     bool // matches the whole rest of a path
}

// parseTemplate reads a template as Azure writes it: literals, {name}, {name:constraint}, {name?} and {*rest}.
func parseTemplate(prefix, text string) (template, error) {
	var p template
	for part := range strings.SplitSeq(strings.Trim(prefix+"/"+strings.TrimPrefix(text, "/"), "/"), "/") {
		if part == "" {
			return p, errors.New("a segment is empty")
		}
		s, err := parseSegment(part)
		if err != nil {
			return p, err
		}
		if n := len(p.segments); n > 0 && (p.segments[n-1].rest || p.segments[n-1].optional && !s.optional && !s.rest) {
			return p, fmt.Errorf("something follows {%s}, which may be missing", p.segments[n-1].name)
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

func parseSegment(text string) (segment, error) {
	inner, open := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	switch {
	case dots(text):
		return segment{}, fmt.Errorf("%q leads out of its place", text)
	case !open && !closed && !strings.ContainsAny(text, "{}?#%\\"):
		return segment{literal: url.PathEscape(text)}, nil
	case !open || !closed:
		return segment{}, fmt.Errorf("%q is neither a text nor {name}", text)
	}
	var s segment
	name := strings.TrimLeft(inner, "*")
	s.rest = name != inner
	name, s.optional = strings.CutSuffix(name, "?")
	s.name, _, _ = strings.Cut(name, ":")
	s.name, _, _ = strings.Cut(s.name, "=")
	if s.name == "" || strings.ContainsAny(s.name, "{}*?/") {
		return segment{}, fmt.Errorf("%q has no parameter's name", text)
	}
	return s, nil
}

// at returns the escaped path at which the app expects a request: the request's own path if it leads to the function,
// or else a path built from the template and what the gateway's route has captured.
func (p template) at(path string, captured *exchange.Params) (string, error) {
	if p.leads(strings.Split(strings.Trim(path, "/"), "/")) {
		return path, nil
	}
	var made strings.Builder
	for _, s := range p.segments {
		if s.name == "" {
			made.WriteString("/" + s.literal)
			continue
		}
		value, ok := captured.Get(s.name)
		switch {
		case ok && climbs(value):
			return "", fmt.Errorf("what the gateway's route has captured as %s leads out of its place", s.name)
		case ok && value != "":
			made.WriteString("/" + escape(value, s.rest))
		case !s.optional && !s.rest:
			return "", fmt.Errorf("the gateway's route has captured no %s", s.name)
		}
	}
	if made.Len() == 0 {
		return "/", nil
	}
	return made.String(), nil
}

// of returns the escaped path at which the app expects r for the function with that name. Its error is what the client
// gets.
func (p template) of(r *http.Request, name string) (string, error) {
	path, err := p.at(r.URL.EscapedPath(), &exchange.Of(r).Params)
	if err != nil {
		return "", fault.RouteNotFound.New("", fault.Internal("the function %s: %v", name, err))
	}
	return path, nil
}

// climbs reports whether a value contains segments that lead out of its place (. and ..).
func climbs(value string) bool { return slices.ContainsFunc(strings.Split(value, "/"), dots) }

func dots(part string) bool { return part == "." || part == ".." }

// leads reports whether the app would route such a path to this function. Literals match regardless of case.
func (p template) leads(parts []string) bool {
	for i, s := range p.segments {
		switch {
		case s.rest:
			return true
		case i >= len(parts) || parts[i] == "":
			return s.optional
		case s.name == "" && !strings.EqualFold(s.literal, parts[i]):
			return false
		}
	}
	return len(parts) == len(p.segments)
}

// takes reports why no request whose path matches that pattern can provide all that the function's template needs. A
// request can do so if its own path leads to the function, or if what the route captures fills the template.
func (p template) takes(path pattern.Path, captured func(name string) bool) error {
	if p.meets(path.Segments) {
		return nil
	}
	rest, drops := path.Rest()
	for _, s := range p.segments {
		drops = drops && (s.name == "" || s.name != rest.Name)
	}
	for _, s := range p.segments {
		switch {
		case s.name == "" || captured(s.name):
		case !s.optional && !s.rest:
			return fmt.Errorf("the function's own route needs {%[1]s}, which %[2]s does not capture; write {%[1]s} into the route's path", s.name, path)
		case drops:
			return fmt.Errorf("the function's own route has {%[1]s}, but %[2]s captures nothing by that name, so what its end matches would be dropped; end the route's path in {%[1]s...}", s.name, path)
		}
	}
	return nil
}

// meets reports whether the app may route a path of such segments to this function (see leads).
func (p template) meets(path []pattern.Segment) bool {
	for i, s := range p.segments {
		if s.rest {
			return true
		}
		if i >= len(path) {
			return s.optional
		}
		switch at := path[i]; {
		case at.Kind == pattern.Rest:
			return true
		case at.Kind == pattern.Literal && at.Prefix == "": // a trailing slash
			return s.optional
		case s.name == "" && at.Kind == pattern.Literal && !strings.EqualFold(s.literal, at.Prefix):
			return false
		}
	}
	left := path[min(len(p.segments), len(path)):]
	return len(left) == 0 || left[0].Kind == pattern.Rest || left[0].Kind == pattern.Literal && left[0].Prefix == ""
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

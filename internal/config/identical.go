package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
)

// identical reports matches that accept exactly the same requests, unless the ranks of their sources decide between
// them.
func (c *validator) identical() {
	first := map[string]*Route{}
	for i := range c.c.Routes {
		r := &c.c.Routes[i]
		if r.Policy.Rank != "" {
			continue
		}
		for _, place := range c.places(r) {
			for j := range r.Matches {
				key := place + "\x00" + r.Matches[j].shape()
				other, taken := first[key]
				switch {
				case !taken:
					first[key] = r
				case other == r:
					c.add(r.Matches[j].Origin.at(), fmt.Sprintf("the route %q has the same match twice", r.Name), "", "remove one")
				case other.Name != r.Name: // two routes of one name have been reported already
					c.same(r, other)
				}
			}
		}
	}
}

func (c *validator) same(r, other *Route) {
	c.involved[other.Origin.at().File] = true
	c.add(r.Origin.at(), fmt.Sprintf("the route %q matches the same requests as %q", r.Name, other.Name),
		"the other is at "+other.Origin.String()+", and order in a file decides nothing",
		"make one of them differ in host, path, method or match, or remove it")
}

// places returns the listeners and hosts at which r serves.
func (c *validator) places(r *Route) []string {
	listeners := r.Listeners
	if len(listeners) == 0 {
		for _, l := range c.serving() {
			listeners = append(listeners, l.Name)
		}
	}
	if len(listeners) == 0 {
		listeners = []string{""}
	}
	hosts := []string{""}
	if len(r.Hosts) > 0 {
		hosts = nil
	}
	for _, h := range r.Hosts {
		if host, err := pattern.ParseHost(h); err == nil {
			hosts = append(hosts, host.Shape())
		}
	}
	var places []string
	for _, l := range listeners {
		for _, h := range hosts {
			places = append(places, l+"\x00"+h)
		}
	}
	return places
}

// shape returns what a match looks at, without names of parameters and without order.
func (m *Match) shape() string {
	parts := []string{m.Method, m.Path.shape(), fieldsShape(m.Headers, true), fieldsShape(m.Query, false), fieldsShape(m.Cookies, false)}
	if m.When != nil {
		parts = append(parts, m.When.Source)
	}
	return strings.Join(parts, "\x00")
}

// shape brings the three ways of writing a path into one form.
func (p PathMatch) shape() string {
	switch {
	case p.Pattern != "":
		parsed, err := pattern.ParsePath(p.Pattern)
		if err != nil {
			return p.Pattern
		}
		return parsed.Shape()
	case p.Exact != "":
		return literalShape(p.Exact)
	case p.Prefix != "":
		return strings.TrimSuffix(literalShape(p.Prefix), "/") + "/**"
	default:
		return "/**"
	}
}

func literalShape(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if normal, err := pattern.NormalizeLiteral(s); err == nil {
			segments[i] = normal
		}
	}
	return strings.Join(segments, "/")
}

func fieldsShape(fields []FieldMatch, fold bool) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		if fold {
			f.Name = strings.ToLower(f.Name)
		}
		list[i] = fmt.Sprintf("%q=%t%q", f.Name, f.Regex, f.Value)
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

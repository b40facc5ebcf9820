package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Validate returns what is wrong with c, whatever its source. It looks at nothing but c and v: no file, no secret and
// no name server. Load calls it. Code that changes a loaded config, for example to replace the addresses of sockets or
// of the admin API, calls it again and sets the Origin of the replaced parts to say so.
func Validate(c *Config, v Vocabulary) []doc.Problem {
	checked := newValidator(c, v)
	checked.run()
	return checked.ps.Sorted()
}

// validator checks the rules of the canonical form.
type validator struct {
	c  *Config
	v  Vocabulary
	ps doc.Problems
	// known are names of services and functions that exist but could not be read; partial says that there may be more
	// of them.
	known   map[string]bool
	partial bool
	// wayNames are names of auth that exist but could not be read.
	wayNames map[string]bool
	// unheard says that there may be more listeners.
	unheard bool
	// rough are routes that could not be read completely, which has been reported.
	rough             []Route
	roughCompositions []Composition
	// involved are the files that contribute to a problem reported in another file.
	involved map[string]bool

	listeners map[string]*Listener
	services  map[string]*Service
	functions map[string]*Function
	// compositions are all compositions, including those of routes, by their whole names.
	compositions map[string]*Composition
	read         map[*Composition][]reading // see readings
	groups       map[string]*Group
	ways         map[string]*Auth
	routes       map[string]*Route
}

func newValidator(c *Config, v Vocabulary) *validator {
	return &validator{
		c: c, v: v, involved: map[string]bool{},
		listeners: map[string]*Listener{}, services: map[string]*Service{}, functions: map[string]*Function{}, compositions: map[string]*Composition{}, read: map[*Composition][]reading{},
		groups: map[string]*Group{}, ways: map[string]*Auth{}, routes: map[string]*Route{},
	}
}

func (c *validator) run() {
	c.groupRules()
	c.index()
	c.listening()
	c.globals()
	c.auths()
	for i := range c.c.Services {
		c.service(&c.c.Services[i])
	}
	for i := range c.c.Functions {
		c.function(&c.c.Functions[i])
	}
	c.composing()
	for i := range c.c.Routes {
		c.route(&c.c.Routes[i])
	}
	for i := range c.rough {
		c.roughRoute(&c.rough[i])
	}
	for i := range c.c.Streams {
		c.stream(&c.c.Streams[i])
	}
	c.identical()
	for i := range c.c.Tests {
		c.test(&c.c.Tests[i])
	}
}

// at is where problems of an element are reported.
func (o Origin) at() doc.Pos {
	if o.Object != "" {
		return doc.Pos{File: o.Object}
	}
	return o.Pos
}

func (c *validator) add(at doc.Pos, what, why, fix string) {
	c.ps.Add(doc.Problem{Pos: at, What: what, Why: why, Fix: fix})
}

// twice reports a second element of the same name; both files are involved.
func (c *validator) twice(what, name string, second, first Origin) {
	c.involved[first.at().File] = true
	c.add(second.at(), fmt.Sprintf("there is a second %s %q", what, name), "the first is at "+first.String(), "give one of them another name")
}

// index builds the tables of names and checks the names.
func (c *validator) index() {
	for i := range c.c.Services {
		s := &c.c.Services[i]
		if c.freeName("service", s.Name, s.Origin) {
			c.services[s.Name] = s
		}
	}
	for i := range c.c.Functions {
		f := &c.c.Functions[i]
		if c.freeName("function", f.Name, f.Origin) {
			c.functions[f.Name] = f
		}
	}
	c.indexCompositions()
	for i := range c.c.Routes {
		r := &c.c.Routes[i]
		if first, taken := c.routes[r.Name]; taken {
			c.twice("route", r.Name, r.Origin, first.Origin)
			continue
		}
		if r.Name == "" {
			c.add(r.Origin.at(), "a route has no name", "logs, metrics and limits know it by its name", "give it one")
		}
		c.routes[r.Name] = r
	}
}

// freeName checks the name of a service, function or composition. They share one set of names, because all are named
// under `to`. Names from objects may have any form, because nobody writes them in a config.
func (c *validator) freeName(what, name string, at Origin) bool {
	if s, taken := c.services[name]; taken {
		c.twice(what, name, at, s.Origin)
		return false
	}
	if f, taken := c.functions[name]; taken {
		c.twice(what, name, at, f.Origin)
		return false
	}
	if m, taken := c.compositions[name]; taken {
		c.twice(what, name, at, m.Origin)
		return false
	}
	if at.Object == "" && !IsElementName(name) {
		c.ps.Add(badName(at.at(), what, name))
	}
	return true
}

// names returns all services, functions and compositions that can be named.
func (c *validator) names() []string {
	return slices.Concat(slices.Collect(maps.Keys(c.services)), slices.Collect(maps.Keys(c.functions)), c.compositionNames(), slices.Collect(maps.Keys(c.known)))
}

// pattern reports a mistake in a path or host pattern whose text begins at pos.
func (c *validator) pattern(at doc.Pos, exact bool, err error) {
	p := doc.Problem{Pos: at, What: err.Error()}
	if wrong, ok := errors.AsType[*pattern.Error](err); ok {
		p.What, p.Fix = wrong.Text, wrong.Fix
		if exact && at.Line > 0 {
			p.Pos.Col += wrong.Offset
		}
	}
	c.ps.Add(p)
}

package config

import (
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Cloud holds the settings of a platform that runs functions, for all calls to that platform; Config has the type of
// its kind.
type Cloud struct {
	Kind   string // "aws"
	Config any
	Origin Origin
}

// Clouded is implemented by the config of a function or filter that calls a platform. Before the config is checked, it
// receives the settings under `clouds` once: of returns the settings of a kind, nil if there are none. The error says
// what is wrong with them for this config.
type Clouded interface {
	InCloud(of func(kind string) any) error
}

// clouds lowers `clouds`: the kinds of platforms with their settings.
func (l *loader) clouds(f *file) {
	l.byKind("clouds", f.Clouds, l.v.Clouds, "for example `aws: { room: 512MiB }` below it", func(kind string, settings any, at Origin) {
		l.cfg.Clouds = append(l.cfg.Clouds, Cloud{Kind: kind, Config: settings, Origin: at})
	})
}

// Settle hands the settings of its platform to the config of a function or filter.
func (c *Config) Settle(own any) error {
	called, ok := own.(Clouded)
	if !ok {
		return nil
	}
	return called.InCloud(func(kind string) any { //nolint:wrapcheck // it says what is wrong
		if i := slices.IndexFunc(c.Clouds, func(s Cloud) bool { return s.Kind == kind }); i >= 0 {
			return c.Clouds[i].Config
		}
		return nil
	})
}

// settle does so for a whole config, after everything has been read.
func (l *loader) settle() {
	for i := range l.cfg.Functions {
		f := &l.cfg.Functions[i]
		if err := l.cfg.Settle(f.Config); err != nil {
			l.ps.Add(doc.Problem{Pos: f.At(err), What: fmt.Sprintf("function %q: %v", f.Name, err)})
		}
	}
	tell := func(f Filter) {
		if err := l.cfg.Settle(f.Config); err != nil {
			l.ps.Add(doc.Problem{Pos: f.Origin.at(), What: fmt.Sprintf("filter %s: %v", f.Name, err)})
		}
	}
	for _, r := range l.cfg.Routes {
		for _, f := range r.Filters {
			tell(f)
		}
		for _, b := range r.Backends {
			for _, f := range b.Filters {
				tell(f)
			}
		}
	}
}

// clouds prints the settings of platforms, by kind.
func (e expander) clouds(all []Cloud) *doc.Node {
	f := newFields()
	for _, c := range all {
		n := own(c.Config, e.v.Clouds, c.Kind)
		n.Comment = c.Origin.comment()
		f.put(c.Kind, n, "")
	}
	if len(f.Entries) == 0 {
		return nil
	}
	return &f.Node
}

package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Discovery says how to reach one kind of source of endpoints, for all services found there; Config has the type of its
// kind.
type Discovery struct {
	Kind   string // "etcd"
	Config any
	Origin Origin
}

// discovery lowers `discovery`: the kinds of sources with their settings.
func (l *loader) discovery(f *file) {
	l.byKind("discovery", f.Discovery, l.v.Discoveries, "for example `etcd: http://127.0.0.1:2379` below it", func(kind string, settings any, at Origin) {
		l.cfg.Discoveries = append(l.cfg.Discoveries, Discovery{Kind: kind, Config: settings, Origin: at})
	})
}

// byKind reads the map from kinds to their settings that stands under key.
func (l *loader) byKind(key string, n *doc.Node, kinds []Kind, fix string, said func(kind string, settings any, at Origin)) {
	if n == nil {
		return
	}
	var own doc.Problems
	defer l.ps.Join(&own)
	if n.Kind != doc.Map {
		own.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s is %s", key, n.Kind), Why: "it is a map of kinds: " + strings.Join(kindNames(kinds), ", "), Fix: fix})
		return
	}
	for _, e := range n.Entries {
		kind, known := find(kinds, e.Key)
		if !known {
			own.Add(unknownKey(e, kindNames(kinds)))
			continue
		}
		settings := kind.New()
		doc.Decode(e.Value, settings, &own)
		said(e.Key, settings, Origin{Pos: e.KeyPos})
	}
}

// DiscoveryOf returns the settings of a kind of source, nil if there are none.
func (c *Config) DiscoveryOf(kind string) *Discovery {
	if i := slices.IndexFunc(c.Discoveries, func(d Discovery) bool { return d.Kind == kind }); i >= 0 {
		return &c.Discoveries[i]
	}
	return nil
}

// discoveries prints how sources are reached, by kind.
func (e expander) discoveries(all []Discovery) *doc.Node {
	f := newFields()
	for _, d := range all {
		n := own(d.Config, e.v.Discoveries, d.Kind)
		n.Comment = d.Origin.comment()
		f.put(d.Kind, n, "")
	}
	if len(f.Entries) == 0 {
		return nil
	}
	return &f.Node
}

// byKind is the schema of a map from kinds to their settings.
func (w *schemaWriter) byKind(kinds []Kind) *doc.Schema {
	s := &doc.Schema{Type: doc.Types{"object"}, AdditionalProperties: false}
	for _, k := range kinds {
		settings := w.of(reflect.TypeOf(k.New()))
		settings.Description = k.Summary
		s.Properties = append(s.Properties, doc.Property{Name: k.Name, Schema: settings})
	}
	return s
}

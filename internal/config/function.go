package config

import (
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// functionKinds are the kinds of the full design.
func functionKinds() []string { return []string{"run", "lambda", "azure", "gcf"} }

// function lowers one function; its key decides the kind.
func (l *loader) function(e element, group string, ps *doc.Problems) {
	kind, config, ok := kinded{"function", l.v.Functions, functionKinds()}.read(e, ps)
	if ok {
		l.cfg.Functions = append(l.cfg.Functions, Function{Name: e.name, Group: group, Kind: kind, Config: config, Origin: Origin{Pos: e.pos}, Keys: placesIn(e.node)})
	}
}

// At returns the place that an error is about. An error may begin with a key of the config and a colon, as "scale.max:
// ", or with several keys separated by commas, of which the first counts. Its place is the value of that key, or the
// nearest value above it. Any other error has the place of the function itself.
func (f *Function) At(err error) doc.Pos {
	keys, _, _ := strings.Cut(err.Error(), ":")
	for key, _, _ := strings.Cut(keys, ","); key != ""; key = key[:max(0, strings.LastIndexByte(key, '.'))] {
		if at, ok := f.Keys[key]; ok {
			return at
		}
	}
	return f.Origin.at()
}

// Places holds the places of an element's values, by the dotted paths of their keys.
type Places map[string]doc.Pos

func placesIn(n *doc.Node) Places {
	all := Places{}
	all.add("", n)
	return all
}

func (p Places) add(path string, n *doc.Node) {
	for _, e := range n.Entries {
		p[path+e.Key] = e.Value.Pos
		p.add(path+e.Key+".", e.Value)
	}
}

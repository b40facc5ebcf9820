package config

import "github.com/weir-gateway/weir/internal/config/doc"

// functionKinds are those of the full design.
func functionKinds() []string { return []string{"run", "lambda", "azure", "gcf"} }

// function lowers one function: the kind is told by the key that it has.
func (l *loader) function(e element, group string, ps *doc.Problems) {
	kind, config, ok := kinded{"function", l.v.Functions, functionKinds()}.read(e, ps)
	if ok {
		l.cfg.Functions = append(l.cfg.Functions, Function{Name: e.name, Group: group, Kind: kind, Config: config, Origin: Origin{Pos: e.pos}})
	}
}

package config

import (
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/template"
)

var (
	errEmptyInPath = fault.AmbiguousPath.New("A value for the path is empty, so another path would be sent.")
	errSlashInPath = fault.AmbiguousPath.New("A value for the path holds a slash or backslash, which servers that decode it read as another path.")
)

// ReadyPath is a PathTemplate that is ready to be filled in.
type ReadyPath struct {
	Template template.Path
	Text     string // with names in place of the expressions
	Values   []ReadyPathValue
	Captured []string // names that are inserted and not computed
}

// ReadyPathValue is a computed part of a path.
type ReadyPathValue struct {
	Name    string // the name in the template
	Named   bool   // it was written with a name
	Program *expr.Program
}

// Make fills in the path with the values that from has captured and with computed values. It adds the values of names
// to params, unless params is nil. Each value is one segment or part of one; a value that cannot be is a *fault.Fault.
func (p *ReadyPath) Make(in *expr.Input, from, params *exchange.Params) (string, error) {
	if len(p.Values)+len(p.Captured) == 0 {
		return p.Template.Make(nil)
	}
	return p.Template.Make(func(name string) (string, error) {
		for i := range p.Values {
			if p.Values[i].Name == name {
				return p.Values[i].make(in, params)
			}
		}
		text, _ := from.Get(name) // the config was checked against what is captured
		if params != nil {
			if _, twice := params.Get(name); !twice {
				params.Add(name, text)
			}
		}
		return text, nil
	})
}

func (v *ReadyPathValue) make(in *expr.Input, params *exchange.Params) (string, error) {
	text, err := v.Program.String(in)
	switch {
	case err != nil:
	case text == "":
		err = errEmptyInPath
	case strings.ContainsAny(text, `/\`):
		err = errSlashInPath
	}
	if v.Named && params != nil {
		params.Add(v.Name, text)
	}
	return text, err
}

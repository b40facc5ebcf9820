package expr

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
)

// overloadsOf copies the signatures of a function of CEL's standard library.
func overloadsOf(f *decls.FunctionDecl) []cel.FunctionOpt {
	var options []cel.FunctionOpt
	for _, o := range f.OverloadDecls() {
		options = append(options, cel.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
	}
	return options
}

package expr

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// The limits of an expression and of one evaluation.
const (
	maxSource = 16 << 10  // bytes of source
	maxNodes  = 4096      // nodes of the syntax tree, expanded macros included
	maxNested = 64        // depth of nesting
	maxRegex  = 1000      // instructions of a compiled regular expression
	maxCost   = 1_000_000 // CEL cost units of an evaluation
	maxOutput = 8 << 20   // bytes of a result, roughly
	maxRange  = 10_000    // elements of lists.range

	// maxTime backs up the cost limit: a unit of cost may include a long comparison.
	maxTime = 2 * time.Second
	// checkEvery is the number of loop iterations between two looks at the clock.
	checkEvery = 100
)

// environment is the one table of names and functions. Scopes are enforced by the walk over the names, so that a name
// that exists in another scope can be told from a typo.
var environment = sync.OnceValues(newEnvironment)

// Check returns what is wrong with source, as an *Error, or nil.
func Check(source string, want Type, scope Scope) error {
	_, err := Compile(source, want, scope) // planning finds bad constants: prefixes, regular expressions
	return err
}

// Compile checks source and plans it. An error is an *Error. The Program is safe for concurrent use.
func Compile(source string, want Type, scope Scope) (*Program, error) {
	checked, reads, err := analyse(source, want, scope)
	if err != nil {
		return nil, err
	}
	p := &Program{source: source, reads: reads}
	if err := p.plan(checked); err != nil {
		return nil, &Error{Line: 1, Col: 1, Text: err.Error()}
	}
	return p, nil
}

// analyse parses source, resolves its names within scope and checks its types.
func analyse(source string, want Type, scope Scope) (*cel.Ast, Reads, error) {
	if len(source) > maxSource {
		return nil, Reads{}, &Error{Line: 1, Col: 1, Text: fmt.Sprintf("the expression is longer than %d bytes", maxSource)}
	}
	env, err := environment()
	if err != nil {
		return nil, Reads{}, fmt.Errorf("cel environment: %w", err)
	}
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, Reads{}, syntaxError(source, issues)
	}
	tree := parsed.NativeRep()
	names := &resolver{env: env, scope: scope, info: tree.SourceInfo()}
	names.walk(tree.Expr())
	if names.err != nil {
		return nil, Reads{}, names.err
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, Reads{}, typeError(issues)
	}
	if err := fits(checked, want, source); err != nil {
		return nil, Reads{}, err
	}
	return checked, names.reads(), nil
}

// fits compares the type of the expression with the wanted type. A dynamic value is compared at run time.
func fits(checked *cel.Ast, want Type, source string) error {
	out := checked.OutputType()
	var ok bool
	var must string
	switch want {
	case Bool:
		ok, must = out.Kind() == types.BoolKind, "must be true or false"
	case String:
		ok, must = hasText(out.Kind()), "must be text"
	case Int:
		ok, must = out.Kind() == types.IntKind, "must be a whole number"
	case List:
		ok, must = out.Kind() == types.ListKind, "must be a list"
	case Any:
		ok = out.Kind() != types.OpaqueKind
		must = "must be a value"
	}
	if ok || out.Kind() == types.DynKind {
		return nil
	}
	tree := checked.NativeRep()
	e := errorAt(tree.SourceInfo(), tree.Expr().ID())
	e.Text = must + ", this is " + describe(cel.FormatCELType(out))
	if path := strings.TrimSpace(source); out.Kind() == types.MapKind && ownPath.FindString(path) == path {
		e.Fix = "name one of its members: " + path + ".NAME"
	}
	return e
}

func hasText(k types.Kind) bool {
	switch k {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind:
		return true
	default:
		return false
	}
}

// plan makes the checked tree executable. An evaluation is metered only if its worst case is not known to be below the
// limit. For most conditions on a request's head it is known, and metering would cost more than the condition itself.
func (p *Program) plan(checked *cel.Ast) error {
	env, err := environment()
	if err != nil {
		return fmt.Errorf("cel environment: %w", err)
	}
	options := []cel.ProgramOption{
		cel.EvalOptions(cel.OptOptimize),
		cel.CustomDecoratorV2(foldPrefixes),
		cel.CustomDecoratorV2(boundCalls(env)),
		cel.CustomDecoratorV2(settleArguments(checked.NativeRep())), // last, because it hides what it decorates
	}
	estimate, err := env.EstimateCost(checked, sizes{})
	p.metered = err != nil || estimate.Max > maxCost
	if p.metered {
		options = append(options, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(checkEvery))
	}
	if p.program, err = env.Program(checked, options...); err != nil {
		return fmt.Errorf("the expression cannot be planned: %w", err)
	}
	return nil
}

// errorAt makes an Error at the position of a node.
func errorAt(info *ast.SourceInfo, id int64) *Error {
	at := info.GetStartLocation(id)
	return &Error{Line: max(at.Line(), 1), Col: max(at.Column()+1, 1)}
}

package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// CEL counts the cost of a call after the call. For most functions that is soon enough. The functions below can return
// or work through far more than they were given, so their cost is estimated before they run.

// maxWork bounds the steps of one call of a quadratic function. maxElements bounds the list that one call returns.
const (
	maxWork     = 1 << 26
	maxElements = 1 << 20
)

// weights holds functions that return why a call is refused, or nil if it may run.
var weights = map[string]func(args []ref.Val) error{
	"matches":     weighMatches,
	"replace":     weighReplace,
	"join":        weighJoin,
	"format":      weighFormat,
	"split":       weighSplit,
	"indexOf":     weighProduct,
	"lastIndexOf": weighProduct,
	"distinct":    weighProduct,
	"hasOnly":     weighProduct,
	"hasAny":      weighProduct,
	"hasAll":      weighProduct,
	"hasExactly":  weighProduct,
}

// boundCalls decorates the plan so that calls with an entry in weights are checked before they run.
func boundCalls(env *cel.Env) interpreter.InterpretableDecoratorV2 {
	return func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := i.(interpreter.InterpretableCall)
		if !ok {
			return i, nil
		}
		weigh, ok := weights[call.Function()]
		if !ok {
			return i, nil
		}
		run, err := implementation(env, call)
		if err != nil {
			return nil, err
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
			if err := weigh(args); err != nil {
				return types.WrapErr(err)
			}
			return run(args...)
		}), nil
	}
}

// implementation finds the function that a call runs: that of its overload, or, if the types are only known at run
// time, the one that chooses an overload.
func implementation(env *cel.Env, call interpreter.InterpretableCall) (functions.FunctionOp, error) {
	bindings, err := env.Functions()[call.Function()].Bindings()
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", call.Function(), err)
	}
	for _, name := range []string{call.OverloadID(), call.Function()} {
		for _, b := range bindings {
			if b.Operator == name && name != "" {
				return variadic(b), nil
			}
		}
	}
	return nil, fmt.Errorf("function %s has no implementation", call.Function())
}

// variadic wraps a function in one form, whatever its number of arguments.
func variadic(b *functions.Overload) functions.FunctionOp {
	return func(args ...ref.Val) ref.Val {
		switch {
		case len(args) == 1 && b.Unary != nil:
			return b.Unary(args[0])
		case len(args) == 2 && b.Binary != nil:
			return b.Binary(args[0], args[1])
		case b.Function != nil:
			return b.Function(args...)
		default:
			return types.NewErr("no such overload")
		}
	}
}

// weighReplace computes the size of s.replace(from, to) by counting the matches.
func weighReplace(args []ref.Val) error {
	if len(args) < 3 {
		return nil
	}
	s, from, to := textOf(args[0]), textOf(args[1]), textOf(args[2])
	return weighText(len(s) + strings.Count(s, from)*max(0, len(to)-len(from)))
}

func weighJoin(args []ref.Val) error {
	parts, ok := args[0].(traits.Lister)
	if !ok {
		return nil
	}
	separator := 0
	if len(args) > 1 {
		separator = len(textOf(args[1]))
	}
	return weighList(parts, separator)
}

func weighFormat(args []ref.Val) error {
	if len(args) < 2 {
		return nil
	}
	if parts, ok := args[1].(traits.Lister); ok {
		return weighList(parts, 0)
	}
	return nil
}

// weighList adds up the sizes of a list's texts and of the separators.
func weighList(parts traits.Lister, separator int) error {
	total := 0
	for it := parts.Iterator(); it.HasNext() == types.True; {
		total += separator
		switch v := it.Next().(type) {
		case types.String:
			total += len(v)
		case *list:
			total += len(v.value.Raw())
		case *object:
			total += len(v.value.Raw())
		}
		if err := weighText(total); err != nil {
			return err
		}
	}
	return nil
}

func weighSplit(args []ref.Val) error {
	if len(args) < 2 {
		return nil
	}
	s, separator := textOf(args[0]), textOf(args[1])
	n := utf8.RuneCountInString(s)
	if separator != "" {
		n = strings.Count(s, separator) + 1
	}
	if n > maxElements {
		return fmt.Errorf("the list would have more than %d elements", maxElements)
	}
	return nil
}

// weighProduct multiplies the sizes of the first two arguments, or squares the size of a single argument.
func weighProduct(args []ref.Val) error {
	a := sizeOf(args[0])
	b := a
	if len(args) > 1 {
		b = sizeOf(args[1])
	}
	if a > 0 && b > maxWork/a {
		return fmt.Errorf("the call would take more than %d steps", maxWork)
	}
	return nil
}

// weighMatches refuses a call that would cost more than an expression may, by CEL's own measure: a tenth for each
// character of the text times a quarter for each character of the pattern. A long text with a long pattern takes
// seconds.
func weighMatches(args []ref.Val) error {
	const perUnit = 40
	text, pattern := sizeOf(args[0]), sizeOf(args[1])
	if text > 0 && pattern > perUnit*maxCost/text {
		return fmt.Errorf("a text of %d characters and a pattern of %d are too long for each other", text, pattern)
	}
	return nil
}

func weighText(n int) error {
	if n > maxOutput {
		return errTooLarge
	}
	return nil
}

func textOf(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func sizeOf(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case traits.Sizer:
		n, _ := v.Size().(types.Int)
		return int(n)
	default:
		return 0
	}
}

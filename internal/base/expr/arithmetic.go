package expr

import (
	"math"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// arithmetic redeclares + - * / %. The new functions have CEL's own overloads and those that mix an integer with
// another number. All of them mix at run time too, because a JSON number may be either kind. string() is redeclared to
// change its text of doubles.
func arithmetic() []cel.EnvOption {
	operations := map[string]func(a, b ref.Val) ref.Val{
		operators.Add:      add,
		operators.Subtract: subtract,
		operators.Multiply: multiply,
		operators.Divide:   divide,
		operators.Modulo:   modulo,
	}
	var options []cel.EnvOption
	for _, f := range stdlib.Functions() {
		if f.Name() == stringName {
			options = append(options, cel.Function(stringName, append(overloadsOf(f), cel.SingletonUnaryBinding(toString))...))
			continue
		}
		apply, ok := operations[f.Name()]
		if !ok {
			continue
		}
		overloads := overloadsOf(f)
		if f.Name() != operators.Modulo {
			overloads = append(overloads,
				cel.Overload(f.Name()+"int_double", []*cel.Type{cel.IntType, cel.DoubleType}, cel.DoubleType),
				cel.Overload(f.Name()+"double_int", []*cel.Type{cel.DoubleType, cel.IntType}, cel.DoubleType))
		}
		options = append(options, cel.Function(f.Name(), append(overloads, cel.SingletonBinaryBinding(mixing(apply)))...))
	}
	return options
}

// mixing converts both sides to the same kind of number before it calls apply.
func mixing(apply func(a, b ref.Val) ref.Val) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		a, b = alike(a, b)
		return apply(a, b)
	}
}

// alike converts the two sides of an operation. If one is a double, both become doubles. A uint (a JSON integer above
// 2^63-1) beside an int becomes an int if it fits.
func alike(a, b ref.Val) (ref.Val, ref.Val) {
	switch x := a.(type) {
	case types.Int:
		switch y := b.(type) {
		case types.Double:
			return types.Double(x), b
		case types.Uint:
			return a, signed(y)
		}
	case types.Uint:
		switch b.(type) {
		case types.Double:
			return types.Double(x), b
		case types.Int:
			return signed(x), b
		}
	case types.Double:
		switch y := b.(type) {
		case types.Int:
			return a, types.Double(y)
		case types.Uint:
			return a, types.Double(y)
		}
	}
	return a, b
}

func signed(u types.Uint) ref.Val {
	if u > math.MaxInt64 {
		return types.NewErr("the number %d is too large", uint64(u))
	}
	return types.Int(u)
}

// The operations, as CEL's values implement them.

func add(a, b ref.Val) ref.Val {
	if v, ok := a.(traits.Adder); ok && !types.IsUnknownOrError(b) {
		return v.Add(b)
	}
	return types.MaybeNoSuchOverloadErr(worse(a, b))
}

func subtract(a, b ref.Val) ref.Val {
	if v, ok := a.(traits.Subtractor); ok && !types.IsUnknownOrError(b) {
		return v.Subtract(b)
	}
	return types.MaybeNoSuchOverloadErr(worse(a, b))
}

func multiply(a, b ref.Val) ref.Val {
	if v, ok := a.(traits.Multiplier); ok && !types.IsUnknownOrError(b) {
		return v.Multiply(b)
	}
	return types.MaybeNoSuchOverloadErr(worse(a, b))
}

func divide(a, b ref.Val) ref.Val {
	if v, ok := a.(traits.Divider); ok && !types.IsUnknownOrError(b) {
		return v.Divide(b)
	}
	return types.MaybeNoSuchOverloadErr(worse(a, b))
}

func modulo(a, b ref.Val) ref.Val {
	if v, ok := a.(traits.Modder); ok && !types.IsUnknownOrError(b) {
		return v.Modulo(b)
	}
	return types.MaybeNoSuchOverloadErr(worse(a, b))
}

// worse returns the side that is an error, or a.
func worse(a, b ref.Val) ref.Val {
	if types.IsUnknownOrError(b) {
		return b
	}
	return a
}

// toString implements string(x). For a double it gives the text that JSON has for it.
func toString(v ref.Val) ref.Val {
	if d, ok := v.(types.Double); ok {
		return types.String(formatDouble(float64(d)))
	}
	return v.ConvertToType(types.StringType)
}

func formatDouble(f float64) string {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return string(jsonx.AppendFloat(nil, f))
}

// overloadsOf copies the signatures of a function from CEL's standard library.
func overloadsOf(f *decls.FunctionDecl) []cel.FunctionOpt {
	var options []cel.FunctionOpt
	for _, o := range f.OverloadDecls() {
		options = append(options, cel.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
	}
	return options
}

package expr

import (
	"math"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// numeral is a JSON number whose text is not the one that its value would be
// written with: 1.10, 1e3, -0, 123456789012345678901234567890. Passed on, it keeps its text;
// a function or operator is given its value instead (see settle).
type numeral struct{ text string }

// fromNumber makes a JSON number a CEL value. Most are ints and doubles; a
// numeral is made only where those would be written differently.
func fromNumber(text string) ref.Val {
	v := numberValue(text)
	var scratch [32]byte
	switch n := v.(type) {
	case types.Int:
		if string(strconv.AppendInt(scratch[:0], int64(n), 10)) == text {
			return n
		}
	case types.Double:
		if string(jsonx.AppendFloat(scratch[:0], float64(n))) == text {
			return n
		}
	}
	return &numeral{text}
}

// numberValue is the value of a number's text: an int or uint where it is
// written as an integer and fits, a double where it is not, and otherwise a
// numeral, that can only be compared for equality: as a double it might equal another.
func numberValue(text string) ref.Val {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return types.NewErr("the number %s is too large", shortened(text))
		}
		return types.Double(f)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return types.Int(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return types.Uint(n)
	}
	return &numeral{text}
}

func shortened(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}

// Type implements ref.Val.
func (n *numeral) Type() ref.Type {
	if v := numberValue(n.text); !types.IsError(v) {
		if _, large := v.(*numeral); !large {
			return v.Type()
		}
	}
	return types.DoubleType
}

// Value implements ref.Val.
func (n *numeral) Value() any { return n.text }

// Equal implements ref.Val. Integers of any size are compared exactly.
func (n *numeral) Equal(other ref.Val) ref.Val {
	mine := numberValue(n.text)
	theirs := settle(other)
	if m, large := mine.(*numeral); large {
		o, ok := theirs.(*numeral)
		return types.Bool(ok && o.text == m.text)
	}
	if types.IsError(mine) {
		return mine
	}
	return mine.Equal(theirs)
}

// ConvertToType implements ref.Val.
func (n *numeral) ConvertToType(t ref.Type) ref.Val {
	if t == types.StringType {
		return types.String(n.text)
	}
	v := numberValue(n.text)
	if _, large := v.(*numeral); !large {
		return v.ConvertToType(t)
	}
	if t != types.DoubleType {
		return types.NewErr("the number %s is too large", shortened(n.text))
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return types.NewErr("the number %s is too large", shortened(n.text))
	}
	return types.Double(f)
}

// ConvertToNative implements ref.Val.
func (n *numeral) ConvertToNative(t reflect.Type) (any, error) {
	return types.String(n.text).ConvertToNative(t)
}

// settle gives a numeral's value, and lists and objects in which numbers are settled.
func settle(v ref.Val) ref.Val {
	switch v := v.(type) {
	case *numeral:
		return numberValue(v.text)
	case *list:
		if !v.plain {
			return &list{v.value, true}
		}
	case *object:
		if !v.plain {
			return &object{v.value, true}
		}
	}
	return v
}

// settleScalar leaves lists and objects as they are.
func settleScalar(v ref.Val) ref.Val {
	if n, ok := v.(*numeral); ok {
		return numberValue(n.text)
	}
	return v
}

// settleArguments decorates the plan: what a call is given is settled, so that
// no function of any library meets a numeral. What only selects, chooses
// or collects passes values on as they are.
func settleArguments(tree *ast.AST) interpreter.InterpretableDecoratorV2 {
	settled := map[int64]func(ref.Val) ref.Val{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || passesOn(e.AsCall().FunctionName()) {
			return
		}
		how := settle
		if e.AsCall().FunctionName() == operators.Add { // of lists: their elements are passed on
			how = settleScalar
		}
		args := e.AsCall().Args()
		if e.AsCall().IsMemberFunction() {
			args = append([]ast.Expr{e.AsCall().Target()}, args...)
		}
		for _, arg := range args {
			if t := tree.GetType(arg.ID()); arg.Kind() != ast.LiteralKind && mayHoldNumeral(t) {
				settled[arg.ID()] = how
			}
		}
	}))
	return func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		if how, ok := settled[i.ID()]; ok {
			return &settledValue{i, how}, nil
		}
		return i, nil
	}
}

func passesOn(function string) bool {
	switch function {
	case operators.Conditional, operators.Index, operators.LogicalAnd, operators.LogicalOr,
		operators.LogicalNot, operators.NotStrictlyFalse:
		return true
	default:
		return false
	}
}

func mayHoldNumeral(t *types.Type) bool {
	if t.Kind() == types.DynKind {
		return true
	}
	for _, p := range t.Parameters() {
		if mayHoldNumeral(p) {
			return true
		}
	}
	return false
}

// settledValue is a node of the plan whose value is settled.
type settledValue struct {
	interpreter.InterpretableV2
	how func(ref.Val) ref.Val
}

// Exec implements interpreter.InterpretableV2.
func (s *settledValue) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return s.how(s.InterpretableV2.Exec(frame))
}

// Eval implements interpreter.Interpretable.
func (s *settledValue) Eval(vars interpreter.Activation) ref.Val {
	return s.how(s.InterpretableV2.Eval(vars))
}

// arithmetic declares + - * / % anew: CEL's own overloads and those that mix an
// integer with another number, all of them with a run-time side that mixes too,
// since a JSON number may be either. string() is declared anew for its text of doubles.
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
		if f.Name() == "string" {
			options = append(options, cel.Function("string", append(overloadsOf(f), cel.SingletonUnaryBinding(toString))...))
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

// mixing makes both sides the same kind of number before apply.
func mixing(apply func(a, b ref.Val) ref.Val) func(a, b ref.Val) ref.Val {
	return func(a, b ref.Val) ref.Val {
		a, b = alike(a, b)
		return apply(a, b)
	}
}

// alike converts the two sides of an operation: to doubles where one is a
// double, and a uint (a JSON integer above 2^63-1) beside an int to an int where it fits.
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
	return types.Int(u) //nolint:gosec // it fits
}

// The operations, as CEL's values have them.

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

// worse gives the side that is an error, or a.
func worse(a, b ref.Val) ref.Val {
	if types.IsUnknownOrError(b) {
		return b
	}
	return a
}

// toString is string(x): of a double the text that JSON has for it.
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

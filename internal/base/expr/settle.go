package expr

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// settle converts a numeral to its value, and a list or object to one whose numbers are settled.
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

// settleScalar is like settle, but leaves lists and objects as they are.
func settleScalar(v ref.Val) ref.Val {
	if n, ok := v.(*numeral); ok {
		return numberValue(n.text)
	}
	return v
}

// settleArguments decorates the plan so that the arguments of calls are settled, and no library function receives a
// numeral. Operations that only select, choose or collect pass values on unchanged.
func settleArguments(tree *ast.AST) interpreter.InterpretableDecoratorV2 {
	settled := map[int64]func(ref.Val) ref.Val{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || passesOn(e.AsCall().FunctionName()) {
			return
		}
		how := settle
		if e.AsCall().FunctionName() == operators.Add { // if these are lists, their elements are passed on
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
	return t.Kind() == types.DynKind || slices.ContainsFunc(t.Parameters(), mayHoldNumeral)
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

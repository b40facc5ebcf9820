package expr

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// steps is the variable steps; it is the run itself.
type steps run

// Get implements traits.Indexer.
func (s *steps) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(key)
	}
	if s.in.Steps != nil {
		if result, done := s.in.Steps(string(name)); done {
			return &step{result}
		}
	}
	return types.NewErr("step %s has no result", string(name))
}

// Type implements ref.Val.
func (s *steps) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (s *steps) Value() any { return s }

// Equal implements ref.Val.
func (s *steps) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(s) == other) }

// ConvertToType implements ref.Val.
func (s *steps) ConvertToType(ref.Type) ref.Val { return types.NewErr("steps are no other value") }

// ConvertToNative implements ref.Val.
func (s *steps) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("steps are no %v", t)
}

// step is the result of one step.
type step struct{ result StepResult }

func (s *step) field(name string) any {
	switch name {
	case "status":
		return types.Int(s.result.Status)
	case headersField:
		return &fields{source: fromResponse, head: s.result.Head}
	case textField:
		return types.String(s.result.Text)
	default:
		return adapter{}.NativeToValue(s.result.Body)
	}
}

// Type implements ref.Val.
func (s *step) Type() ref.Type { return celStep }

// Value implements ref.Val. The getters of the type's fields receive its result.
func (s *step) Value() any { return s }

// Equal implements ref.Val.
func (s *step) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(s) == other) }

// ConvertToType implements ref.Val.
func (s *step) ConvertToType(ref.Type) ref.Val { return types.NewErr("a step is no other value") }

// ConvertToNative implements ref.Val.
func (s *step) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a step is no %v", t)
}

package expr

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Program is a compiled expression, safe for concurrent use.
type Program struct {
	source  string
	program cel.Program
	metered bool // its worst case exceeds the limits, or is unknown
	reads   Reads
}

// Source returns the text that was compiled, without the leading '='.
func (p *Program) Source() string { return p.source }

// Reads tells what evaluations read. The caller owns the lists.
func (p *Program) Reads() Reads {
	reads := p.reads
	for _, list := range []*[]string{&reads.Steps, &reads.StepHeads, &reads.StepBodies, &reads.StepTexts, &reads.Params} {
		*list = slices.Clone(*list)
	}
	return reads
}

// Bool evaluates a condition. If the evaluation fails, or its result is not true or false, Bool returns an error, which
// a guard turns into a refusal.
func (p *Program) Bool(in *Input) (bool, error) {
	r := begin(in)
	defer r.end()
	value, err := p.eval(r)
	if err != nil {
		return false, err
	}
	truth, ok := value.(types.Bool)
	if !ok {
		return false, p.failed(fmt.Errorf("must be true or false, this is %s", describe(value.Type().TypeName())))
	}
	return bool(truth), nil
}

// String evaluates to text. Numbers and truth values give the text that JSON has for them. Lists, maps and null are
// errors.
func (p *Program) String(in *Input) (string, error) {
	r := begin(in)
	defer r.end()
	value, err := p.eval(r)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case types.String:
		if len(v) > maxOutput {
			return "", p.failed(errTooLarge)
		}
		return string(v), nil
	case types.Int:
		return strconv.FormatInt(int64(v), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10), nil
	case types.Double:
		return formatDouble(float64(v)), nil
	case types.Bool:
		return strconv.FormatBool(bool(v)), nil
	case *numeral:
		return v.text, nil
	default:
		return "", p.failed(fmt.Errorf("must be text, this is %s", describe(value.Type().TypeName())))
	}
}

// Int evaluates to a whole number. Anything else is an error.
func (p *Program) Int(in *Input) (int64, error) {
	r := begin(in)
	defer r.end()
	value, err := p.eval(r)
	if err != nil {
		return 0, err
	}
	n, ok := settleScalar(value).(types.Int)
	if !ok {
		return 0, p.failed(fmt.Errorf("must be a whole number, this is %s", describe(value.Type().TypeName())))
	}
	return int64(n), nil
}

// Value evaluates to a tree that jsonx.Append can write: nil, bool, string, int64, uint64, float64, jsonx.Number,
// jsonx.Value (an untouched part of a body, which keeps its own bytes), []any and map[string]any.
func (p *Program) Value(in *Input) (any, error) {
	r := begin(in)
	defer r.end()
	value, err := p.eval(r)
	if err != nil {
		return nil, err
	}
	out := exporter{left: maxOutput}
	tree, err := out.export(value, 0)
	if err != nil {
		return nil, p.failed(err)
	}
	return tree, nil
}

func (p *Program) eval(r *run) (ref.Val, error) {
	var value ref.Val
	var err error
	if p.metered {
		value, err = p.evalMetered(r)
	} else {
		value, _, err = p.program.Eval(r)
	}
	if err != nil {
		return nil, p.failed(err)
	}
	return value, nil
}

// evalMetered stops when the cost or the time is used up, or the client is gone.
func (p *Program) evalMetered(r *run) (ref.Val, error) {
	ctx := context.Background()
	if r.in.Request != nil {
		ctx = exchange.MakerContext(r.in.Request) // its own may be that of an earlier attempt, which has ended
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	value, _, err := p.program.ContextEval(ctx, r)
	return value, err
}

func (p *Program) failed(err error) error {
	return fmt.Errorf("expression %q: %w", p.source, err)
}

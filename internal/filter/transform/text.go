package transform

import (
	"errors"
	"fmt"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
)

// text is a body that is a text with computed values in it.
type text []textPart

type textPart struct {
	literal string
	program *expr.Program // nil: literal
}

var errLongText = errors.New("the text is too long")

// text makes a template ready; nil for none.
func (b *builder) text(t *config.TextTemplate, scope expr.Scope) (text, error) {
	if t == nil {
		return nil, nil
	}
	made := make(text, len(t.Parts))
	for i, p := range t.Parts {
		made[i].literal = p.Text
		if p.Expr == nil {
			continue
		}
		program, err := b.compile(expr.Any, scope)(p.Expr)
		if err != nil {
			return nil, err
		}
		made[i].program = program
	}
	return made, nil
}

// append appends the text. String values are inserted as they are, null as nothing, and every other value as its JSON.
func (t text) append(dst []byte, in *expr.Input) ([]byte, error) {
	for i := range t {
		dst = append(dst, t[i].literal...)
		if t[i].program == nil {
			continue
		}
		value, err := t[i].program.Value(in)
		if err != nil {
			return nil, err
		}
		if dst, err = appendValue(dst, value); err != nil {
			return nil, fmt.Errorf("expression %q: %w", t[i].program.Source(), err)
		}
		if len(dst) > roomForValues {
			return nil, errLongText
		}
	}
	return dst, nil
}

func appendValue(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return dst, nil
	case string:
		return append(dst, v...), nil
	case jsonx.Value:
		switch v.Kind() {
		case jsonx.Null, jsonx.Invalid:
			return dst, nil
		case jsonx.String:
			return append(dst, v.Text()...), nil
		}
	}
	return jsonx.Append(dst, value) //nolint:wrapcheck // as above
}

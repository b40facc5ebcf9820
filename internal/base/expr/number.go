package expr

import (
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// numeral is a JSON number whose text differs from how its value would be written: 1.10, 1e3, -0,
// 123456789012345678901234567890. If it is only passed on, it keeps its text. A function or operator receives its value
// instead (see settle).
type numeral struct{ text string }

// fromNumber converts a JSON number to a CEL value. Most become ints and doubles. A numeral is made only if those would
// be written differently.
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

// numberOf implements number('1.10'): the JSON number that a text contains. In formats in which every value is text,
// such as XML and forms, there is no other way to produce a number that keeps its digits.
func numberOf(v ref.Val) ref.Val {
	text, ok := v.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	parsed, err := jsonx.Parse([]byte(text), jsonx.Options{})
	if err != nil || parsed.Kind() != jsonx.Number {
		return types.NewErr("%q is no number as JSON writes it", shortened(string(text)))
	}
	return fromNumber(parsed.Raw())
}

// numberValue returns the value of a number's text. A text written as an integer becomes an int or uint if it fits. A
// text not written as an integer becomes a double. Otherwise it stays a numeral, which can only be compared for
// equality: as a double it might equal a different number.
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

// Equal implements ref.Val. It compares integers of any size exactly.
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

package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

var errTooLarge = fmt.Errorf("the result is larger than %d bytes", maxOutput)

// exporter converts a CEL value to a Go tree that does not depend on the run.
type exporter struct{ left int }

// maxDepth bounds the nesting of a result.
const maxDepth = 256

// spend counts n bytes towards the approximate size of the result.
func (e *exporter) spend(n int) error {
	e.left -= n
	if e.left < 0 {
		return errTooLarge
	}
	return nil
}

func (e *exporter) export(v ref.Val, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("the result is nested too deeply")
	}
	switch v := v.(type) {
	case types.String:
		return string(v), e.spend(len(v))
	case types.Bool:
		return bool(v), e.spend(5)
	case types.Int:
		return int64(v), e.spend(8)
	case types.Uint:
		return uint64(v), e.spend(8)
	case types.Double:
		return float64(v), e.spend(8)
	case types.Null:
		return nil, e.spend(4)
	case types.Bytes:
		return []byte(v), e.spend(len(v))
	case *numeral:
		return json.Number(v.text), e.spend(len(v.text))
	case *list:
		return v.value, e.spend(len(v.value.Raw()))
	case *object:
		return v.value, e.spend(len(v.value.Raw()))
	case *fields:
		return v.native(), e.spend(headBytes)
	case types.Timestamp, types.Duration:
		return e.export(v.ConvertToType(types.StringType), depth)
	case traits.Mapper:
		return e.exportMap(v, depth)
	case traits.Lister:
		return e.exportList(v, depth)
	default:
		return nil, fmt.Errorf("%s has no JSON form", describe(v.Type().TypeName()))
	}
}

func (e *exporter) exportList(l traits.Lister, depth int) (any, error) {
	out := []any{}
	for it := l.Iterator(); it.HasNext() == types.True; {
		v, err := e.export(it.Next(), depth+1)
		if err != nil {
			return nil, err
		}
		if err := e.spend(1); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (e *exporter) exportMap(m traits.Mapper, depth int) (any, error) {
	out := map[string]any{}
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, err := keyText(key)
		if err != nil {
			return nil, err
		}
		v, err := e.export(m.Get(key), depth+1)
		if err != nil {
			return nil, err
		}
		if err := e.spend(len(name) + 4); err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// keyText returns a map key as the name of a member.
func keyText(key ref.Val) (string, error) {
	switch k := key.(type) {
	case types.String:
		return string(k), nil
	case types.Int:
		return strconv.FormatInt(int64(k), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(k), 10), nil
	case types.Bool:
		return strconv.FormatBool(bool(k)), nil
	default:
		return "", fmt.Errorf("%s cannot name a member", describe(key.Type().TypeName()))
	}
}

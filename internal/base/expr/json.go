package expr

import (
	"encoding/json"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// adapter converts Go values, above all JSON, to CEL values.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case ref.Val:
		return v
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case jsonx.Value:
		return fromJSON(v)
	case json.Number:
		return fromNumber(string(v))
	case []any:
		return types.NewDynamicList(adapter{}, v)
	case []string:
		return types.NewStringList(adapter{}, v)
	case map[string]any:
		return types.NewStringInterfaceMap(adapter{}, v)
	default:
		return types.DefaultTypeAdapter.NativeToValue(v)
	}
}

func fromJSON(v jsonx.Value) ref.Val {
	switch v.Kind() {
	case jsonx.Bool:
		return types.Bool(v.Bool())
	case jsonx.Number:
		return fromNumber(v.Raw())
	case jsonx.String:
		return types.String(v.Text())
	case jsonx.List:
		return &list{value: v}
	case jsonx.Object:
		return &object{value: v}
	default:
		return types.NullValue
	}
}

// list is a JSON list that has not been decoded. If plain is set, its numbers are CEL's own, for functions that know no
// others (see settle).
type list struct {
	value jsonx.Value
	plain bool
}

func (l *list) element(v jsonx.Value) ref.Val { return element(v, l.plain) }

func element(v jsonx.Value, plain bool) ref.Val {
	e := fromJSON(v)
	if plain {
		return settle(e)
	}
	return e
}

// decoded returns l as a list of CEL's own type.
func (l *list) decoded() traits.Lister {
	elements := make([]ref.Val, 0, l.value.Len())
	for v := range l.value.Elements() {
		elements = append(elements, l.element(v))
	}
	return types.NewRefValList(adapter{}, elements)
}

// Add implements traits.Adder.
func (l *list) Add(other ref.Val) ref.Val {
	if o, ok := other.(*list); ok {
		return l.decoded().Add(o.decoded())
	}
	return l.decoded().Add(other)
}

// Contains implements traits.Container.
func (l *list) Contains(want ref.Val) ref.Val {
	want = settle(want)
	for v := range l.value.Elements() {
		if types.Equal(settle(fromJSON(v)), want) == types.True {
			return types.True
		}
	}
	return types.False
}

// Get implements traits.Indexer.
func (l *list) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	if err != nil {
		return types.WrapErr(err)
	}
	v := l.value.At(i)
	if v.Kind() == jsonx.Invalid {
		return types.NewErr("index %d is outside of a list of %d", i, l.value.Len())
	}
	return l.element(v)
}

// Fold implements traits.Foldable, which comprehensions use.
func (l *list) Fold(f traits.Folder) {
	i := types.Int(0)
	for v := range l.value.Elements() {
		if !f.FoldEntry(i, l.element(v)) {
			return
		}
		i++
	}
}

// Iterator implements traits.Iterable.
func (l *list) Iterator() traits.Iterator { return l.decoded().Iterator() }

// Size implements traits.Sizer.
func (l *list) Size() ref.Val { return types.Int(l.value.Len()) }

// Equal implements ref.Val.
func (l *list) Equal(other ref.Val) ref.Val {
	o, ok := other.(traits.Lister)
	if !ok || o.Size() != l.Size() {
		return types.False
	}
	i := types.Int(0)
	for v := range l.value.Elements() {
		if types.Equal(settle(fromJSON(v)), settle(o.Get(i))) != types.True {
			return types.False
		}
		i++
	}
	return types.True
}

// Type implements ref.Val.
func (l *list) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *list) Value() any { return l.value }

// ConvertToType implements ref.Val.
func (l *list) ConvertToType(t ref.Type) ref.Val { return l.decoded().ConvertToType(t) }

// ConvertToNative implements ref.Val.
func (l *list) ConvertToNative(t reflect.Type) (any, error) { return l.decoded().ConvertToNative(t) }

// object is a JSON object that has not been decoded. plain has the same meaning as in list.
type object struct {
	value jsonx.Value
	plain bool
}

// Find implements traits.Mapper.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	v, found := o.value.Get(string(name))
	if !found {
		return nil, false
	}
	return element(v, o.plain), true
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	if v, found := o.Find(key); found {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	_, found := o.Find(key)
	return types.Bool(found)
}

// names lists the names of the members, without duplicates.
func (o *object) names() []string {
	list, seen := make([]string, 0, o.value.Len()), make(map[string]bool, o.value.Len())
	for name := range o.value.Members() {
		if !seen[name] {
			seen[name] = true
			list = append(list, name)
		}
	}
	return list
}

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator {
	names, _ := types.NewStringList(adapter{}, o.names()).(traits.Iterable)
	return names.Iterator()
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(o.value.Len()) }

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok {
		return types.False
	}
	names := o.names()
	if m.Size() != types.Int(len(names)) {
		return types.False
	}
	for _, name := range names {
		mine, _ := o.value.Get(name)
		theirs, found := m.Find(types.String(name))
		if !found || types.Equal(settle(fromJSON(mine)), settle(theirs)) != types.True {
			return types.False
		}
	}
	return types.True
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o.value }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	default:
		return types.NewErr("type conversion error from 'map' to '%s'", t)
	}
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(t reflect.Type) (any, error) {
	return types.NewDynamicMap(adapter{}, o.value.Any()).ConvertToNative(t)
}

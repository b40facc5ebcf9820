package config

import (
	"reflect"
	"sync"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Same tells whether two parts of configs, of one type, say the same, wherever
// they were written: it compares everything but places. What holds a function is
// never the same as another.
func Same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if !va.IsValid() || !vb.IsValid() || va.Type() != vb.Type() {
		return va.IsValid() == vb.IsValid() && !va.IsValid()
	}
	return comparerOf(va.Type())(va, vb)
}

// comparer compares two values of one type.
type comparer func(a, b reflect.Value) bool

// comparers is the table of what comparerOf has made.
var comparers sync.Map // reflect.Type to comparer

func comparerOf(t reflect.Type) comparer {
	if made, ok := comparers.Load(t); ok {
		return made.(comparer) //nolint:forcetypeassert // nothing else is stored
	}
	// A type that holds itself finds this one while its own is being made.
	var own comparer
	var making sync.Once
	comparers.Store(t, comparer(func(a, b reflect.Value) bool {
		making.Do(func() { own = newComparer(t) })
		return own(a, b)
	}))
	made := newComparer(t)
	comparers.Store(t, made)
	return made
}

// isPlace tells the types that only say where something was written.
func isPlace(t reflect.Type) bool {
	return t == reflect.TypeFor[doc.Pos]() || t == reflect.TypeFor[Origin]() || t == reflect.TypeFor[map[string]Origin]()
}

func newComparer(t reflect.Type) comparer {
	if isPlace(t) {
		return func(_, _ reflect.Value) bool { return true }
	}
	switch t.Kind() {
	case reflect.Pointer:
		return pointerComparer(comparerOf(t.Elem()))
	case reflect.Interface:
		return sameDynamic
	case reflect.Struct:
		return structComparer(t)
	case reflect.Slice:
		return sliceComparer(comparerOf(t.Elem()))
	case reflect.Array:
		return arrayComparer(comparerOf(t.Elem()))
	case reflect.Map:
		return mapComparer(comparerOf(t.Elem()))
	case reflect.Func:
		return func(a, b reflect.Value) bool { return a.IsNil() && b.IsNil() }
	default:
		return func(a, b reflect.Value) bool { return a.Equal(b) }
	}
}

func pointerComparer(element comparer) comparer {
	return func(a, b reflect.Value) bool {
		if a.IsNil() || b.IsNil() || a.UnsafePointer() == b.UnsafePointer() {
			return a.UnsafePointer() == b.UnsafePointer()
		}
		return element(a.Elem(), b.Elem())
	}
}

// sameDynamic compares what two interfaces hold.
func sameDynamic(a, b reflect.Value) bool {
	if a.IsNil() || b.IsNil() {
		return a.IsNil() && b.IsNil()
	}
	a, b = a.Elem(), b.Elem()
	return a.Type() == b.Type() && comparerOf(a.Type())(a, b)
}

func structComparer(t reflect.Type) comparer {
	type part struct {
		index int
		same  comparer
	}
	var parts []part
	for i := range t.NumField() {
		if f := t.Field(i); !isPlace(f.Type) {
			parts = append(parts, part{i, comparerOf(f.Type)})
		}
	}
	return func(a, b reflect.Value) bool {
		for _, p := range parts {
			if !p.same(a.Field(p.index), b.Field(p.index)) {
				return false
			}
		}
		return true
	}
}

func sliceComparer(element comparer) comparer {
	items := arrayComparer(element)
	return func(a, b reflect.Value) bool {
		return a.IsNil() == b.IsNil() && a.Len() == b.Len() && items(a, b)
	}
}

func arrayComparer(element comparer) comparer {
	return func(a, b reflect.Value) bool {
		for i := range a.Len() {
			if !element(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
}

func mapComparer(element comparer) comparer {
	return func(a, b reflect.Value) bool {
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() || !element(it.Value(), other) {
				return false
			}
		}
		return true
	}
}

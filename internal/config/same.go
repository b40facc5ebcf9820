package config

import (
	"reflect"
	"sync"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Same reports whether two parts of configs, of one type, have the same content, wherever they were written: it
// compares everything but places. A part that holds a function is never the same as another.
func Same(a, b any) bool { return bySaying.same(a, b) }

// ServesSame reports whether two parts of configs, of one type, serve in the same way. It works like Same, but it also
// compares the places in parts that are Located.
func ServesSame(a, b any) bool { return byServing.same(a, b) }

// Located is implemented by parts that show, while they serve, where they were written. Places are then part of their
// content.
type Located interface{ Located() }

// Located is implemented because explain shows where the steps of a composition were written.
func (*Composition) Located() {}

// equality is a way of comparing parts of configs. It remembers the comparers of types.
type equality struct {
	heedsLocated bool     // whether places count in parts that are Located
	placesCount  bool     // whether places count everywhere
	comparers    sync.Map // reflect.Type to comparer
}

// The ways of comparing, each with its comparers.
var (
	bySaying  = &equality{}
	byServing = &equality{heedsLocated: true}
	byPlace   = &equality{placesCount: true}
)

func (q *equality) same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if !va.IsValid() || !vb.IsValid() || va.Type() != vb.Type() {
		return va.IsValid() == vb.IsValid() && !va.IsValid()
	}
	return q.comparer(va.Type())(va, vb)
}

// comparer compares two values of one type.
type comparer func(a, b reflect.Value) bool

func (q *equality) comparer(t reflect.Type) comparer {
	if made, ok := q.comparers.Load(t); ok {
		return made.(comparer) //nolint:forcetypeassert // nothing else is stored
	}
	// A type that contains itself finds this comparer while its own is being made.
	var own comparer
	var making sync.Once
	q.comparers.Store(t, comparer(func(a, b reflect.Value) bool {
		making.Do(func() { own = q.make(t) })
		return own(a, b)
	}))
	made := q.make(t)
	q.comparers.Store(t, made)
	return made
}

// isPlace reports whether a type only says where something was written.
func isPlace(t reflect.Type) bool {
	return t == reflect.TypeFor[doc.Pos]() || t == reflect.TypeFor[Origin]() || t == reflect.TypeFor[map[string]Origin]()
}

func (q *equality) make(t reflect.Type) comparer {
	switch {
	case isPlace(t) && !q.placesCount:
		return func(_, _ reflect.Value) bool { return true }
	case q.heedsLocated && t.Implements(reflect.TypeFor[Located]()):
		return byPlace.comparer(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return pointerComparer(q.comparer(t.Elem()))
	case reflect.Interface:
		return q.sameDynamic
	case reflect.Struct:
		return q.structComparer(t)
	case reflect.Slice:
		return sliceComparer(q.comparer(t.Elem()))
	case reflect.Array:
		return arrayComparer(q.comparer(t.Elem()))
	case reflect.Map:
		return mapComparer(q.comparer(t.Elem()))
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

// sameDynamic compares the values in two interfaces.
func (q *equality) sameDynamic(a, b reflect.Value) bool {
	if a.IsNil() || b.IsNil() {
		return a.IsNil() && b.IsNil()
	}
	a, b = a.Elem(), b.Elem()
	return a.Type() == b.Type() && q.comparer(a.Type())(a, b)
}

func (q *equality) structComparer(t reflect.Type) comparer {
	type part struct {
		index int
		same  comparer
	}
	var parts []part
	for i := range t.NumField() {
		if f := t.Field(i); q.placesCount || !isPlace(f.Type) {
			parts = append(parts, part{i, q.comparer(f.Type)})
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

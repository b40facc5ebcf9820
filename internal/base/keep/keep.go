// Package keep lets a part of a snapshot have state that lives longer than the snapshot: the counters of a limit, keys
// that are refreshed in the background, results of earlier verifications.
package keep

import "context"

// Keeper returns the state with that identity. The identity contains everything that makes it a different state when it
// changes. All callers with the same identity share the state. If there is no state with that identity, makeIt is
// called. It may start goroutines; the function that it returns must end them. That function is called once no snapshot
// uses the state, and may be nil. If a config is only checked, makeIt is not called and the state is nil.
//
// A Keeper belongs to one kind of part, and may only be used while a part is built.
type Keeper func(identity string, makeIt func() (any, func(context.Context), error)) (any, error)

// In returns state of type T from k. If a config is only checked, it returns the zero T, and what is built on it must
// never run.
func In[T any](k Keeper, identity string, makeIt func() (T, func(context.Context), error)) (T, error) {
	kept, err := k(identity, func() (any, func(context.Context), error) { return makeIt() })
	value, _ := kept.(T) // nil if a config is only checked
	return value, err
}

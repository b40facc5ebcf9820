// Package keep is how a part of a snapshot has state that lives longer than the
// snapshot: the counters of a limit, keys that are refreshed in the background,
// what was verified already.
package keep

import "context"

// Keeper gives the state of that identity, which says everything that makes it
// another one when it changes; all who name the same share it. makeIt is called
// where nothing of that identity lives yet. It may start goroutines, which the
// function that it gives ends once no snapshot uses the state; that function may be
// nil. Where a config is only checked, makeIt is not called and the state is nil.
//
// A Keeper belongs to one kind of part, and is used only while that is built.
type Keeper func(identity string, makeIt func() (any, func(context.Context), error)) (any, error)

// In gives state of type T that k keeps. Of a config that is only checked it is the
// zero T, and what is built on it must never run.
func In[T any](k Keeper, identity string, makeIt func() (T, func(context.Context), error)) (T, error) {
	kept, err := k(identity, func() (any, func(context.Context), error) { return makeIt() })
	value, _ := kept.(T) // nil where a config is only checked
	return value, err
}

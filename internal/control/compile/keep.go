package compile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// part is something that is alive: a pool, a service, a function, an open folder.
type part struct {
	value any
	// close ends the part. Requests under way may finish until ctx ends. It is nil if nothing has to be ended.
	close func(ctx context.Context)
}

// kept are the live parts of the snapshot that serves, by name.
type kept map[string]*part

// used are the parts of one pending snapshot.
type used struct {
	parts map[string]*part
	made  []*part           // the parts that were made for this snapshot
	tunes map[string]func() // by the name of the part
}

func newUsed() *used { return &used{parts: map[string]*part{}, tunes: map[string]func(){}} }

// keep returns the part with that name: the one that this build already uses, otherwise the kept one if same reports
// that it can stand for the new one, otherwise a new one. A kept part that is not the same lives on beside its
// successor until release.
func keep[T any](b *build, name string, same func(T) bool, makeIt func() (T, func(context.Context), error)) (T, error) {
	if p, ok := b.used.parts[name]; ok {
		return p.value.(T), nil //nolint:forcetypeassert // names carry the kind
	}
	if p, ok := b.compiler.kept[name]; ok {
		if value := p.value.(T); same(value) { //nolint:forcetypeassert // names carry the kind
			b.used.parts[name] = p
			return value, nil
		}
	}
	value, closeIt, err := makeIt()
	if err != nil {
		return value, err
	}
	b.used.add(name, value, closeIt)
	return value, nil
}

// always is the argument same of keep for parts whose name says everything about them.
func always[T any](T) bool { return true }

// add records a part that was made for this snapshot.
func (u *used) add(name string, value any, closeIt func(context.Context)) {
	p := &part{value, closeIt}
	u.parts[name] = p
	u.made = append(u.made, p)
}

// own records something that lives for this snapshot only.
func (u *used) own(closeIt func(context.Context)) {
	u.add(fmt.Sprintf("own %d", len(u.made)), nil, closeIt)
}

// tune queues a change of a part for the moment when the snapshot serves. Several uses of the part make one change.
func (u *used) tune(name string, change func()) { u.tunes[name] = change }

// commit replaces the kept parts by the used ones, applies the queued changes and returns a function that ends the
// other parts, all at the same time.
func (k kept) commit(u *used) func(ctx context.Context) {
	var unused []func(context.Context) // not the parts, which may hold the config they were made from
	for name, p := range k {
		if u.parts[name] != p && p.close != nil {
			unused = append(unused, p.close)
		}
	}
	clear(k)
	maps.Copy(k, u.parts)
	for _, change := range u.tunes {
		change()
	}
	return func(ctx context.Context) { closeAll(ctx, unused) }
}

// abort ends the parts that were made for nothing, newest first, because a later part may use an earlier one.
func (u *used) abort(ctx context.Context) {
	for _, p := range slices.Backward(u.made) {
		if p.close != nil {
			p.close(ctx)
		}
	}
}

func closeAll(ctx context.Context, parts []func(context.Context)) {
	var wait sync.WaitGroup
	for _, end := range parts {
		wait.Go(func() { end(ctx) })
	}
	wait.Wait()
}

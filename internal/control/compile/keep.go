package compile

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// part is something alive that may outlive a snapshot.
type part struct {
	value any
	// close ends it; requests under way may finish until ctx ends.
	close func(ctx context.Context)
}

// kept are the live parts by identity: two parts with equal keys are
// interchangeable, whatever else their configs say.
type kept map[string]*part

// used are the parts of one pending snapshot.
type used struct {
	parts map[string]*part
	made  map[string]*part // those of them that did not live before
	tunes []func()
}

func newKept() kept  { return kept{} }
func newUsed() *used { return &used{parts: map[string]*part{}, made: map[string]*part{}} }

// take gives the part of that identity: the one this build already uses, the
// kept one, or a new one.
func take[T any](k kept, u *used, key string, makeIt func() (T, func(context.Context), error)) (T, error) {
	if p, ok := u.parts[key]; ok {
		return p.value.(T), nil //nolint:forcetypeassert // keys carry the kind
	}
	if p, ok := k[key]; ok {
		u.parts[key] = p
		return p.value.(T), nil //nolint:forcetypeassert // keys carry the kind
	}
	value, closeIt, err := makeIt()
	if err != nil {
		return value, err
	}
	p := &part{value: value, close: closeIt}
	u.parts[key], u.made[key] = p, p
	return value, nil
}

// commit replaces what is kept by what is used, applies the queued tunings and
// gives a function that ends the rest, all at once.
func (k kept) commit(u *used) func(ctx context.Context) {
	var unused []*part
	for key, p := range k {
		if u.parts[key] != p {
			unused = append(unused, p)
		}
	}
	clear(k)
	maps.Copy(k, u.parts)
	for _, tune := range u.tunes {
		tune()
	}
	return func(ctx context.Context) { closeAll(ctx, unused) }
}

// abort ends what was made in vain.
func (k kept) abort(ctx context.Context, u *used) {
	closeAll(ctx, slices.Collect(maps.Values(u.made)))
}

func closeAll(ctx context.Context, parts []*part) {
	var wait sync.WaitGroup
	for _, p := range parts {
		wait.Go(func() { p.close(ctx) })
	}
	wait.Wait()
}

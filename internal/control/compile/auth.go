package compile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// auths builds every way of recognising callers, used by a route or not: a mistake in
// one should not wait for its first route to be told. What backends are told of
// callers counts on every route, for a backend may stand behind one without auth too.
func (b *build) auths(s *snapshot.Snapshot) {
	for i := range b.cfg.Auths {
		a := &b.cfg.Auths[i]
		way, err := b.auth(a)
		if err != nil {
			b.problems.Add(doc.Problem{Pos: a.Origin.Pos, What: fmt.Sprintf("auth %q", a.Name), Why: err.Error()})
			b.told[a] = toldError{err}
			continue
		}
		b.ways[a.Name] = way
		s.Managed = append(s.Managed, way.Forward.Managed()...)
		s.PublicKeys = append(s.PublicKeys, way.PublicKeys()...)
	}
	slices.Sort(s.Managed)
	s.Managed = slices.Compact(s.Managed)
}

func (b *build) auth(a *config.Auth) (auth.Way, error) {
	d, ok := find(b.compiler.parts.Auths, func(d auth.Definition) bool { return d.Kind == a.Kind })
	if !ok {
		return auth.Way{}, fmt.Errorf("this version knows no auth of kind %q", a.Kind)
	}
	return d.Build(auth.Env{
		Name: a.Name, Group: a.Group, Secret: b.compiler.options.Secret, Log: b.compiler.options.Log, Checked: !b.start,
		Await: func(what string, ready <-chan struct{}) { b.awaited = append(b.awaited, awaited{what, ready}) },
		Keep: func(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
			if !b.start {
				return nil, nil
			}
			return keep(b, "auth "+a.Kind+" "+identity, always, makeIt)
		},
	}, a.Config)
}

// awaited is something of a way that should be there before its first request.
type awaited struct {
	what  string
	ready <-chan struct{}
}

// firstKeys is how long a new snapshot waits, all in all, for what its ways of recognising
// callers fetch first; after that it serves, and what needs it gets 503 until it is there.
const firstKeys = 3 * time.Second

func (b *build) awaitKeys() {
	timer := time.NewTimer(firstKeys)
	defer timer.Stop()
	for _, a := range b.awaited {
		select {
		case <-a.ready:
		case <-timer.C:
			b.compiler.options.Log.Warn("serving before everything that callers are recognised by is known; who needs it gets 503 until it is", "missing", a.what)
			return
		}
	}
}

// way gives a way of recognising callers to a filter of the route. Whether the route
// may name it was validated.
func (o *road) way(name string) (auth.Way, error) {
	if way, ok := o.ways[name]; ok {
		return way, nil
	}
	for i := range o.cfg.Auths {
		if a := &o.cfg.Auths[i]; a.Name == name && o.told[a] != nil {
			return auth.Way{}, o.told[a]
		}
	}
	return auth.Way{}, errors.New("there is no auth " + name)
}

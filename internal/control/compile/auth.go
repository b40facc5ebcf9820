package compile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// auths builds every way of recognising callers, used by a route or not: a mistake in
// one should not wait for its first route to be told. The fields that backends are told of
// callers by are taken from clients on every route, for a backend may stand behind one
// without auth too. Those of a group are on its own routes and those of nobody: what one team
// calls a field takes it from no other.
func (b *build) auths(s *snapshot.Snapshot) {
	for i := range b.cfg.Auths {
		a := &b.cfg.Auths[i]
		way, err := b.auth(a)
		if err != nil {
			for _, one := range each(err) {
				b.problems.Add(doc.Problem{Pos: placeOf(one, a.Origin.Pos), What: fmt.Sprintf("auth %q", a.Name), Why: strings.ReplaceAll(one.Error(), "\n", "; ")})
			}
			b.told[a] = toldError{err}
			continue
		}
		b.ways[a.Name] = way
		b.managed[a.Group] = append(b.managed[a.Group], way.recognise.Forward.Managed()...)
		s.PublicKeys = append(s.PublicKeys, way.recognise.PublicKeys()...)
		maps.Copy(b.heard, way.recognise.Heard)
	}
	for i := range b.cfg.Auths {
		b.reachable(&b.cfg.Auths[i])
	}
	for group, names := range b.managed {
		slices.Sort(names)
		b.managed[group] = slices.Compact(names)
	}
	s.Managed = b.managed[""]
}

// reachable reports where a's credentials would be taken from clients before anybody has looked at
// them, for a way tells backends in the same field who is calling. It is told where a group says
// it, if one does, so that no team can hold up another.
func (b *build) reachable(a *config.Auth) {
	asks := b.ways[a.Name]
	if asks == nil {
		return
	}
	for i := range b.cfg.Auths {
		other := &b.cfg.Auths[i]
		tells := b.ways[other.Name]
		if tells == nil || a.Group != other.Group && a.Group != "" && other.Group != "" {
			continue
		}
		at := other.Origin.Pos
		if other.Group == "" {
			at = a.Origin.Pos
		}
		for _, place := range asks.recognise.Places {
			if place.Kind == auth.InHeader && slices.ContainsFunc(tells.recognise.Forward.Managed(), func(name string) bool { return forward.Folds(place.Name, name) }) {
				b.problems.Add(doc.Problem{
					Pos: at, What: fmt.Sprintf("nobody could pass by auth %q", a.Name),
					Why: fmt.Sprintf("its credentials stand in %s, which is taken from clients, for auth %q tells backends there who is calling", place.Name, other.Name),
					Fix: "choose another field, for one of them by from, or for the other by forward",
				})
			}
		}
	}
}

// each gives the errors that err joins.
func each(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var list []error
	for _, one := range joined.Unwrap() {
		list = append(list, each(one)...)
	}
	return list
}

// managedOn are the fields of groups that are taken from clients on the routes of one group,
// or of none.
func (b *build) managedOn(group string) []string {
	if group != "" {
		return b.managed[group]
	}
	var names []string
	for _, owner := range slices.Sorted(maps.Keys(b.managed)) {
		if owner != "" { // those of nobody are taken before any route
			names = append(names, b.managed[owner]...)
		}
	}
	return names
}

// withoutManaged takes the fields of groups away before anything of the route runs.
func (o *road) withoutManaged(next http.Handler) http.Handler {
	group, names := o.route.Group, o.managedOn(o.route.Group)
	o.notes.note(func(b *build) any { return strings.Join(b.managedOn(group), " ") }, strings.Join(names, " "))
	if len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forward.DropManaged(exchange.RequestHead(r), names)
		forward.DropManaged(exchange.RequestTrailer(r), names)
		next.ServeHTTP(w, r)
	})
}

// way is a way of recognising callers as it is kept: a route that names it need not
// be made again while it stays.
type way struct {
	recognise auth.Way
	auth      *config.Auth // the latest that says the same
	asked     []question
}

// auth makes a way of recognising callers, or finds that the one before says the same.
func (b *build) auth(a *config.Auth) (*way, error) {
	if !b.start {
		return b.makeWay(a)
	}
	same := func(before *way) bool { return config.ServesSame(before.auth, a) && b.stillSo(before.asked) }
	w, err := keep(b, "way "+a.Name, same, func() (*way, func(context.Context), error) {
		made, err := b.makeWay(a)
		return made, nil, err // what it keeps are parts of their own
	})
	if err == nil {
		w.auth = a
	}
	return w, err
}

func (b *build) makeWay(a *config.Auth) (*way, error) {
	d, ok := find(b.compiler.parts.Auths, func(d auth.Definition) bool { return d.Kind == a.Kind })
	if !ok {
		return nil, fmt.Errorf("this version knows no auth of kind %q", a.Kind)
	}
	notes := b.record()
	bounds, group, from := b.within(a.Group, a.Origin), a.Group, a.Origin
	notes.note(func(b *build) any { return b.cfg.Bounds(group, from).String() }, bounds.String())
	made, err := d.Build(auth.Env{
		Name: a.Name, Group: a.Group, Bounds: bounds, Secret: notes.secret, Log: b.compiler.options.Log, Checked: !b.start,
		Await: notes.await, Shelf: b.compiler.options.Shelf, Metrics: b.compiler.options.Metrics,
		Keep: func(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
			return notes.keep("auth "+a.Kind+" "+identity, makeIt)
		},
	}, a.Config)
	return &way{made, a, notes.done()}, err
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
	if w, ok := o.ways[name]; ok {
		o.notes.note(func(b *build) any { return b.wayIdentity(name) }, o.wayIdentity(name))
		return w.recognise, nil
	}
	for i := range o.cfg.Auths {
		if a := &o.cfg.Auths[i]; a.Name == name && o.told[a] != nil {
			return auth.Way{}, o.told[a]
		}
	}
	return auth.Way{}, errors.New("there is no auth " + name)
}

// wayIdentity is another one when the way was made again, nil where there is none.
func (b *build) wayIdentity(name string) any {
	if w, ok := b.ways[name]; ok {
		return w
	}
	return nil
}

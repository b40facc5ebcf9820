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

// auths builds every auth, whether a route uses it or not, so that a mistake is reported before a route uses it. The
// header fields in which an auth tells backends about callers are removed from the requests of clients on every route,
// because a backend may also be behind a route without auth. The fields of a group's auths are removed only on that
// group's routes and on the routes without a group, so that one team's choice of a field does not take that field from
// another team.
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

// reachable reports if a client's credentials for a are removed before a sees them, because another auth uses the same
// header field to tell backends who is calling. The problem is reported at the auth that belongs to a group, if one
// does, so that no team can block another.
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

// each returns the errors that err joins.
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

// managedOn returns the fields of groups' auths that are removed from client requests on the routes of one group, or on
// those without a group.
func (b *build) managedOn(group string) []string {
	if group != "" {
		return b.managed[group]
	}
	var names []string
	for _, owner := range slices.Sorted(maps.Keys(b.managed)) {
		if owner != "" { // the fields of auths without a group are removed before any route
			names = append(names, b.managed[owner]...)
		}
	}
	return names
}

// withoutManaged removes the fields of groups' auths before anything of the route runs.
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

// way is a way of recognising callers as it is kept. A route that names it need not be compiled again while it stays
// the same.
type way struct {
	recognise auth.Way
	auth      *config.Auth // the latest config that says the same
	asked     []question
}

// auth makes a way of recognising callers, or returns the kept one if that would be the same.
func (b *build) auth(a *config.Auth) (*way, error) {
	if !b.start {
		return b.makeWay(a)
	}
	same := func(before *way) bool { return config.ServesSame(before.auth, a) && b.stillSo(before.asked) }
	w, err := keep(b, "way "+a.Name, same, func() (*way, func(context.Context), error) {
		made, err := b.makeWay(a)
		return made, nil, err // what it keeps are separate parts
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

// awaited is something that a way should have before its first request.
type awaited struct {
	what  string
	ready <-chan struct{}
}

// firstKeys is how long, in total, a new snapshot waits for what its ways of recognising callers fetch first. After
// that it serves, and requests that need what is still missing get 503.
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

// way returns a way of recognising callers for a filter of the route. Validation has checked that the route may name
// it.
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

// wayIdentity changes if the way was made again; it is nil if there is none.
func (b *build) wayIdentity(name string) any {
	if w, ok := b.ways[name]; ok {
		return w
	}
	return nil
}

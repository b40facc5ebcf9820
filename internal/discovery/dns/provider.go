package dns

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the endpoints of one service.
type provider struct {
	hub *hub
	env discovery.Env
	own *config.Resolver // nil: the machine's settings

	targets   []target
	srv       string // the name of an SRV record, instead of targets
	certified string // the name that certificates of its targets are for; "" if there are none
}

// Run looks the names up again whenever something may have changed.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	if p.fixed() {
		set(endpointsOf(unplaced(p.targets), p.hub.usable))
		<-ctx.Done()
		return nil
	}
	resolver, release := p.hub.take(p.own)
	defer release()
	l := looking{provider: p, resolver: resolver, watches: map[string]*watch{}, records: watch{name: p.srv}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		next := l.round(ctx, set)
		if ctx.Err() != nil {
			return nil
		}
		timer.Reset(time.Until(next))
	}
}

// fixed tells that there are no names to look up.
func (p *provider) fixed() bool {
	return p.srv == "" && !slices.ContainsFunc(p.targets, func(t target) bool { return t.host != "" })
}

// unplaced returns the placed of targets that are addresses.
func unplaced(list []target) []placed {
	all := make([]placed, len(list))
	for i, t := range list {
		all[i].target = t
	}
	return all
}

// looking is the state of one provider while it runs.
type looking struct {
	*provider

	resolver *resolver
	records  watch             // of the SRV record
	watches  map[string]*watch // of the names of targets
	told     []discovery.Endpoint
	telling  bool // a set was passed on
	whole    bool // and it was complete
	tooMany  bool // and endpoints were left out of it
}

// round looks up what is due, passes on the result, and returns when there is something to do again.
func (l *looking) round(ctx context.Context, set func([]discovery.Endpoint)) (next time.Time) {
	seen := view{sure: true}
	groups := [][]target{l.targets}
	var along map[string][]netip.Addr
	if l.srv != "" {
		l.look(ctx, &l.records, l.resolver.services)
		seen.add(&l.records)
		groups, along = targetsOf(l.records.last.records, l.certified), l.records.last.extra
	}
	for _, g := range groups {
		if found := l.place(ctx, g, along, &seen); len(found) > 0 {
			seen.list = endpointsOf(found, l.hub.usable)
			break
		}
	}
	if ctx.Err() != nil {
		return time.Time{}
	}
	l.forget(groups)
	l.tell(&seen, set)
	return seen.next
}

// view is the result of one round.
type view struct {
	list    []discovery.Endpoint
	sure    bool // no part is missing because its lookup failed
	trouble error
	next    time.Time
}

func (v *view) add(w *watch) {
	v.sure = v.sure && w.known
	if v.trouble == nil {
		v.trouble = w.trouble
	}
	if v.next.IsZero() || w.due.Before(v.next) {
		v.next = w.due
	}
}

// look brings a watch up to date.
func (l *looking) look(ctx context.Context, w *watch, find func(ctx context.Context, name, last string) (sight, error)) {
	if time.Now().Before(w.due) {
		return
	}
	got, err := find(ctx, w.name, w.last.name)
	if ctx.Err() == nil {
		w.told(time.Now(), got, err)
	}
}

// place returns the targets of a group that have addresses; all of them are looked up at once. along are the addresses
// that came with the records.
func (l *looking) place(ctx context.Context, group []target, along map[string][]netip.Addr, seen *view) []placed {
	due := map[string]*watch{}
	for _, t := range group {
		if t.host != "" && len(along[t.host]) == 0 {
			due[t.host] = l.watch(t.host)
		}
	}
	var all sync.WaitGroup
	for _, w := range due {
		all.Go(func() { l.look(ctx, w, l.resolver.addresses) })
	}
	all.Wait()
	var found []placed
	for _, t := range group {
		p := placed{target: t, addrs: along[t.host]}
		if w := due[t.host]; w != nil {
			seen.add(w)
			p.addrs = w.last.addrs
		}
		if t.address != "" || len(p.addrs) > 0 {
			found = append(found, p)
		}
	}
	return found
}

func (l *looking) watch(name string) *watch {
	w := l.watches[name]
	if w == nil {
		w = &watch{name: name}
		l.watches[name] = w
	}
	return w
}

// forget drops the watches of targets that are gone.
func (l *looking) forget(groups [][]target) {
	for name := range l.watches {
		if !slices.ContainsFunc(groups, func(g []target) bool {
			return slices.ContainsFunc(g, func(t target) bool { return t.host == name })
		}) {
			delete(l.watches, name)
		}
	}
}

// tell passes on a set if it differs from the previous one, or is now known to be complete. A set that is empty because
// lookups failed is not passed on.
func (l *looking) tell(seen *view, set func([]discovery.Endpoint)) {
	list := seen.list[:min(len(seen.list), mostEndpoints)]
	tooMany := len(list) < len(seen.list)
	if tooMany && !l.tooMany {
		l.env.Log.Warn("there are more endpoints than are used", "name", l.what(), "endpoints", len(seen.list), "used", mostEndpoints)
	}
	l.tooMany = tooMany
	if !seen.sure {
		set = l.env.Partly
	}
	if set != nil && (seen.sure || len(list) > 0) && (!l.telling || l.whole != seen.sure || !slices.Equal(list, l.told)) {
		l.told, l.telling, l.whole = list, true, seen.sure
		set(slices.Clone(list))
	}
	if l.env.Looked != nil {
		l.env.Looked(seen.trouble)
	}
}

func (l *looking) what() string {
	if l.srv != "" {
		return l.srv
	}
	return l.targets[0].host
}

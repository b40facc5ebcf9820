package compile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// services checks every declared service, whether a route uses it or not.
func (b *build) services() {
	none := &config.Route{}
	for i := range b.cfg.Services {
		s := &b.cfg.Services[i]
		if _, err := b.service(none, s, b.within(s.Group, s.Origin)); err != nil && s.Origin.Object == "" {
			b.problems.Errorf(placeOf(err, s.Origin.Pos), "service %q: %v", s.Name, err)
			b.told[s] = toldError{err}
		}
	}
}

// runningService is a service as it is kept, with its feed. It outlives its feed: when the config names other
// endpoints, the endpoints that stay keep what is known about them.
type runningService struct {
	service *service.Service
	feed    atomic.Pointer[feed]
}

// follow makes f the only one that sets the service's endpoints.
func (s *runningService) follow(f *feed) {
	before := s.feed.Swap(f)
	if before == f {
		return
	}
	if before != nil {
		before.leave(s.service)
	}
	f.tell(s.service, before != nil && before.asksFor != f.asksFor)
}

// end detaches the service from its feed, which may continue, and closes the service.
func (s *runningService) end() {
	s.feed.Load().leave(s.service)
	s.service.Close()
}

// heard reports how the endpoints were last heard of; nil if the config itself names them.
func (s *runningService) heard() *telemetry.Heard {
	f := s.feed.Load()
	if f.fixed {
		return nil
	}
	h := f.heard()
	return &h
}

// kept returns when the endpoints were last confirmed, if that was before the start.
func (s *runningService) kept() time.Time {
	if h := s.heard(); h != nil && h.Kept {
		return h.Confirmed
	}
	return time.Time{}
}

// service returns a route's view of a service, which is made if it does not live yet. Its endpoints are called within
// bounds.
func (b *build) service(r *config.Route, s *config.Service, bounds *egress.Bounds) (resolved, error) {
	if err, ok := b.told[s]; ok {
		return resolved{}, err
	}
	key := called{s, r.Timeouts.Connect, bounds.String()}
	found, known := b.called[key]
	if !known {
		found.running, found.err = b.call(r, s, bounds)
		found.says = b.saying(s)
		b.called[key] = found
	}
	switch {
	case found.err != nil:
		return resolved{}, found.err
	case !b.start:
		return resolved{roundTripper: unstarted{}, endpoints: func() []string { return staticEndpoints(s) }, service: s}, nil
	}
	view := found.running.service.View(service.ViewOptions{
		Retry:    *cmp.Or(r.Retry, s.Retry, config.DefaultRetry()),
		Timeouts: r.Timeouts.Or(s.Timeouts).Or(config.DefaultTimeouts()),
	})
	return resolved{
		roundTripper: view, status: found.running.service.Status, kept: found.running.kept, service: s, identity: serviceIdentity{found.running, found.says},
	}, nil
}

// called is a service as called by some routes.
type called struct {
	service *config.Service
	connect time.Duration // set by the route; 0 if it sets none
	bounds  string
}

type calledService struct {
	running *runningService // nil if the config is only checked
	says    *saying
	err     error
}

// serviceIdentity changes if the service runs under another identity or if its config says something else, because
// routes complete their own config from it.
type serviceIdentity struct {
	running *runningService
	says    *saying
}

// saying stands for what the config of a service says, except for its endpoints, which do not concern routes.
type saying struct{ service config.Service }

// saying returns the kept one for as long as the service says the same.
func (b *build) saying(s *config.Service) *saying {
	if !b.start {
		return nil
	}
	now := *s
	now.Endpoints = nil
	said, _ := keep(b, "saying of service "+s.Group+"/"+s.Name, func(before *saying) bool { return config.Same(before.service, now) },
		func() (*saying, func(context.Context), error) { return &saying{now}, nil, nil })
	said.service = now // so that it does not keep an earlier config
	return said
}

// call starts a service as a route calls it, or finds it running.
func (b *build) call(r *config.Route, s *config.Service, bounds *egress.Bounds) (*runningService, error) {
	next, err := b.newFeed(s)
	if err != nil {
		return nil, err
	}
	identity, err := b.transportIdentity(r, s, bounds)
	if err != nil {
		return nil, err
	}
	by, err := b.balance(s)
	if err != nil || !b.start {
		return nil, err
	}
	return b.runningService(s, next, identity, by)
}

func (b *build) runningService(s *config.Service, next *feed, id transportIdentity, by service.Balance) (*runningService, error) {
	log := b.compiler.options.Log.With("service", s.Name)
	connections, err := b.transport(id)
	if err != nil {
		return nil, err
	}
	name := s.Group + "/" + s.Name
	endpoints, err := b.runningFeed(name+" "+sourceKey(s, b.resolver(s)), next)
	if err != nil {
		return nil, err
	}
	rules, err := b.selection(s, id)
	if err != nil {
		return nil, err
	}
	count := b.backendMeter(inGroup(s.Group, s.Name))
	name = "service " + name + " " + id.key
	running, err := keep(b, name, always, func() (*runningService, func(context.Context), error) {
		made := &runningService{service: service.New(service.Options{
			Name: s.Name, Transport: connections, Balance: by, Selection: rules, Meter: count, Log: log,
		})}
		made.follow(endpoints) // at once, because nothing uses it yet
		unwatch := count.Watch(endpointsOf(made))
		return made, func(context.Context) { unwatch(); made.end() }, nil // feeds and transports are separate parts
	})
	if err == nil {
		b.used.tune(name, func() {
			running.service.Tune(by)
			running.service.Select(rules)
			running.follow(endpoints)
		})
		b.noteService(s, running)
	}
	return running, err
}

// noteService records a running service for status and metrics.
func (b *build) noteService(s *config.Service, running *runningService) {
	name := inGroup(s.Group, s.Name)
	noted := b.noted[name]
	if noted == nil {
		noted = &notedService{}
		if s.Source != (config.Ref{}) {
			noted.source = s.Source.String()
		}
		b.noted[name] = noted
	}
	noted.running = append(noted.running, running)
}

// notedService is a service as it runs: several times if it is called in several ways.
type notedService struct {
	source  string
	running []*runningService
}

func (n *notedService) status() service.Status {
	all := make([]service.Status, len(n.running))
	for i, running := range n.running {
		all[i] = running.service.Status()
	}
	return service.Together(all)
}

// serviceNotes returns the running services.
func (b *build) serviceNotes() []snapshot.ServiceNote {
	list := make([]snapshot.ServiceNote, 0, len(b.noted))
	for _, name := range slices.Sorted(maps.Keys(b.noted)) {
		n := b.noted[name]
		list = append(list, snapshot.ServiceNote{Name: name, Source: n.source, Status: n.status, Heard: n.running[0].heard})
	}
	return list
}

// staticEndpoints returns the endpoints that the config itself names.
func staticEndpoints(s *config.Service) []string {
	if len(s.Endpoints) == 0 {
		if authority, isURL := strings.CutPrefix(s.Source.Rest, "//"); isURL {
			return []string{authority}
		}
		return []string{s.Source.String()}
	}
	var list []string
	for _, e := range s.Endpoints {
		list = append(list, e.Address)
	}
	return list
}

// resolver returns how the names of a service are looked up; nil if the config does not say.
func (b *build) resolver(s *config.Service) *config.Resolver {
	return cmp.Or(s.Resolver, b.cfg.Resolver)
}

// asksFor identifies whose endpoints are looked for, however that is done.
func asksFor(s *config.Service) string {
	names := []string{s.Source.String()}
	for _, e := range s.Endpoints {
		names = append(names, e.Address)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// sourceKey identifies where endpoints come from, with everything that a provider is given.
func sourceKey(s *config.Service, names *config.Resolver) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s tls %t %s ", s.Source, s.TLS != nil, names.Key())
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "%s*%d@%s ", e.Address, e.Weight, e.Zone)
	}
	return b.String()
}

package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
)

// services checks every service of the long form, used by a route or not.
func (b *build) services() {
	none := &config.Route{}
	for i := range b.cfg.Services {
		s := &b.cfg.Services[i]
		if _, err := b.service(none, s); err != nil && s.Origin.Object == "" {
			b.problems.Errorf(placeOf(err, s.Origin.Pos), "service %q: %v", s.Name, err)
			b.told[s] = toldError{err}
		}
	}
}

// runningService is a service as it is kept, with what feeds it. It outlives
// its feed: when the config names other endpoints, those that stay keep what is
// known of them.
type runningService struct {
	service *service.Service
	feed    *feed
}

// follow makes f the only one that sets the service's endpoints.
func (s *runningService) follow(f *feed) {
	if s.feed == f {
		return
	}
	if s.feed != nil {
		s.feed.tell(nil)
	}
	s.feed = f
	f.tell(s.service)
}

func (s *runningService) addresses() []string {
	var list []string
	for _, e := range s.service.Status().Endpoints {
		list = append(list, e.Address)
	}
	return list
}

// service gives a route's view of a service, which is made if it does not live yet.
func (b *build) service(r *config.Route, s *config.Service) (resolved, error) {
	if err, ok := b.told[s]; ok {
		return resolved{}, err
	}
	key := called{s, r.Timeouts.Connect}
	found, known := b.called[key]
	if !known {
		found.running, found.err = b.call(r, s)
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
		roundTripper: view, endpoints: found.running.addresses, service: s, identity: serviceIdentity{found.running, found.says},
	}, nil
}

// called is a service as some routes call it.
type called struct {
	service *config.Service
	connect time.Duration // as the route says, 0 where it says nothing
}

type calledService struct {
	running *runningService // nil where the config is only checked
	says    *saying
	err     error
}

// serviceIdentity is another one when the service runs under another identity, and
// when its config says something else, for routes complete theirs by it.
type serviceIdentity struct {
	running *runningService
	says    *saying
}

// saying stands for what the config of a service says, but for its endpoints, which
// concern no route.
type saying struct{ service config.Service }

// saying gives the one that is kept for as long as the service says the same.
func (b *build) saying(s *config.Service) *saying {
	if !b.start {
		return nil
	}
	now := *s
	now.Endpoints = nil
	said, _ := keep(b, "saying of service "+s.Group+"/"+s.Name, func(before *saying) bool { return config.Same(before.service, now) },
		func() (*saying, func(context.Context), error) { return &saying{now}, nil, nil })
	said.service = now // never one of a config that is gone
	return said
}

// call makes a service run as a route calls it, or finds it running.
func (b *build) call(r *config.Route, s *config.Service) (*runningService, error) {
	f := newFeed(s.Name, b.backendMeter(inGroup(s.Group, s.Name)), b.compiler.options.Log)
	provider, err := b.provider(s, f)
	if err != nil {
		return nil, err
	}
	identity, err := b.transportIdentity(r, s)
	if err != nil || !b.start {
		return nil, err
	}
	return b.runningService(s, f, provider, identity)
}

// runningService makes a service run; f is its feed if it has none yet.
func (b *build) runningService(s *config.Service, f *feed, p discovery.Provider, id transportIdentity) (*runningService, error) {
	log := b.compiler.options.Log.With("service", s.Name)
	connections, err := b.transport(id)
	if err != nil {
		return nil, err
	}
	name := s.Group + "/" + s.Name
	endpoints, err := keep(b, "feed "+name+" "+sourceKey(s), always, func() (*feed, func(context.Context), error) {
		f.start(p)
		b.feeds = append(b.feeds, f)
		return f, func(context.Context) { f.end() }, nil
	})
	if err != nil {
		return nil, err
	}
	count := b.backendMeter(inGroup(s.Group, s.Name))
	name = "service " + name + " " + id.key
	running, err := keep(b, name, always, func() (*runningService, func(context.Context), error) {
		made := &runningService{service: service.New(service.Options{Name: s.Name, Transport: connections, Meter: count, Log: log})}
		made.follow(endpoints) // at once, for nobody uses it yet
		unwatch := count.Watch(endpointsOf(made.service))
		return made, func(context.Context) { unwatch() }, nil // feeds and transports are parts of their own
	})
	if err == nil {
		b.used.tune(name, func() { running.follow(endpoints) })
	}
	return running, err
}

// provider makes who finds the endpoints of s, and tells f how looking for them goes.
func (b *build) provider(s *config.Service, f *feed) (discovery.Provider, error) {
	d, _, ok := b.compiler.parts.provider(s)
	if !ok {
		return nil, fmt.Errorf("this version finds no endpoints by %q", s.Source.Scheme)
	}
	return d.New(discovery.Env{Log: f.log, Looked: f.looked}, *s)
}

// staticEndpoints are those that the config itself names.
func staticEndpoints(s *config.Service) []string {
	if len(s.Endpoints) == 0 {
		if s.Source.Scheme == "unix" {
			return []string{s.Source.String()}
		}
		return []string{strings.TrimPrefix(s.Source.Rest, "//")}
	}
	var list []string
	for _, e := range s.Endpoints {
		list = append(list, e.Address)
	}
	return list
}

// sourceKey says where endpoints come from, with everything that a provider is told.
func sourceKey(s *config.Service) string {
	if len(s.Endpoints) == 0 {
		return s.Source.String()
	}
	var b strings.Builder
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "%s*%d@%s ", e.Address, e.Weight, e.Zone)
	}
	return b.String()
}

// feed runs a provider and passes what it finds on to one service.
type feed struct {
	name  string
	meter *telemetry.Backend
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{}
	first chan struct{} // closed once the endpoints are known, or it is known that they cannot be found now

	mu      sync.Mutex
	told    bool // first is closed
	known   bool
	latest  []discovery.Endpoint
	to      *service.Service // nil while nobody listens
	trouble error            // why nothing was found at the last look
}

// newFeed makes a feed that runs nothing yet.
func newFeed(name string, meter *telemetry.Backend, log *slog.Logger) *feed {
	return &feed{name: name, meter: meter, log: log.With("service", name), done: make(chan struct{}), first: make(chan struct{})}
}

// start runs p until end is called.
func (f *feed) start(p discovery.Provider) {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() {
		defer close(f.done)
		if err := p.Run(ctx, f.set); err != nil {
			f.log.Error("discovery ended; the last endpoints stay", "error", err)
		}
	}()
}

// looked is told by the provider how looking goes. It logs when that changes.
func (f *feed) looked(err error) {
	switch {
	case err == nil:
		f.meter.Looked(telemetry.Found, time.Now())
	case errors.Is(err, discovery.ErrAbsent):
		f.meter.Looked(telemetry.Absent, time.Now())
	default:
		f.meter.Looked(telemetry.Unseen, time.Now())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err != nil && f.trouble == nil && f.known && len(f.latest) > 0:
		f.log.Warn("endpoints cannot be found now; the last ones stay", "error", err)
	case err != nil && f.trouble == nil:
		f.log.Warn("endpoints cannot be found; requests to this service get 503 until they are", "error", err)
	case err == nil && f.trouble != nil:
		f.log.Info("endpoints are found again")
	}
	if f.trouble = err; err != nil {
		f.tellFirst()
	}
}

// tellFirst is called with mu held.
func (f *feed) tellFirst() {
	if !f.told {
		f.told = true
		close(f.first)
	}
}

// set is the provider's callback.
func (f *feed) set(list []discovery.Endpoint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = list
	if f.to != nil {
		f.to.Set(list)
	}
	f.known = true
	f.tellFirst()
}

// tell passes what is known, and all that comes, on to s; nil: to nobody.
func (f *feed) tell(s *service.Service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = s
	if s != nil && f.known {
		s.Set(f.latest)
	}
}

func (f *feed) end() {
	f.stop()
	<-f.done
}

// firstSet bounds how long a snapshot waits for the first endpoints of what it
// uses; after that it serves without them.
const firstSet = 2 * time.Second

// awaitFeeds waits until all that was started for this snapshot has found its
// endpoints, so that the first request finds them too, or has looked in vain.
func (b *build) awaitFeeds() {
	timer := time.NewTimer(firstSet)
	defer timer.Stop()
	for _, f := range b.feeds {
		select {
		case <-f.first:
		case <-f.done: // it has logged why
		case <-timer.C:
			b.compiler.options.Log.Warn("serving before all endpoints are known; requests to this service get 503 until they are", "service", f.name)
			return
		}
	}
}

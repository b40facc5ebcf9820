package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// source is a daemon with all its containers that may be endpoints. It is kept up to date while any provider runs.
type source struct {
	*client

	log      *slog.Logger
	where    string
	hostname string // of the gateway; in a container it is the beginning of the container's id
	ways     whereabouts
	doubt    time.Duration // how long it is doubted that there are no containers
	again    time.Duration // after which all containers are listed again, whatever events came

	used discovery.Used // runs run

	mu      sync.Mutex
	state   state
	changed chan struct{} // closed when the state changes
}

// state is what is known at one moment. It is immutable once it is handed out.
type state struct {
	known    bool
	err      error                   // why the daemon cannot be reached now
	services map[string][]*container // by their names
	ways     whereabouts
}

const (
	connectTime = 3 * time.Second
	// relist is how often all containers are listed even without events: an event may be lost, and a connection to
	// another machine may be dead.
	relist = time.Minute
	// stopTime is how long a container that was told to stop is assumed to be stopping.
	stopTime = 2 * time.Minute
)

func open(env discovery.SourceEnv, c *Config) (discovery.Source, error) {
	s := &source{
		log: env.Log, where: c.Host.String(), client: &client{at: c.Host.Address}, ways: whereabouts{machine: c.Host.machine(), ports: c.Ports, network: c.Network},
		doubt: discovery.EmptiedDoubt, again: relist, changed: make(chan struct{}),
	}
	s.used.Run = s.run
	s.hostname, _ = os.Hostname() // without one it is not a container
	options := transport.Options{Connect: connectTime}
	secure, err := c.Client(env)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the part
	}
	if c.Host.Secure {
		options.TLS = secure
	}
	s.via, err = transport.New(options)
	return s, err //nolint:wrapcheck // it says what is wrong
}

// Provider makes the provider of a service.
func (s *source) Provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	if err := checkName(service.Source.Rest); err != nil {
		return nil, err
	}
	return &provider{source: s, env: env, service: service.Source.Rest}, nil
}

// Close has nothing left to end: the goroutines ended with the last provider.
func (s *source) Close() { s.via.CloseIdle() }

// now returns what is known, and a channel that is closed when that changes.
func (s *source) now() (state, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.changed
}

func (s *source) become(next state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = next
	close(s.changed)
	s.changed = make(chan struct{})
}

// Pauses after a failure.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 10 * time.Second
)

// run watches the daemon until ctx ends, and starts again whenever that fails.
func (s *source) run(ctx context.Context) {
	pauses := backoff.New(shortestPause, longestPause)
	for {
		began := time.Now()
		err := s.watch(ctx)
		if ctx.Err() != nil {
			s.become(state{})
			return
		}
		last, _ := s.now()
		last.err = fmt.Errorf("%s: %w", s.where, err)
		s.become(last)
		backoff.Wait(ctx, backoff.Spread(pauses.Ended(began)))
	}
}

// watch subscribes to events first and then lists all containers, so that it misses nothing in between; after that it
// inspects the containers that events are about.
func (s *source) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.negotiate(ctx); err != nil {
		return err
	}
	decoder, body, err := s.events(ctx)
	if err != nil {
		return err
	}
	events, failed := make(chan event), make(chan error, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			var e event
			if err := decoder.Decode(&e); err != nil {
				failed <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	defer reading.Wait()
	defer func() { cancel(); _ = body.Close() }() // it is no longer read
	w := &watching{source: s, stopping: map[string]time.Time{}}
	if err := w.all(ctx); err != nil {
		return err
	}
	timer := time.NewTicker(s.again)
	defer timer.Stop()
	for {
		select {
		case e := <-events:
			err = w.hear(ctx, e)
		case <-timer.C:
			err = w.all(ctx)
		case err = <-failed:
			err = fmt.Errorf("the events have ended: %w", err)
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nobody reads it
		}
		if err != nil {
			return err
		}
	}
}

// watching is the state of a source while its daemon is reachable.
type watching struct {
	*source

	containers map[string]*container
	own        map[string]bool
	stopping   map[string]time.Time // containers that were told to stop, and when
}

// all lists and inspects all containers.
func (w *watching) all(ctx context.Context) error {
	list, err := w.list(ctx)
	if err != nil {
		return err
	}
	w.containers, w.own = map[string]*container{}, nil
	for _, one := range list {
		switch itself := w.hostname != "" && len(w.hostname) >= 12 && strings.HasPrefix(one.ID, w.hostname); {
		case itself:
			if err := w.self(ctx, one.ID); err != nil {
				return err
			}
		case concerns(one.Labels):
			if err := w.look(ctx, one.ID); err != nil {
				return err
			}
		}
	}
	for id, at := range w.stopping {
		if w.containers[id] == nil || time.Since(at) > stopTime {
			delete(w.stopping, id)
		}
	}
	w.tell()
	return nil
}

// self records the networks of the gateway's own container.
func (w *watching) self(ctx context.Context, id string) error {
	found, err := w.inspect(ctx, id)
	switch {
	case errors.Is(err, errGone):
		return nil
	case err != nil:
		return err
	case found.HostConfig.NetworkMode == "host":
		return nil // it reaches what its machine reaches
	}
	w.own = map[string]bool{}
	for name := range found.NetworkSettings.Networks {
		w.own[name] = true
	}
	return nil
}

// look inspects one container.
func (w *watching) look(ctx context.Context, id string) error {
	found, err := w.inspect(ctx, id)
	switch {
	case errors.Is(err, errGone) || err == nil && (!found.runs() || !concerns(found.Config.Labels)):
		delete(w.containers, id)
	case err != nil:
		return err
	default:
		at, stopping := w.stopping[id]
		found.stopping = stopping && time.Since(at) < stopTime
		w.containers[id] = found
	}
	return nil
}

// hear handles an event.
func (w *watching) hear(ctx context.Context, e event) error {
	id := e.container()
	known := w.containers[id]
	if id == "" || known == nil && !concerns(e.Actor.Attributes) && e.Type != "network" || passing(e.Action) {
		return nil
	}
	switch {
	case e.Action == "kill" && known != nil && known.stops(e.Actor.Attributes["signal"]):
		w.stopping[id] = time.Now()
	case e.Action == "die" || e.Action == "start":
		delete(w.stopping, id)
	}
	if err := w.look(ctx, id); err != nil {
		return err
	}
	w.tell()
	return nil
}

// passing tells whether an event changes nothing that matters here, such as the frequent events of health-check
// commands.
func passing(action string) bool {
	return strings.HasPrefix(action, "exec_") || action == "top" || action == "attach" || action == "resize"
}

// tell publishes what is known.
func (w *watching) tell() {
	next := state{known: true, services: make(map[string][]*container, len(w.containers)), ways: w.ways}
	for _, c := range w.containers {
		for _, name := range names(c.Config.Labels) {
			next.services[name] = append(next.services[name], c)
		}
	}
	for _, list := range next.services {
		slices.SortFunc(list, func(a, b *container) int { return cmp.Compare(a.ID, b.ID) })
	}
	next.ways.own = w.own
	w.become(next)
}

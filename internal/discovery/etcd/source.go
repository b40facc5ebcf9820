package etcd

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// source is a cluster: its members, and the session with one of them that all providers share while any of them runs.
type source struct {
	log            *slog.Logger
	servers        []server
	prefix         string
	user, password string
	plain, secure  *transport.Transport
	doubt          time.Duration // how long it is doubted that endpoints are gone

	used discovery.Used // runs run

	mu      sync.Mutex
	session *session      // nil if there is none now
	err     error         // why there is none
	changed chan struct{} // closed when the two above have changed
}

// The connections of a source.
const (
	connectTime = 3 * time.Second
	idleTime    = time.Minute
)

func open(env discovery.SourceEnv, c *Config) (discovery.Source, error) {
	s := &source{log: env.Log, servers: c.Servers, prefix: c.Prefix, user: c.User, doubt: discovery.EmptiedDoubt, changed: make(chan struct{})}
	s.used.Run = s.run
	if c.Password != nil {
		password, err := c.Password.Read(env.Secret)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the place
		}
		s.password = password.Reveal()
	}
	secure, err := c.Client(env)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the part
	}
	options := transport.Options{Protocol: transport.GRPC, Connect: connectTime, Idle: idleTime}
	if s.plain, err = transport.New(options); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	options.TLS = secure
	s.secure, err = transport.New(options)
	return s, err //nolint:wrapcheck // it says what is wrong
}

// Provider makes the provider of a service whose instances are the keys below its name.
func (s *source) Provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	if err := checkName(service.Source.Rest); err != nil {
		return nil, err
	}
	return &provider{source: s, env: env, prefix: s.prefix + service.Source.Rest + "/"}, nil
}

// Close has nothing left to end: the goroutines ended with the last provider.
func (*source) Close() {}

// now returns the session, or the reason why there is none, which is also nil while the first one is being made; and a
// channel that is closed when that changes.
func (s *source) now() (current *session, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session, s.changed, s.err
}

func (s *source) become(made *session, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session, s.err = made, err
	close(s.changed)
	s.changed = make(chan struct{})
}

// Pauses between sessions. A session that worked for long is followed by the next almost at once.
const (
	shortestPause = 250 * time.Millisecond
	longestPause  = 10 * time.Second
)

// run makes one session after the other, each with the next server.
func (s *source) run(ctx context.Context) {
	defer s.secure.CloseIdle()
	defer s.plain.CloseIdle()
	failures := 0
	for at := 0; ; at = (at + 1) % len(s.servers) {
		began := time.Now()
		good, err := s.serve(ctx, s.servers[at])
		if ctx.Err() != nil {
			s.become(nil, nil)
			return
		}
		s.become(nil, err)
		if failures++; good && time.Since(began) > longestPause {
			failures = 0
		}
		if !backoff.Wait(ctx, pauseAfter(failures, len(s.servers))) {
			return
		}
	}
}

// serve runs one session.
func (s *source) serve(ctx context.Context, at server) (good bool, err error) {
	via := s.plain
	if at.Secure {
		via = s.secure
	}
	made, err := newSession(ctx, via, at, s.user, s.password)
	if err != nil {
		via.CloseIdle()
		return false, err
	}
	s.become(made, nil)
	select {
	case <-made.done:
	case <-ctx.Done():
	}
	made.close()
	via.CloseIdle() // a failed connection is not reused
	return made.wasGood(), made.failure()
}

// pauseAfter returns the pause after so many failures; after the first failure of each server there is almost none.
// Pauses are randomised, because all gateways of a cluster have lost it at the same time.
func pauseAfter(failures, servers int) time.Duration {
	if failures < servers {
		return rand.N(shortestPause / 2) //nolint:gosec // chance decides, not a secret
	}
	return backoff.Spread(backoff.Doubling{First: shortestPause, Most: longestPause}.After(failures - servers + 1))
}

package consul

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// source is a Consul that is queried for services. It owns no goroutine.
type source struct {
	*client

	log        *slog.Logger
	where      string
	datacenter string
	warning    discovery.Condition
	zone       string
	doubt      time.Duration // how long it is doubted that there are no instances

	users  atomic.Int64  // running providers
	places chan struct{} // holds a token for each waiting query
}

// Each blocking query has a connection of its own, and an agent allows 200 per client
// (limits.http_max_conns_per_client). If there are more services than places they take turns.
const (
	places       = 128
	shortestWait = 10 * time.Millisecond // 0 would mean Consul's default of five minutes
	longestWait  = time.Minute           // for one query; for this long an unresponsive Consul goes unnoticed
	turns        = 10 * time.Second
)

const connectTime = 3 * time.Second

func open(env discovery.SourceEnv, c *Config) (discovery.Source, error) {
	s := &source{
		log: env.Log, where: c.Address.String(), datacenter: c.Datacenter, zone: c.Zone, doubt: discovery.EmptiedDoubt, places: make(chan struct{}, places),
		client: &client{host: c.Address.Address, consistency: c.Consistency},
	}
	if c.Warning == notReady {
		s.warning = discovery.NotReady
	}
	if c.Token != nil {
		token, err := c.Token.Read(env.Secret)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the place
		}
		s.token = token.Reveal()
	}
	options := transport.Options{Connect: connectTime, IdlePerEndpoint: places}
	secure, err := c.Client(env)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the part
	}
	if c.Address.Secure {
		options.TLS = secure
	}
	s.via, err = transport.New(options)
	return s, err //nolint:wrapcheck // it says what is wrong
}

// Provider makes the provider of a service.
func (s *source) Provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	r, err := readReference(service.Source.Rest)
	if err != nil {
		return nil, err
	}
	if r.datacenter == "" {
		r.datacenter = s.datacenter
	}
	return &provider{source: s, env: env, reference: r}, nil
}

// Close closes the connections, which are no longer used.
func (s *source) Close() { s.via.CloseIdle() }

// wait returns how long one query may wait, so that every service gets its turn in time.
func (s *source) wait() time.Duration {
	users := s.users.Load()
	if users <= places {
		return longestWait
	}
	return max(turns*places/time.Duration(users), shortestWait)
}

// take waits for a place, and tells whether it got one.
func (s *source) take(ctx context.Context) bool {
	select {
	case s.places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *source) leave() { <-s.places }

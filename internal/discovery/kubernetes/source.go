package kubernetes

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// source is an API server, with a watch for each namespace of which a Service is wanted, or one watch of the whole
// cluster.
type source struct {
	config    *Config
	client    *client // nil: it cannot be reached, for the reason why
	why       error
	namespace string // of names without one
	log       *slog.Logger

	mu      sync.Mutex
	watches map[string]*watch // by namespace; "" is the cluster
}

// open makes the source. If there is no way to reach the API server, its providers report that; for a URL that might be
// a Service, DNS is used instead.
func open(env discovery.SourceEnv, c *Config) (discovery.Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &source{config: c, log: env.Log, namespace: ownNamespace(), watches: map[string]*watch{}}
	if env.Checked {
		return s, nil
	}
	s.client, s.why = c.connect()
	switch {
	case s.why == nil:
		s.namespace = s.client.namespace
	case c.Kubeconfig != "":
		return nil, s.why
	}
	return s, nil
}

// Provider implements discovery.Source.
func (s *source) Provider(env discovery.Env, own config.Service) (discovery.Provider, error) {
	ref, err := readRef(own.Source.Rest)
	if err != nil {
		return nil, err
	}
	switch {
	case s.why != nil:
		return nil, s.why
	case !s.mayRead(ref.namespace):
		return nil, errors.New("the namespace " + ref.namespace + " is none of " + strings.Join(s.config.Namespaces, ", ") + ", which `discovery: { kubernetes: { namespaces: ... } }` names")
	}
	return &provider{source: s, env: env, ref: ref, name: certified(ref, own, false)}, nil
}

// certified returns the name that a certificate is requested for, "" without TLS.
func certified(ref reference, own config.Service, tls bool) string {
	if !tls && own.TLS == nil {
		return ""
	}
	return ref.host()
}

func (s *source) mayRead(namespace string) bool {
	return len(s.config.Namespaces) == 0 || slices.Contains(s.config.Namespaces, namespace)
}

// Close implements discovery.Source. Watches end with the last of their providers.
func (s *source) Close() {
	if s.client != nil {
		s.client.close()
	}
}

// subscribe sends to wake whenever something is learned about a Service, until cancel is called.
func (s *source) subscribe(k key) (w *watch, wake <-chan time.Time, cancel func()) {
	namespace := k.namespace
	if s.config.Watch == wholly {
		namespace = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w = s.watches[namespace]
	if w == nil {
		w = newWatch(s.client, namespace, s.log)
		s.watches[namespace] = w
		w.start()
	}
	w.users++
	own := make(chan time.Time, 1)
	w.want(k, own)
	return w, own, func() { s.leave(w, k, own) }
}

// leave ends a watch when it has no users left.
func (s *source) leave(w *watch, k key, own chan time.Time) {
	w.dismiss(k, own)
	s.mu.Lock()
	w.users--
	last := w.users == 0
	if last {
		delete(s.watches, w.namespace)
	}
	s.mu.Unlock()
	if last {
		w.end()
	}
}

package kubernetes

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// urls tells whether URLs of a scheme may name a Service by their host, with the port of a URL that has none.
func urls(scheme string) (port uint16, tls, ok bool) {
	switch scheme {
	case "http", "h2c", "grpc":
		return 80, false, true
	case "https", "grpcs":
		return 443, true, true
	default:
		return 0, false, false
	}
}

// claims tells whether a service that is written as a URL may be a Service of the cluster that this process runs in, or
// that the settings name. A service with a resolver of its own is not.
func claims(settings any, said bool, own config.Service) bool {
	c, ok := settings.(*Config)
	if !ok || !c.Names || !said && !inPod() || own.Resolver != nil {
		return false
	}
	_, ok = c.named(own, ownNamespace())
	return ok
}

// named returns the Service that a URL may mean.
func (c *Config) named(own config.Service, namespace string) (reference, bool) {
	port, _, ok := urls(own.Source.Scheme)
	if !ok {
		return reference{}, false
	}
	return readHost(own.Source.Rest, port, namespace, func(n string) bool { return slices.Contains(c.Namespaces, n) })
}

// Claim implements discovery.Claimer.
func (s *source) Claim(env discovery.Env, own config.Service, asWritten discovery.Provider) discovery.Provider {
	ref, ok := s.config.named(own, s.namespace)
	if !ok || s.why == nil && !s.mayRead(ref.namespace) {
		return asWritten
	}
	_, tls, _ := urls(own.Source.Scheme)
	n := &named{provider: provider{source: s, env: env, ref: ref}, asWritten: asWritten, url: own.Source.String()}
	n.name = certified(ref, own, tls)
	return n
}

// named is a URL whose host may be a Service. If it is none, its own provider finds its endpoints.
type named struct {
	provider

	asWritten discovery.Provider
	url       string
	warned    bool
}

// firstLook is how long DNS waits for the answer of the API server.
const firstLook = time.Second

// Run implements discovery.Provider.
func (n *named) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	if n.source.why != nil {
		n.warn(n.source.why)
		return n.asWritten.Run(ctx, set)
	}
	w, wake, cancel := n.source.subscribe(n.ref.key)
	defer cancel()
	t := discovery.Teller{Env: n.env, Set: set}
	other := alternative{provider: n.asWritten, set: set}
	defer other.end()
	late := time.NewTimer(firstLook)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-other.ended:
			other.forget()
			if err != nil {
				return err
			}
		case <-late.C:
			if !t.Told() {
				other.begin(ctx)
			}
		case t.Heard = <-wake:
			switch f := w.look(n.ref, n.name); {
			case f.known && f.err == nil:
				other.end()
				tell(&t, f)
			case f.known, f.trouble != nil:
				t.Forget()
				other.begin(ctx)
				n.warn(f.trouble)
			}
		}
	}
}

// warn says once what it means that the API server can never be asked.
func (n *named) warn(err error) {
	if err == nil || n.warned {
		return
	}
	if _, forbidden := errors.AsType[*forbiddenError](err); forbidden || n.source.why != nil {
		n.warned = true
		n.env.Log.Warn("this name may be a Service of Kubernetes, which is looked up by DNS because its EndpointSlices cannot be read: "+
			"behind its address kube-proxy picks, so that balancing, health and retries end there",
			slog.String("url", n.url), slog.Any("error", err))
	}
}

// alternative is another provider, which runs while it is needed.
type alternative struct {
	provider discovery.Provider
	set      func([]discovery.Endpoint)
	stop     context.CancelFunc // nil: it does not run
	ended    chan error
}

func (a *alternative) begin(ctx context.Context) {
	if a.stop != nil {
		return
	}
	var own context.Context
	own, a.stop = context.WithCancel(ctx)
	a.ended = make(chan error, 1)
	go func() { a.ended <- a.provider.Run(own, a.set) }()
}

// end stops the provider and waits until it reports nothing any more.
func (a *alternative) end() {
	if a.stop == nil {
		return
	}
	a.stop()
	<-a.ended //nolint:errcheck // it was told to end
	a.forget()
}

// forget is called after the provider has ended.
func (a *alternative) forget() {
	a.stop()
	a.stop, a.ended = nil, nil
}

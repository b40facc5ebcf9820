package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/pattern"
)

// backends checks the backends of a route together.
func (c *validator) backends(r *Route, in captured) {
	if len(r.Backends) == 0 {
		if !slices.ContainsFunc(r.Filters, answers) && r.Origin.Object == "" {
			c.add(r.Origin.at(), fmt.Sprintf("the route %q leads nowhere", r.Name), "", "add a backend, or respond or redirect")
		}
		return
	}
	rest := false
	for i := range r.Backends {
		b := &r.Backends[i]
		rest = rest || b.When == nil
		c.backend(b, in)
	}
	if !rest {
		c.add(r.Origin.at(), fmt.Sprintf("nothing answers the requests of the route %q for which no when is true", r.Name), "", "add a backend without when")
	}
	if r.Origin.Object == "" && rest && weights(r.Backends) == 0 {
		c.add(r.Origin.at(), fmt.Sprintf("all weights of the route %q are 0", r.Name), "so nothing would answer", "give one backend a weight")
	}
}

func weights(list []Backend) int {
	sum := 0
	for _, b := range list {
		if b.When == nil {
			sum += b.Weight
		}
	}
	return sum
}

func (c *validator) backend(b *Backend, in captured) {
	at := b.Origin.at()
	c.backendParts(b, in)
	empty := b.Ref.unset()
	switch {
	case b.Status != 0 && !empty:
		c.add(at, "a backend has both a status and a reference", "", "keep one of them")
	case b.Status != 0 && (b.Status < 200 || b.Status > 599):
		c.add(at, fmt.Sprintf("%d is not a final status", b.Status), "", "write 200 to 599")
	case b.Status == 0 && empty && !slices.ContainsFunc(b.Filters, answers):
		c.add(at, "a backend names nothing that answers", "", "add `use:` with a backend, or respond or redirect")
	}
}

// backendParts checks each part of a backend by itself.
func (c *validator) backendParts(b *Backend, in captured) {
	c.expression(b.When, "when", expr.Bool, in)
	for i := range b.Filters {
		c.filter(&b.Filters[i], in)
	}
	if b.Weight < 0 || b.Weight > maxWeight {
		c.add(b.Origin.at(), fmt.Sprintf("the weight %d of a backend is out of range", b.Weight), "", fmt.Sprintf("write 0 to %d", maxWeight))
	}
	if b.Status == 0 && !b.Ref.unset() {
		c.reference(b.Ref)
	}
}

// unset reports whether r refers to nothing.
func (r Ref) unset() bool { return r.Scheme == "" && r.Rest == "" }

// reference checks that a reference exists and may be named.
func (c *validator) reference(ref Ref) {
	at := ref.Origin.at()
	switch ref.Scheme {
	case "":
		if c.services[ref.Rest] == nil && c.functions[ref.Rest] == nil && c.compositions[ref.Rest] == nil && !c.known[ref.Rest] && !c.partial {
			c.add(at, fmt.Sprintf("there is no service, function or composition %q", ref.Rest), "a backend without a scheme is a name of this config", suggest(ref.Rest, c.names(), fmt.Sprintf("declare it under services or functions, or write a URL such as http://%s:8080", ref.Rest)))
			return
		}
	case functionScheme:
		if name, _ := ref.Function(); c.functions[name] == nil && !c.known[name] && !c.partial {
			c.add(at, fmt.Sprintf("there is no function %q", name), "", suggest(name, c.functionNames(), "declare it under functions"))
			return
		}
	case composeScheme:
		if c.compositions[ref.Rest] == nil && !c.known[ref.Rest] && !c.partial {
			c.add(at, fmt.Sprintf("there is no composition %q", ref.Rest), "", suggest(ref.Rest, slices.Collect(maps.Keys(c.compositions)), "declare it under compositions"))
			return
		}
	default:
		if c.isFunction(ref) {
			break
		}
		if _, ok := c.v.scheme(ref.Scheme); !ok {
			c.add(at, fmt.Sprintf("unknown scheme %q", ref.Scheme+":"), "", suggest(ref.Scheme, c.v.schemeNames(), ""))
			return
		}
		if p := refProblem(ref, c.v); p != nil {
			p.Pos = at
			c.ps.Add(*p)
			return
		}
		if !c.inline(ref) {
			return
		}
		if authority, ok := strings.CutPrefix(ref.Rest, "//"); ok {
			c.reach(ref.Origin, ref.Group, authority)
		} else if ref.Scheme == unixScheme {
			c.reach(ref.Origin, ref.Group, ref.String())
		}
	}
	c.refGrant(ref)
}

// inline checks that a function without a declaration is named completely.
func (c *validator) inline(ref Ref) bool {
	scheme, _ := c.v.scheme(ref.Scheme)
	name, _ := ref.Function()
	if scheme.Inline == nil || c.known[name] || c.partial {
		return true
	}
	own, err := scheme.Inline(ref)
	if err == nil {
		err = c.c.Settle(own)
	}
	if err != nil {
		c.add(ref.Origin.at(), fmt.Sprintf("the backend %q is not found", ref), err.Error(), suggest(name, c.functionNames(), "for example "+scheme.Example))
	}
	return err == nil
}

// isFunction reports whether ref names a function of the config by the scheme of its kind.
func (c *validator) isFunction(ref Ref) bool {
	name, _ := ref.Function()
	f := c.functions[name]
	if f == nil {
		return false
	}
	kind, _ := c.v.function(f.Kind)
	return slices.Contains(kind.Schemes, ref.Scheme)
}

func (c *validator) functionNames() []string {
	return slices.DeleteFunc(c.names(), func(n string) bool { return c.services[n] != nil || c.compositions[n] != nil })
}

func (c *validator) service(s *Service) {
	at := s.Origin.at()
	switch hasSource := s.Source != (Ref{}); {
	case hasSource && len(s.Endpoints) > 0:
		c.add(at, fmt.Sprintf("the service %q has both a source and endpoints", s.Name), "its endpoints are either found or fixed", "keep one of them")
	case hasSource:
		c.reference(s.Source)
	case len(s.Endpoints) == 0 && s.Origin.Object == "":
		c.add(at, fmt.Sprintf("the service %q has no endpoints", s.Name), "so it could never answer", fmt.Sprintf("for example `%s: http://%s:8080` or `%s: [10.0.0.1:8080]`", s.Name, s.Name, s.Name))
	}
	c.endpoints(s)
	if s.TLS != nil && s.TLS.ServerName == "" && len(s.TLS.SANs) == 0 && s.onUnix() {
		c.add(at, fmt.Sprintf("the service %q is called over TLS on a Unix socket", s.Name), "a socket has no host name to check the certificate against", "add `name: users.internal` to its tls")
	}
	if s.Protocol != "" && !slices.Contains(protocols(), s.Protocol) {
		c.add(at, fmt.Sprintf("the service %q has the unknown protocol %q", s.Name, s.Protocol), "valid values are "+strings.Join(protocols(), ", "), suggest(s.Protocol, protocols(), ""))
	}
	if s.Balance != nil {
		c.expression(s.Balance.Key, "hash", expr.String, captured{open: true})
	}
	if s.Announce != "" && !slices.Contains(announcements(), s.Announce) {
		c.add(at, fmt.Sprintf("the service %q announces clients by %q", s.Name, s.Announce), "valid values are "+strings.Join(announcements(), ", "), suggest(s.Announce, announcements(), "write `proxy_protocol: v2`"))
	}
	switch {
	case s.Protocol == "h2c" && s.secure():
		c.add(at, fmt.Sprintf("the service %q is called over TLS but speaks h2c", s.Name), "h2c is HTTP/2 in the clear", "write h2, or remove the TLS")
	case s.Protocol == "h2" && !s.secure():
		c.add(at, fmt.Sprintf("the service %q speaks h2 but has no tls", s.Name), "h2 is HTTP/2 over TLS", "write h2c for HTTP/2 in the clear, or add tls")
	}
	c.timeouts(s.Timeouts, s.Origin)
	c.retry(s.Retry, s.Origin, true)
	c.serviceGrants(s)
}

// onUnix reports whether one of the endpoints is a Unix socket.
func (s *Service) onUnix() bool {
	return s.Source.Scheme == unixScheme || slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return strings.HasPrefix(e.Address, unixScheme+":") })
}

// secure reports whether s is called over TLS.
func (s *Service) secure() bool {
	return s.TLS != nil || s.Source.Scheme == "https" || s.Source.Scheme == "grpcs"
}

func (c *validator) endpoints(s *Service) {
	seen := map[string]bool{}
	for _, e := range s.Endpoints {
		if err := checkEndpoint(e.Address); err != nil {
			c.add(e.Origin.at(), fmt.Sprintf("the endpoint %q of the service %q is not an address", e.Address, s.Name), err.Error(), "write host:port, as 10.0.0.1:8080, or unix:/run/app.sock")
		}
		c.reach(e.from(s), s.Group, e.Address)
		if e.Weight < 0 || e.Weight > maxWeight {
			c.add(e.Origin.at(), fmt.Sprintf("the weight %d of the endpoint %q is out of range", e.Weight, e.Address), "", fmt.Sprintf("write 0 to %d", maxWeight))
		}
		if seen[e.Address] {
			c.add(e.Origin.at(), fmt.Sprintf("the endpoint %q of the service %q appears twice", e.Address, s.Name), "", "remove one, or give it a weight")
		}
		seen[e.Address] = true
	}
}

func (c *validator) function(f *Function) {
	if _, ok := c.v.function(f.Kind); !ok {
		c.add(f.Origin.at(), fmt.Sprintf("the function %q is of the unknown kind %q", f.Name, f.Kind), "", suggest(f.Kind, kindNames(c.v.Functions), ""))
	}
	c.functionGrants(f)
}

func (c *validator) stream(s *Stream) {
	at := s.Origin.at()
	if len(s.Listeners) == 0 {
		c.add(at, fmt.Sprintf("the stream %q listens on nothing", s.Name), "", "add `listen: tcp://:5432`, or name listeners")
	}
	for _, name := range s.Listeners {
		l := c.listeners[name]
		switch {
		case l == nil && !c.unheard:
			c.add(at, fmt.Sprintf("the stream %q names the listener %q, which does not exist", s.Name, name), knownWords(c.listenerNames()), suggest(name, c.listenerNames(), ""))
		case l != nil && l.Protocol.serves():
			c.add(at, fmt.Sprintf("the stream %q cannot attach to the listener %q", s.Name, name), fmt.Sprintf("it speaks %s, and a stream has no HTTP", l.Protocol), "write a route")
		case l != nil && l.Protocol != TLS && len(s.Hosts) > 0:
			c.add(at, fmt.Sprintf("the stream %q has hosts, but %s carries none", s.Name, l.Protocol), "only TLS carries the name of the server", "listen with tls://, or remove hosts")
		}
	}
	for _, h := range s.Hosts {
		if host, err := pattern.ParseHost(h); err != nil {
			c.pattern(at, false, err)
		} else if host.Kind == pattern.HostLabel {
			c.add(at, fmt.Sprintf("the host %q of the stream %q has a parameter", h, s.Name), "a stream captures nothing", "write *"+host.Name)
		}
	}
	if len(s.Backends) == 0 && at.Line > 0 {
		c.add(at, fmt.Sprintf("the stream %q leads nowhere", s.Name), "", "add `to:` with a backend")
	}
	for i := range s.Backends {
		c.backend(&s.Backends[i], captured{open: true})
	}
	c.streamGrants(s)
}

func (c *validator) listenerNames() []string {
	var names []string
	for name := range c.listeners {
		names = append(names, name)
	}
	return names
}

// isRough reports whether a route of that name exists but could not be read completely.
func (c *validator) isRough(route string) bool {
	return slices.ContainsFunc(c.rough, func(r Route) bool { return r.Name == route })
}

// Package dns is the provider of endpoints that have names: in a URL (`http://users:8080`), in the list of a service,
// or in an SRV record (`srv:_http._tcp.users.internal`). A name stands for all its addresses, and is looked up again
// when its TTL is over. An address needs no lookup and is used as it is.
//
//   - reference.go: how endpoints are written.
//   - provider.go: one reference, from its names to its set.
//   - watch.go: one name, and what is believed of it.
//   - endpoint.go: addresses become endpoints: weights, and the two families.
//   - resolver.go: DNS questions, each asked once for all that need the answer.
//   - lookup.go: a name becomes questions: /etc/hosts, search domains, families, aliases.
//   - exchange.go: one question to one server; nothing else knows the DNS message format.
//   - system.go: systems on which programs do not query DNS servers themselves.
//   - machine.go, resolvconf.go, hosts.go: this machine's resolver configuration.
package dns

import (
	"errors"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// form is the meaning of a scheme.
type form struct {
	scheme   string
	protocol string // of config.Service.Protocol
	tls      bool
	port     uint16 // if the URL names none
	summary  string
}

// srvScheme is the scheme of SRV records.
const srvScheme = "srv"

// grpc is a scheme and also a value of config.Service.Protocol.
const grpc = "grpc"

// forms are the schemes of URLs.
func forms() []form {
	return []form{
		{"http", "http", false, 80, "HTTP/1.1 to a name or an address"},
		{"https", "http", true, 443, "HTTP/1.1 over TLS to a name or an address"},
		{"h2c", "h2c", false, 80, "HTTP/2 in the clear, by prior knowledge, to a name or an address"},
		{grpc, grpc, false, 80, "gRPC (HTTP/2 in the clear) to a name or an address"},
		{"grpcs", grpc, true, 443, "gRPC over TLS to a name or an address"},
	}
}

func formOf(scheme string) (form, bool) {
	for _, f := range forms() {
		if f.scheme == scheme {
			return f, true
		}
	}
	return form{}, false
}

// Definition is the provider as the compiler and the vocabulary know it. Its providers share their lookups.
func Definition() discovery.Definition {
	h := newHub()
	d := discovery.Definition{Fixed: isFixed, New: h.provider}
	for _, f := range forms() {
		d.Schemes = append(d.Schemes, discovery.Scheme{Protocol: f.protocol, TLS: f.tls, Scheme: config.Scheme{
			Name: f.scheme, Summary: f.summary, Example: f.scheme + "://users:8080",
			Check: func(ref config.Ref) error {
				_, err := readURL(ref.Rest, f.port)
				return err
			},
		}})
	}
	d.Schemes = append(d.Schemes, discovery.Scheme{Protocol: "http", Scheme: config.Scheme{
		Name: srvScheme, Summary: "HTTP/1.1 to what an SRV record names", Example: "srv:_http._tcp.users.internal",
		Check: func(ref config.Ref) error {
			_, err := readSRV(ref.Rest)
			return err
		},
	}})
	return d
}

// isFixed tells whether a service has no names that would have to be looked up.
func isFixed(service config.Service) bool {
	p, err := parse(service)
	return err == nil && p.fixed()
}

// provider makes the provider of a service.
func (h *hub) provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	p, err := parse(service)
	if err != nil {
		return nil, err
	}
	p.hub, p.env, p.own = h, env, service.Resolver
	return p, nil
}

// parse parses a service whose Source is a URL or an SRV record, or its Endpoints if the scheme is "".
func parse(service config.Service) (*provider, error) {
	p := &provider{}
	f, isURL := formOf(service.Source.Scheme)
	var err error
	switch {
	case isURL:
		p.targets = make([]target, 1)
		p.targets[0], err = readURL(service.Source.Rest, f.port)
	case service.Source.Scheme == srvScheme:
		p.srv, err = readSRV(service.Source.Rest)
	case service.Source.Scheme == "":
		p.targets, err = readList(service.Endpoints)
	default:
		err = errors.New("is neither a URL nor an SRV record: " + service.Source.String())
	}
	if err == nil && (f.tls || service.TLS != nil) {
		p.certify()
	}
	return p, err
}

// certify sets the name that certificates are requested and checked for.
func (p *provider) certify() {
	p.certified = certifiedFor(p.srv)
	for i := range p.targets {
		p.targets[i].name = certifiedFor(p.targets[i].host)
	}
}

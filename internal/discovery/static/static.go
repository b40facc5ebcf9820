// Package static is the provider of endpoints that the config itself names: one in
// a URL (`http://users:8080`, `unix:/run/app.sock`), or the list of a service. Names are looked up by
// the dialler for each new connection.
package static

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// form is what a scheme stands for.
type form struct {
	protocol string // of config.Service.Protocol
	tls      bool
	port     string // where the URL names none
	summary  string
}

// Two of the words of config.Service.Protocol.
const (
	http1 = "http"
	grpc  = "grpc"
)

// unix is the scheme of a socket of this machine, and begins its address.
const unix = "unix"

// forms are the schemes of this provider.
var forms = []struct {
	scheme string
	form
}{
	{"http", form{http1, false, "80", "HTTP/1.1 to one address"}},
	{"https", form{http1, true, "443", "HTTP/1.1 over TLS to one address"}},
	{"h2c", form{"h2c", false, "80", "HTTP/2 in the clear, by prior knowledge, to one address"}},
	{grpc, form{grpc, false, "80", "gRPC (HTTP/2 in the clear) to one address"}},
	{"grpcs", form{grpc, true, "443", "gRPC over TLS to one address"}},
}

func formOf(scheme string) (form, bool) {
	for _, f := range forms {
		if f.scheme == scheme {
			return f.form, true
		}
	}
	return form{}, false
}

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	d := discovery.Definition{Fixed: true, New: New}
	for _, f := range forms {
		d.Schemes = append(d.Schemes, discovery.Scheme{Protocol: f.protocol, TLS: f.tls, Scheme: config.Scheme{
			Name:    f.scheme,
			Summary: f.summary,
			Example: f.scheme + "://users:8080",
			Check: func(ref config.Ref) error {
				_, err := address(ref.Rest, f.port)
				return err
			},
		}})
	}
	d.Schemes = append(d.Schemes, discovery.Scheme{Protocol: http1, Scheme: config.Scheme{
		Name: unix, Summary: "HTTP/1.1 to a Unix socket", Example: "unix:/run/app.sock",
		Check: func(ref config.Ref) error { return config.CheckUnixPath(ref.Rest) },
	}})
	return d
}

// New makes the provider of a service whose Source is a URL, or, where its scheme is
// "", of its Endpoints.
func New(_ discovery.Env, service config.Service) (discovery.Provider, error) {
	if service.Source.Scheme == "" {
		return list(service.Endpoints)
	}
	if service.Source.Scheme == unix {
		return provider{{Address: service.Source.String(), Weight: 1}}, config.CheckUnixPath(service.Source.Rest)
	}
	f, ok := formOf(service.Source.Scheme)
	if !ok {
		return nil, fmt.Errorf("%s: is not an address", service.Source)
	}
	at, err := address(service.Source.Rest, f.port)
	if err != nil {
		return nil, err
	}
	return provider{{Address: at, Weight: 1}}, nil
}

func list(endpoints []config.Endpoint) (discovery.Provider, error) {
	var p provider
	for _, e := range endpoints {
		if err := checkAddress(e.Address); err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e.Address, err)
		}
		if e.Weight < 0 {
			return nil, fmt.Errorf("endpoint %q: its weight is negative", e.Address)
		}
		p = append(p, discovery.Endpoint{Address: e.Address, Weight: e.Weight, Zone: e.Zone})
	}
	return p, nil
}

// provider is a set that never changes.
type provider []discovery.Endpoint

// Run tells the set once and waits for the end.
func (p provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	set(append([]discovery.Endpoint(nil), p...))
	<-ctx.Done()
	return nil
}

// address reads `//host`, `//host:port` or `//[::1]:port`, and adds the scheme's port.
func address(rest, port string) (string, error) {
	authority, ok := strings.CutPrefix(rest, "//")
	switch {
	case !ok:
		return "", errors.New("two slashes are missing after the scheme; write it as in http://users:8080")
	case strings.ContainsAny(authority, "/?#"):
		return "", errors.New("an address has no path or query; give them with path, strip or rewrite")
	case strings.Contains(authority, "@"):
		return "", errors.New("a user in a URL is not sent; set the Authorization field with a secret")
	}
	if !hasPort(authority) {
		authority = net.JoinHostPort(strings.Trim(authority, "[]"), port)
	}
	return authority, checkAddress(authority)
}

// hasPort tells whether there is a colon after the host, IPv6 in brackets aside.
func hasPort(authority string) bool {
	return strings.LastIndexByte(authority, ':') > strings.LastIndexByte(authority, ']')
}

func checkAddress(hostPort string) error {
	if path, ok := strings.CutPrefix(hostPort, unix+":"); ok {
		return config.CheckUnixPath(path)
	}
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return errors.New("not of the form host:port; IPv6 stands in brackets, as in [::1]:8080")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	if !isHost(host) {
		return fmt.Errorf("%q is neither a name nor an address", host)
	}
	return nil
}

// isHost lets names (underscores too, as Docker has them) and addresses through.
func isHost(host string) bool {
	if strings.Contains(host, ":") {
		return net.ParseIP(host) != nil
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return host != "" && len(host) <= 253
}

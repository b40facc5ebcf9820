// Package registry is the provider of instances that have registered themselves (`registry:users`), in this process's
// own registry or in that of another Weir.
//
//   - registry.go: how services are named, and which registry is asked.
//   - own.go: this process's own registry.
//   - other.go: the registry of another process, over one watch for all services.
package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/weir-gateway/weir/internal/base/egress"
	base "github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
)

// Config is what people write below `discovery: registry:`.
type Config struct {
	Address string          `doc:"address" help:"the address of another Weir's registry; this process's own by default" example:"http://10.0.0.9:9090"`
	Token   *config.Secret  `doc:"token" help:"the token to send to a registry that requires tokens for reading" example:"${env:REGISTRY_TOKEN}"`
	Allow   []config.Prefix `doc:"allow,oneormany,omitzero" help:"addresses that instances of another registry may have although they are otherwise refused: those of this machine, link-local ones, and those where a cloud serves its secrets" example:"127.0.0.0/8"`
}

// DecodeDoc reads a URL, or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		n = n.Under("address")
	}
	type long Config
	doc.Decode(n, (*long)(c), ps)
	if c.Address == "" {
		return
	}
	if err := remote.CheckURL(c.Address); err != nil {
		ps.Add(doc.Problem{Pos: n.Get("address").Pos, What: err.Error(), Fix: "for example `registry: http://10.0.0.9:9090`"})
	}
}

// DocSchema implements doc.SchemaWriter.
func (Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.SchemaOf(reflect.TypeFor[string]()))
}

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	schemes := []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
		Name: "registry", Summary: "HTTP/1.1 to the instances that have registered themselves", Example: "registry:users",
		Check: func(ref config.Ref) error {
			_, err := serviceOf(ref)
			return err
		},
	}}}
	return discovery.Define("registry", "the registry of this process, or of another one", schemes, func() Config { return Config{} }, open)
}

// serviceOf returns the name in a reference.
func serviceOf(ref config.Ref) (string, error) {
	if name, slashed := strings.CutPrefix(ref.Rest, "//"); slashed {
		return "", fmt.Errorf("a service of the registry has a name and no address; write registry:%s", name)
	}
	return ref.Rest, base.CheckName("service", ref.Rest)
}

func open(env discovery.SourceEnv, c *Config) (discovery.Source, error) {
	if c.Address == "" {
		if env.Registry == nil {
			return absent{}, nil
		}
		return own{env.Registry}, nil
	}
	var token secret.Value
	if c.Token != nil {
		var err error
		if token, err = c.Token.Read(env.Secret); err != nil {
			return nil, err
		}
	}
	client, err := remote.New(remote.Options{URL: c.Address, Token: token, Agent: "weir"})
	if err != nil {
		return nil, err
	}
	return newOther(client, c.Address, c.bounds(), env.Log), nil
}

// bounds returns where instances of another registry may be. Loopback addresses in it mean that registry's machine and
// not this one, unless it runs on this one.
func (c *Config) bounds() *egress.Bounds {
	b := &egress.Bounds{}
	for _, p := range c.Allow {
		b.Reach = append(b.Reach, p.Prefix)
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(c.Address, "http://"), "https://")
	if at, err := netip.ParseAddrPort(strings.TrimSuffix(rest, "/")); err == nil && at.Addr().Unmap().IsLoopback() || strings.HasPrefix(rest, "localhost") {
		b.Reach = append(b.Reach, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	}
	return b
}

// absent is the source if there is no registry at all.
type absent struct{}

// Provider implements discovery.Source.
func (absent) Provider(discovery.Env, config.Service) (discovery.Provider, error) {
	return nil, errors.New("there is no registry: write `registry: 127.0.0.1:9090` for one here, or `discovery: {registry: http://10.0.0.9:9090}` for another Weir's")
}

// Close implements discovery.Source.
func (absent) Close() {}

// endpoint makes an endpoint of an instance. A suspect instance is asked like others: requests find out whether it
// still serves.
func endpoint(e base.Entry) discovery.Endpoint {
	to := discovery.Endpoint{ID: e.ID, Address: e.Address.String(), Weight: e.Weight, Zone: e.Zone}
	switch e.Condition {
	case base.Draining:
		to.Condition = discovery.Draining
	case base.NotReady:
		to.Condition = discovery.NotReady
	case base.Ready:
	}
	return to
}

// Package kubernetes is the provider of the endpoints of Kubernetes Services (`k8s:shop/users:http`) from their
// EndpointSlices: pods, and not the address of the Service, where kube-proxy would pick one.
//
//   - reference.go: how a Service is named, as a reference and in a URL.
//   - client.go: how the API server is reached.
//   - source.go: the watches that all services share, one for each namespace.
//   - watch.go: one namespace, from client-go's list and watch to the known state.
//   - catalog.go: the known state, in as little memory as possible.
//   - endpoint.go: Services and slices become endpoints.
//   - provider.go: one reference, from the known state to its set.
//   - name.go: names in URLs that are Services.
//
// It uses the connection and the reflector of client-go, but neither the typed clients nor the caches of informers:
// decision 0059.
package kubernetes

import (
	"errors"
	"fmt"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// kind is the key of the settings; scheme is the scheme of references.
const (
	kind   = "kubernetes"
	scheme = "k8s"
)

// The values of Config.Watch.
const (
	byNamespace = "namespace"
	wholly      = "cluster"
)

// Config is the settings below `discovery: { kubernetes: ... }`.
type Config struct {
	Kubeconfig string   `doc:"kubeconfig" help:"the file that describes how to reach the API server; the pod's own service account by default" example:"/etc/weir/kubeconfig"`
	Context    string   `doc:"context" help:"the context to use from that file; its current context by default" example:"production"`
	Namespaces []string `doc:"namespaces,oneormany" help:"the only namespaces whose Services are watched; all by default" example:"[shop, users]"`
	Watch      string   `doc:"watch" help:"namespace: one watch for each namespace; cluster: one watch for the whole cluster" example:"cluster"`
	Names      bool     `doc:"names" help:"whether a name in a URL that is a Service stands for its endpoints"`
}

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	schemes := []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
		Name: scheme, Summary: "HTTP/1.1 to the pods of a Kubernetes Service", Example: "k8s:shop/users:http",
		Check: func(ref config.Ref) error {
			_, err := readRef(ref.Rest)
			return err
		},
	}}}
	d := discovery.Define(kind, "Kubernetes' API server", schemes, defaults, open)
	d.Claims = claims
	return d
}

func defaults() Config { return Config{Watch: byNamespace, Names: true} }

// check says what is wrong with the settings on their own.
func (c *Config) check() error {
	switch {
	case c.Watch != byNamespace && c.Watch != wholly:
		return fmt.Errorf("watch is %q, and may be %s or %s", c.Watch, byNamespace, wholly)
	case c.Watch == wholly && len(c.Namespaces) > 0:
		return errors.New("a watch of the whole cluster reads all namespaces; leave out `namespaces`, or `watch`")
	case c.Context != "" && c.Kubeconfig == "":
		return errors.New("a context is one of a kubeconfig; say which file, or leave it out")
	}
	for _, n := range c.Namespaces {
		if !isLabel(n) {
			return fmt.Errorf("%q cannot be the name of a namespace", n)
		}
	}
	return nil
}

// Package all is the explicit list of the providers that Weir is built with, and
// of the schemes that it knows but was not built with.
package all

import (
	"slices"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/static"
)

// notYet is why a scheme below cannot be used.
const notYet = "comes with discovery providers, not in this version"

// Definitions lists the providers.
func Definitions() []discovery.Definition {
	return []discovery.Definition{static.Definition()}
}

// Find gives the provider of a scheme; "" is a service's own list of endpoints.
func Find(scheme string) (discovery.Definition, bool) {
	if scheme == "" {
		return static.Definition(), true
	}
	for _, d := range Definitions() {
		if slices.ContainsFunc(d.Schemes, func(s config.Scheme) bool { return s.Name == scheme }) {
			return d, true
		}
	}
	return discovery.Definition{}, false
}

// Schemes lists every way to write where endpoints are found, for the
// vocabulary: those that work, and those that are known but Missing.
func Schemes() []config.Scheme {
	var schemes []config.Scheme
	for _, d := range Definitions() {
		schemes = append(schemes, d.Schemes...)
	}
	return append(schemes,
		config.Scheme{Name: "k8s", Summary: "the EndpointSlices of a Kubernetes Service", Example: "k8s:shop/catalog:http", Missing: notYet},
		config.Scheme{Name: "srv", Summary: "DNS SRV records", Example: "srv:_http._tcp.users.internal", Missing: notYet},
		config.Scheme{Name: "consul", Summary: "a service in Consul", Example: "consul:users", Missing: notYet},
		config.Scheme{Name: "etcd", Summary: "addresses below a key in etcd", Example: "etcd:/services/users", Missing: notYet},
		config.Scheme{Name: "docker", Summary: "containers with a label", Example: "docker:users", Missing: notYet},
		config.Scheme{Name: "registry", Summary: "what has registered with Weir itself", Example: "registry:users", Missing: notYet},
	)
}

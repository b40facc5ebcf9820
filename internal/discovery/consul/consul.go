// Package consul is the provider of endpoints that are registered in Consul (`consul:users`): the instances of a
// service with their health, which an agent or a server reports through blocking queries.
//
//   - config.go: how Consul is reached.
//   - reference.go: how a service is named, with its tags and datacenter.
//   - client.go: one query and its result.
//   - source.go: what the providers of one Consul share: its connections, of which it allows each client only a few.
//   - provider.go: one service, from its answers to its set.
//   - entry.go: the data of an instance.
package consul

import (
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// scheme begins a reference, and is the kind of the source.
const scheme = "consul"

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	schemes := []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
		Name: scheme, Summary: "HTTP/1.1 to the instances of a service that are registered in Consul", Example: "consul:users?tag=v2",
		Check: func(ref config.Ref) error {
			_, err := readReference(ref.Rest)
			return err
		},
	}}}
	return discovery.Define(scheme, "the Consul agent or server that is asked for services", schemes, defaults, open)
}

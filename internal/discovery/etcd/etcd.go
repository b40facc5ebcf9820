// Package etcd is the provider of endpoints that register themselves in etcd: each instance of a service is a key below
// the service's name (`etcd:users` means the keys below `services/users/`), which is deleted when its lease ends.
//
// A gateway has one connection to one member, whatever services it has: for reads, and for one stream of all watches.
// etcd speaks gRPC, which the gateway's own transport carries; the few messages that are needed are encoded here,
// because etcd's own client would make the binary a quarter larger.
//
//   - config.go: how a cluster is reached.
//   - source.go: one session after the other, for all providers.
//   - session.go: the time with one server.
//   - rpc.go, message.go: gRPC, and the messages of etcd.
//   - provider.go: one service, from its keys to its set.
//   - view.go: the known state of its keys, and what is believed of it.
//   - entry.go: the value of a key.
package etcd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// scheme begins a reference, and is the kind of the source.
const scheme = "etcd"

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	schemes := []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
		Name: scheme, Summary: "HTTP/1.1 to the instances of a service that are registered in etcd", Example: "etcd:users",
		Check: func(ref config.Ref) error { return checkName(ref.Rest) },
	}}}
	return discovery.Define(scheme, "the etcd cluster where services are registered", schemes, defaults, open)
}

// checkName says what is wrong with the name of a service, which may have several parts.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the service is missing")
	case strings.HasPrefix(name, "//"):
		return errors.New("no slashes stand after the scheme; where etcd is stands below discovery, and here the service: etcd:users")
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return errors.New("a name neither begins nor ends with a slash; what stands before all names in keys is said by prefix, below discovery")
	case strings.ContainsAny(name, "?#"):
		return fmt.Errorf("%q is no name of a service; etcd is asked for nothing but a name", name)
	}
	return discovery.CheckReference(name) //nolint:wrapcheck // as it is told
}

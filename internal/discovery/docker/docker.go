// Package docker is the provider of endpoints that are containers of a Docker daemon (`docker:users`): those with a
// matching label `weir.service`, or those that Compose has created for a service of that name.
//
//   - config.go: how the daemon is reached.
//   - client.go: the daemon's API: a list, one container, the events.
//   - source.go: the state of all containers, which all providers share.
//   - container.go: a container becomes an endpoint.
//   - provider.go: one service, from the containers to its set.
package docker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// scheme begins a reference, and is the kind of the source.
const scheme = "docker"

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	schemes := []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
		Name: scheme, Summary: "HTTP/1.1 to containers, by the label weir.service or Compose's name of the service", Example: "docker:users",
		Check: func(ref config.Ref) error { return checkName(ref.Rest) },
	}}}
	return discovery.Define(scheme, "the Docker daemon whose containers are found", schemes, defaults, open)
}

// checkName says what is wrong with `users`, or with `shop/users` where shop is a Compose project.
func checkName(name string) error {
	project, service, hasProject := strings.Cut(name, "/")
	switch {
	case strings.HasPrefix(name, "//"):
		return errors.New("no slashes stand after the scheme; where the daemon is stands below discovery, and here the service: docker:users")
	case name == "" || hasProject && (project == "" || service == ""):
		return errors.New("the name of the service is missing")
	case strings.ContainsAny(name, "?#") || strings.Contains(service, "/"):
		return fmt.Errorf("%q is no name of a service", name)
	}
	return discovery.CheckReference(name) //nolint:wrapcheck // as it is told
}

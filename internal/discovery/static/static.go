// Package static is the provider of endpoints that need no lookup: a Unix socket (`unix:/run/app.sock`).
package static

import (
	"context"
	"fmt"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// unix is the scheme of a Unix socket on this machine, and begins its address.
const unix = "unix"

// Definition is the provider as the compiler and the vocabulary know it.
func Definition() discovery.Definition {
	return discovery.Definition{
		Schemes: []discovery.Scheme{{Protocol: "http", Scheme: config.Scheme{
			Name: unix, Summary: "HTTP/1.1 to a Unix socket", Example: "unix:/run/app.sock",
			Check: func(ref config.Ref) error { return config.CheckUnixPath(ref.Rest) },
		}}},
		Fixed: func(config.Service) bool { return true },
		New:   New,
	}
}

// New makes the provider of a service whose Source is a socket.
func New(_ discovery.Env, service config.Service) (discovery.Provider, error) {
	if service.Source.Scheme != unix {
		return nil, fmt.Errorf("%s: is not a Unix socket", service.Source)
	}
	if err := config.CheckUnixPath(service.Source.Rest); err != nil {
		return nil, err
	}
	return provider(service.Source.String()), nil
}

// provider is the address of the only endpoint there will ever be.
type provider string

// Run passes on the set once and waits for the end.
func (p provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	set([]discovery.Endpoint{{Address: string(p), Weight: 1}})
	<-ctx.Done()
	return nil
}

package registry

import (
	"context"
	"time"

	base "github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// own is the registry of this process.
type own struct{ registry *base.Registry }

// Provider implements discovery.Source.
func (o own) Provider(env discovery.Env, service config.Service) (discovery.Provider, error) {
	name, err := serviceOf(service.Source)
	return &ownProvider{o.registry, env, name}, err
}

// Close implements discovery.Source. The registry belongs to the process.
func (own) Close() {}

type ownProvider struct {
	registry *base.Registry
	env      discovery.Env
	service  string
}

// confirms is how often the last set is confirmed.
const confirms = 10 * time.Minute

// Run follows the registry. There is no connection that could break.
func (p *ownProvider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	w := p.registry.Attend(p.service)
	defer w.Close()
	ticker := time.NewTicker(confirms)
	defer ticker.Stop()
	for {
		b := w.Next()
		entries, _ := p.registry.List(p.service)
		list := make([]discovery.Endpoint, 0, len(entries))
		for _, e := range entries {
			list = append(list, endpoint(e))
		}
		p.tell(list, b.Settled, set)
		select {
		case <-ctx.Done():
			return nil
		case <-w.Changed():
		case <-ticker.C:
		}
	}
}

func (p *ownProvider) tell(list []discovery.Endpoint, settled bool, set func([]discovery.Endpoint)) {
	switch {
	case settled:
		set(list)
	case p.env.Partly != nil:
		p.env.Partly(list)
	}
	if p.env.Looked != nil {
		p.env.Looked(nil)
	}
}

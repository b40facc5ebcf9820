package docker

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the containers of one service.
type provider struct {
	*source

	env     discovery.Env
	service string
}

// Run passes on what the source knows whenever that has changed.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	defer p.used.Use()()
	f := &following{provider: p, teller: discovery.Teller{Env: p.env, Set: set, Emptied: discovery.Emptied{Doubt: p.doubt}}, left: map[string]string{}, settle: time.NewTimer(time.Hour)}
	defer f.settle.Stop()
	for {
		current, changed := p.now()
		f.hear(current)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-f.settle.C:
		}
	}
}

// following is the state of a provider while it runs.
type following struct {
	*provider

	teller discovery.Teller
	seen   []*container      // the last state without an error
	left   map[string]string // containers that are no endpoints, and why
	settle *time.Timer       // fires when a doubt must be checked again
}

// hear passes on the set if it has changed, and reports how looking at the source goes.
func (f *following) hear(current state) {
	switch {
	case current.err != nil:
		f.seen = nil
		f.teller.Looked(current.err)
		return
	case !current.known:
		return
	case len(f.seen) > 0 && slices.Equal(f.seen, current.services[f.service]): // only other services have changed
		return
	}
	f.seen = current.services[f.service]
	if doubt := f.teller.Found(f.endpoints(current), "container of "+f.service); doubt > 0 {
		f.settle.Reset(doubt)
	}
}

// endpoints makes endpoints of containers. A container that cannot be one is logged once and left out.
func (f *following) endpoints(current state) []discovery.Endpoint {
	var list []discovery.Endpoint
	left := map[string]string{}
	for _, c := range current.services[f.service] {
		e, err := c.endpoint(current.ways)
		if err == nil {
			list = append(list, e)
			continue
		}
		left[c.ID] = err.Error()
		if c.State.Status == "running" && f.left[c.ID] != err.Error() {
			f.env.Log.Warn("a container is no endpoint; it is left out", "container", strings.TrimPrefix(c.Name, "/"), "error", err)
		}
	}
	f.left = left
	return discovery.Distinct(list)
}

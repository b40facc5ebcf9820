package docker

import (
	"context"
	"fmt"
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
	f := &following{provider: p, set: set, emptied: discovery.Emptied{Doubt: p.doubt}, left: map[string]string{}, settle: time.NewTimer(time.Hour)}
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

// following is the work of a provider while it runs.
type following struct {
	*provider

	set     func([]discovery.Endpoint)
	seen    []*container // what was heard last, without trouble
	emptied discovery.Emptied
	told    []discovery.Endpoint
	telling bool              // something was told
	left    map[string]string // containers that are no endpoints, and why
	settle  *time.Timer       // fires when what was doubted must be looked at again
}

// hear passes the set on where it is another one, and says how looking goes.
func (f *following) hear(current state) {
	if f.env.Looked == nil {
		f.env.Looked = func(error) {}
	}
	switch {
	case current.err != nil:
		f.seen = nil
		f.env.Looked(current.err)
		return
	case !current.known:
		return
	case len(f.seen) > 0 && slices.Equal(f.seen, current.services[f.service]): // others have changed
		return
	}
	f.seen = current.services[f.service]
	list := f.endpoints(current)
	var doubt time.Duration
	if len(list) > 0 {
		f.emptied.Filled()
	} else if doubt = f.emptied.Doubted(time.Now()); doubt > 0 {
		f.settle.Reset(doubt)
	}
	if doubt == 0 && (!f.telling || !slices.Equal(list, f.told)) {
		f.told, f.telling = list, true
		f.set(slices.Clone(list))
	}
	if len(list) == 0 {
		f.env.Looked(fmt.Errorf("no container of %s: %w", f.service, discovery.ErrAbsent))
		return
	}
	f.env.Looked(nil)
}

// endpoints makes endpoints of containers. One that is none is told, once, and left out.
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

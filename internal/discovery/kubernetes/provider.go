package kubernetes

import (
	"context"
	"slices"

	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the endpoints of one reference.
type provider struct {
	source *source
	env    discovery.Env
	ref    reference
	name   string // that certificates are for; "" where none is asked for
}

// Run implements discovery.Provider. The API server is believed at once: where it says that there is no
// such Service, there are no endpoints.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	w, wake, cancel := p.source.subscribe(p.ref.key)
	defer cancel()
	t := teller{env: p.env, set: set}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			t.tell(w.look(p.ref, p.name))
		}
	}
}

// teller passes on what is found.
type teller struct {
	env    discovery.Env
	set    func([]discovery.Endpoint)
	told   bool
	latest []discovery.Endpoint
}

func (t *teller) tell(f found) {
	if f.known && (!t.told || !slices.Equal(t.latest, f.list)) {
		t.told, t.latest = true, f.list
		t.set(slices.Clone(f.list))
	}
	switch {
	case t.env.Looked == nil:
	case f.trouble != nil:
		t.env.Looked(f.trouble)
	case f.known:
		t.env.Looked(f.err)
	}
}

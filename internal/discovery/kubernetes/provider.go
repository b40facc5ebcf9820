package kubernetes

import (
	"context"

	"github.com/weir-gateway/weir/internal/discovery"
)

// provider finds the endpoints of one reference.
type provider struct {
	source *source
	env    discovery.Env
	ref    reference
	name   string // the name that certificates are for; "" without TLS
}

// Run implements discovery.Provider. The API server is believed at once: if it says that there is no such Service,
// there are no endpoints.
func (p *provider) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	w, wake, cancel := p.source.subscribe(p.ref.key)
	defer cancel()
	t := discovery.Teller{Env: p.env, Set: set}
	for {
		select {
		case <-ctx.Done():
			return nil
		case t.Heard = <-wake:
			tell(&t, w.look(p.ref, p.name))
		}
	}
}

// tell passes on what was found, without any doubt.
func tell(t *discovery.Teller, f found) {
	if f.known {
		t.Pass(f.list)
	}
	switch {
	case f.trouble != nil:
		t.Looked(f.trouble)
	case f.known:
		t.Looked(f.err)
	}
}

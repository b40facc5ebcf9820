package compile

import (
	"context"
	"fmt"
	"sync"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// source is an open discovery.Source with the settings it was opened with. It is closed when its last feed has ended.
type source struct {
	open     discovery.Source
	settings any
	asked    []question
	users    sync.WaitGroup // its running feeds
}

// sources checks all source settings, whether a service uses them or not.
func (b *build) sources() {
	for i := range b.cfg.Discoveries {
		said := &b.cfg.Discoveries[i]
		d, ok := find(b.compiler.parts.Providers, func(d discovery.Definition) bool { return d.Kind == said.Kind })
		if !ok {
			b.problems.Errorf(said.Origin.Pos, "this version knows no source of kind %q", said.Kind)
			continue
		}
		if _, err := b.source(d); err != nil {
			b.problems.Errorf(placeOf(err, said.Origin.Pos), "discovery of kind %s: %v", said.Kind, err)
			b.told[said] = toldError{err}
		}
	}
}

// source returns the open source of a definition. It opens the source if it is not open, or if it was opened with other
// settings or secrets.
func (b *build) source(d discovery.Definition) (*source, error) {
	settings, said := b.settings(d)
	if err, ok := b.told[said]; ok {
		return nil, err
	}
	same := func(before *source) bool { return config.Same(before.settings, settings) && b.stillSo(before.asked) }
	return keep(b, "source "+d.Kind, same, func() (*source, func(context.Context), error) {
		notes := b.record()
		notes.note(hasRegistry, hasRegistry(b))
		opened, err := d.Open(discovery.SourceEnv{Log: b.compiler.options.Log.With("source", d.Kind), Secret: notes.secret, Registry: b.registry(), Checked: !b.start}, settings)
		if err != nil {
			return nil, nil, err
		}
		made := &source{open: opened, settings: settings, asked: notes.done()}
		return made, made.close, nil
	})
}

// close closes the source once its feeds have ended. Each feed ends by itself.
func (s *source) close(context.Context) {
	s.users.Wait()
	s.open.Close()
}

// provider makes the provider of a service. It also returns the source that the provider belongs to, nil for none. own
// is the service completed with the settings for all services.
func (b *build) provider(s, own *config.Service, env discovery.Env) (discovery.Provider, *source, error) {
	d, _, ok := b.compiler.parts.provider(s)
	if !ok {
		return nil, nil, fmt.Errorf("this version finds no endpoints by %q", s.Source.Scheme)
	}
	if d.Kind == "" {
		made, err := d.New(env, *own)
		if err != nil {
			return nil, nil, err
		}
		return b.claimed(s, env, made)
	}
	from, err := b.source(d)
	if err != nil {
		return nil, nil, err
	}
	made, err := from.open.Provider(env, *own)
	return made, from, err
}

// claimed returns the provider of a source that claims the service because it may know it better than the provider of
// its scheme, asWritten. If no source does, it returns asWritten.
func (b *build) claimed(s *config.Service, env discovery.Env, asWritten discovery.Provider) (discovery.Provider, *source, error) {
	for _, d := range b.compiler.parts.Providers {
		if d.Claims == nil {
			continue
		}
		if settings, said := b.settings(d); !d.Claims(settings, said != nil, *s) {
			continue
		}
		from, err := b.source(d)
		if err != nil {
			return nil, nil, err
		}
		if c, ok := from.open.(discovery.Claimer); ok {
			return c.Claim(env, *s, asWritten), from, nil
		}
	}
	return asWritten, nil, nil
}

// settings returns the settings of a kind of source, and where the config has them; nil: it has none.
func (b *build) settings(d discovery.Definition) (any, *config.Discovery) {
	if said := b.cfg.DiscoveryOf(d.Kind); said != nil {
		return said.Config, said
	}
	return d.Settings(), nil
}

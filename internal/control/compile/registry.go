package compile

import (
	"context"
	"errors"
	"fmt"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// registry returns this process's own registry for those parts that look for endpoints in it; nil: there is none.
func (b *build) registry() *registry.Registry {
	switch r := b.compiler.options.Registry; {
	case b.cfg.Registry == nil:
		return nil
	case r == nil || !b.start: // nothing asks this one
		made, _ := registry.New(registry.Options{}) // without a folder nothing can fail
		return made
	default:
		return r
	}
}

// hasRegistry reports whether the config has a registry, for the sources that look for services in it.
func hasRegistry(b *build) any { return b.cfg.Registry != nil }

// runningAPI is the API of the registry as it is kept. Watches continue over config changes that do not concern them.
type runningAPI struct {
	api   *registryapi.API
	says  config.Registry
	asked []question
}

// openRegistry opens the registry if the config has one, before any part looks for endpoints in it.
func (b *build) openRegistry() {
	c, r := b.cfg.Registry, b.compiler.options.Registry
	if c == nil || r == nil || !b.start {
		return
	}
	r.Open()
	b.used.tune("limits of the registry", func() { r.Limit(c.Limits) })
}

// registryListener makes the listener of the registry. Its operations are routes of their own, so that they are
// counted, logged and explained like all others.
func (b *build) registryListener(l config.Listener) *snapshot.Listener {
	api := b.registryAPI()
	var rules []route.Rule[*snapshot.Route]
	for _, o := range api.Operations() {
		name := config.RegistryName + " " + o.Name
		target := &snapshot.Route{
			Name: name, Origin: l.Origin, Handler: o.Handler, Meter: b.routeMeter(name),
			Backends: []snapshot.BackendNote{{Name: "the registry", Weight: 1, Origin: l.Origin}},
		}
		rules = append(rules, route.Rule[*snapshot.Route]{
			Match: config.Match{Method: o.Method, Path: config.PathMatch{Pattern: o.Pattern}, Origin: l.Origin}, Origin: l.Origin, Name: name, Value: target,
		})
	}
	made := b.listener(l, rules)
	made.WrongMethod = 405
	return made
}

// registryAPI returns the running API if its config says the same, otherwise a new one.
func (b *build) registryAPI() *registryapi.API {
	c := b.cfg.Registry
	if !b.start {
		api, _ := b.makeRegistryAPI(b.record())
		return api
	}
	same := func(before *runningAPI) bool { return config.Same(before.says, *c) && b.stillSo(before.asked) }
	running, _ := keep(b, "registry API", same, func() (*runningAPI, func(context.Context), error) {
		notes := b.record()
		api, err := b.makeRegistryAPI(notes)
		return &runningAPI{api, *c, notes.done()}, nil, err // the error was reported
	})
	return running.api
}

func (b *build) makeRegistryAPI(notes *recorder) (*registryapi.API, error) {
	c := b.cfg.Registry
	tokens, err := b.registryTokens(notes)
	return registryapi.New(registryapi.Options{
		Registry: b.registry(), Tokens: tokens, Guarded: c.Reading == config.TokensRead, Allow: c.Allow, Own: b.compiler.options.Own,
	}), err
}

// registryTokens returns the tokens by their digests; only the digests are kept. A token that cannot be read lets no
// client in.
func (b *build) registryTokens(notes *recorder) (map[auth.Digest]*registryapi.Token, error) {
	env := auth.Env{Secret: notes.secret, Checked: !b.start}
	tokens := map[auth.Digest]*registryapi.Token{}
	failed := false
	for _, t := range b.cfg.Registry.Tokens {
		digest, known, err := env.DigestOfKey(t.Secret)
		if other := tokens[digest]; known && other != nil {
			err = fmt.Errorf("it is that of %s too; a token says who registers, so give each its own", other.Name)
		}
		switch {
		case err != nil:
			failed = true
			b.problems.Errorf(placeOf(err, t.Origin.Pos), "registry: the token %q: %v", t.Name, err)
		case known:
			tokens[digest] = &registryapi.Token{Name: t.Name, Services: t.Services, Addresses: t.Addresses}
		}
	}
	if failed {
		return tokens, errors.New("a token cannot be read")
	}
	return tokens, nil
}

// supersede ends the watches of an API that no longer serves, once another snapshot serves.
func (b *build) supersede() {
	var now *registryapi.API
	if p, ok := b.used.parts["registry API"]; ok {
		if running, ok := p.value.(*runningAPI); ok && running != nil {
			now = running.api
		}
	}
	c := b.compiler
	b.used.tune("registry API", func() {
		if before := c.registryAPI; before != nil && before != now {
			before.Supersede()
		}
		c.registryAPI = now
	})
}

package azure

import (
	"fmt"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud/entra"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
)

// Definition is the kind of apps that Azure Functions runs. All apps of a definition share tokens and connections.
func Definition() function.Definition {
	shared := &platform{callers: entra.NewCallers()}
	return function.Define(function.Parts[Config]{
		Kind: "azure", Summary: "an app of Azure Functions",
		Scheme: config.Scheme{
			Name: "azure", Summary: "a function of Azure Functions", Example: "azure:shop/orders",
			Check: checkRef, Inline: inline,
		},
		Defaults:  defaults,
		Check:     check,
		CheckPart: func(_ function.Env, c *Config, part string) error { return checkPart(c, part) },
		CheckPath: checkPath,
		Rehearse:  rehearse,
		Build:     shared.build,
		Same:      same,
		Once:      func(c *Config) Config { return *c },
	})
}

// platform is what apps share.
type platform struct {
	callers *entra.Callers
	shared  web.Shared
}

// check reports what is wrong with a config, including its secrets.
func check(env function.Env, c *Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, _, err := c.secrets(env)
	return err
}

// secrets returns the secrets that the config contains.
func (c *Config) secrets(env function.Env) (key secret.Value, from entra.Credentials, err error) {
	if c.Key != nil {
		if key, err = env.Secret(c.Key.Template); err != nil {
			return key, from, fmt.Errorf("key: %w", err)
		}
	}
	if c.Identity == nil || c.Identity.Secret == nil {
		return key, from, nil
	}
	if from.Secret, err = env.Secret(c.Identity.Secret.Template); err != nil {
		return key, from, fmt.Errorf("identity.secret: %w", err)
	}
	from.Bounds = env.Bounds
	return key, from, nil
}

// build creates the backend of an app. It sends nothing; tokens are fetched in the background.
func (p *platform) build(env function.Env, name string, c *Config) (function.Backend, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	key, from, err := c.secrets(env)
	if err != nil {
		return nil, err
	}
	o := web.Options{
		Name: "azure:" + name, Platform: "Azure Functions", Drop: dropped(!key.Empty()), Judge: judge(!key.Empty() && c.Identity == nil),
		Log: env.Log, Life: env.Life, Attempts: env.Attempts,
	}
	for _, region := range c.regions() {
		host, called := c.in(region)
		s := p.shared.Site(web.Place{Together: web.Together{Region: region}, Host: host, Called: called}, env.Bounds, c.together.Pool())
		p.prove(env, c, s, key, from)
		o.Sites = append(o.Sites, s)
	}
	return &backend{web.New(o, c.bounds()), c}, nil
}

// prove sets up a site to be called with the key and the token, as far as they are configured.
func (p *platform) prove(env function.Env, c *Config, s *web.Site, key secret.Value, from entra.Credentials) {
	i := c.Identity
	if i == nil {
		if !key.Empty() {
			s.Prove = prove(key, nil)
		}
		return
	}
	token, who := p.callers.Use(entra.Caller{Resource: i.Resource, Client: i.Client, Tenant: i.Tenant, Authority: string(i.Authority)}, from, env.Log)
	s.OnClose(func() { p.callers.Leave(who) })
	s.Prove, s.Problem = prove(key, token), token.Problem
}

// backend is one app. It implements function.Backend and function.Parted.
type backend struct {
	*web.Function

	config *Config // its templates are part of its identity
}

// part is one function of an app.
type part struct {
	backend  *backend
	name     string
	template template
}

// Part returns the function with that name.
func (b *backend) Part(name string) (http.RoundTripper, error) {
	if err := checkPart(b.config, name); err != nil {
		return nil, err
	}
	at, err := b.config.template(name)
	return &part{b, name, at}, err
}

// RoundTrip sends r on to the function's path.
func (p *part) RoundTrip(r *http.Request) (*http.Response, error) {
	path, err := p.template.of(r, p.name)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // the contract of backends; the error that matters is err
		}
		return nil, err
	}
	return p.backend.Pass(r, path) //nolint:wrapcheck // faults, and the ends of contexts
}

// rehearse turns r into what the app would get in the first of its regions.
func rehearse(c *Config, part string, r *http.Request) (adds []string, err error) {
	path := r.URL.EscapedPath()
	if part != "" {
		at, err := c.template(part)
		if err != nil {
			return nil, err
		}
		if path, err = at.of(r, part); err != nil {
			return nil, err
		}
	}
	if c.Identity != nil {
		adds = append(adds, authorization+": a token for "+c.Identity.Resource)
	}
	if c.Key != nil {
		adds = append(adds, keyField)
	}
	host, called := c.in(c.regions()[0])
	return adds, web.Aim(r, called, host, path) //nolint:wrapcheck // it says what is wrong
}

// Tune takes over the bounds of another config.
func (b *backend) Tune(cfg any) {
	if c, ok := cfg.(*Config); ok { // the compiler only tunes what Same has compared
		b.Function.Tune(c.bounds(), c.together.Pool())
	}
}

// Status reports the state of the app.
func (b *backend) Status() function.Status {
	s := b.Function.Status()
	return function.Status{
		Note: "Azure Functions, over HTTP", Busy: s.Calls.Busy, Queued: s.Calls.Waiting, Problem: s.Problem,
		Remote: fmt.Sprintf("over HTTP; %d calls, %d wait", s.Calls.Busy, s.Calls.Waiting), Details: s.Sites,
	}
}

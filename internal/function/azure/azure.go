package azure

import (
	"context"
	"fmt"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud/entra"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
)

// Definition is the kind of apps that Azure Functions runs. All apps of a definition
// share tokens and connections.
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
		Build:     shared.build,
		Same:      same,
		Once:      func(c *Config) Config { return *c },
	})
}

// platform is what apps share.
type platform struct {
	callers     *entra.Callers
	connections web.Connections
	pools       web.Pools
}

// check tells what is wrong with a config, which its secrets are part of.
func check(env function.Env, c *Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, _, err := c.secrets(env)
	return err
}

// secrets are those that the config gives.
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

// build makes the backend of an app. It sends nothing; tokens are fetched beside.
func (p *platform) build(env function.Env, name string, c *Config) (function.Backend, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	key, from, err := c.secrets(env)
	if err != nil {
		return nil, err
	}
	b := &backend{platform: p, config: c}
	o := web.Options{
		Name: "azure:" + name, Platform: "Azure Functions", Drop: dropped(!key.Empty()), Judge: judge(!key.Empty() && c.Identity == nil), Log: env.Log, Life: env.Life, Attempts: env.Attempts,
	}
	for _, region := range c.regions() {
		o.Sites = append(o.Sites, b.site(env, c, region))
	}
	if token := b.token(env, c, from); token != nil || !key.Empty() {
		for _, s := range o.Sites {
			s.Prove = prove(key, token)
			if token != nil {
				s.Problem = token.Problem
			}
		}
	}
	b.Function = web.New(o, c.bounds())
	return b, nil
}

// backend is one app. It implements function.Backend and function.Parted.
type backend struct {
	*web.Function

	platform *platform
	config   *Config // whose templates are its identity
	ends     []func()
}

// site makes what the app is in one region.
func (b *backend) site(env function.Env, c *Config, region string) *web.Site {
	host, called := c.in(region)
	s := &web.Site{Name: region, URL: web.Address(called), Host: host}
	if region == "" {
		s.Name = host
	}
	like := web.Connection{Secure: called.Scheme == "https"}
	if called.Hostname() != host {
		like.Name = host
	}
	send, leave := b.platform.connections.Use(like, env.Bounds)
	s.Send = send
	b.ends = append(b.ends, leave)
	s.Calls, leave = b.platform.pools.Use(web.Together{Region: region}, c.together.Pool())
	b.ends = append(b.ends, leave)
	return s
}

// token is the one with which the app is called, nil for none.
func (b *backend) token(env function.Env, c *Config, from entra.Credentials) *entra.Token {
	i := c.Identity
	if i == nil {
		return nil
	}
	token, who := b.platform.callers.Use(entra.Caller{Resource: i.Resource, Client: i.Client, Tenant: i.Tenant, Authority: string(i.Authority)}, from, env.Log)
	b.ends = append(b.ends, func() { b.platform.callers.Leave(who) })
	return token
}

// RoundTrip passes r on at its own path.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.Pass(r, r.URL.EscapedPath()) //nolint:wrapcheck // faults, and the ends of contexts
}

// part is one function of an app.
type part struct {
	backend  *backend
	name     string
	template template
}

// Part gives the function of that name.
func (b *backend) Part(name string) (http.RoundTripper, error) {
	if err := checkPart(b.config, name); err != nil {
		return nil, err
	}
	at, err := b.config.template(name)
	return &part{b, name, at}, err
}

// RoundTrip passes r on at the function's path.
func (p *part) RoundTrip(r *http.Request) (*http.Response, error) {
	path, err := p.template.at(r.URL.EscapedPath(), &exchange.Of(r).Params)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // the contract of backends; the error that matters is err
		}
		return nil, fault.RouteNotFound.New("", fault.Internal("the function %s: %v", p.name, err))
	}
	return p.backend.Pass(r, path) //nolint:wrapcheck // faults, and the ends of contexts
}

// Tune takes over bounds of another config.
func (b *backend) Tune(cfg any) {
	if c, ok := cfg.(*Config); ok { // the compiler only tunes what Same has compared
		b.Function.Tune(c.bounds(), c.together.Pool())
	}
}

// Status tells how the app is doing.
func (b *backend) Status() function.Status {
	s := b.Function.Status()
	return function.Status{
		Note: "Azure Functions, over HTTP", Busy: s.Calls.Busy, Queued: s.Calls.Waiting, Problem: s.Problem,
		Remote: fmt.Sprintf("over HTTP; %d calls, %d wait", s.Calls.Busy, s.Calls.Waiting), Details: s.Sites,
	}
}

// Close gives back what the app has used with others. Requests under way keep what they
// have, and go on.
func (b *backend) Close(context.Context) error {
	for _, end := range b.ends {
		end()
	}
	return nil
}

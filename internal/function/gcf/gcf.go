package gcf

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/cloud/google"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
)

// Definition is the kind of functions that Google Cloud runs. All functions of a definition share tokens and
// connections.
func Definition() function.Definition {
	shared := &platform{callers: google.NewCallers()}
	service := "SERVICE@REGION/PROJECTNUMBER"
	d := function.Define(function.Parts[Config]{
		Kind: "gcf", Summary: "a function or service of Google Cloud",
		Scheme: config.Scheme{
			Name: "gcf", Summary: "a function of Google Cloud", Example: "gcf:orders@europe-west1/shop-42",
			Check: checkRef(google.ParseFunction, "NAME@REGION/PROJECT"), Inline: inline(google.ParseFunction),
		},
		Defaults: defaults,
		Check:    check,
		Rehearse: rehearse,
		Build:    shared.build,
		Same:     same,
		Once:     func(c *Config) Config { return *c },
	})
	d.Others = []config.Scheme{{
		Name: "run", Summary: "a service of Google Cloud Run", Example: "run:orders@europe-west1/123456789012",
		Check: checkRef(google.ParseService, service), Inline: inline(google.ParseService),
	}}
	return d
}

// platform is what functions share.
type platform struct {
	callers *google.Callers
	shared  web.Shared
}

// check reports what is wrong with a config, including its credentials.
func check(env function.Env, c *Config) error {
	if err := c.validate(); err != nil {
		return err
	}
	_, err := c.credentials(env)
	return err
}

// credentials returns the credentials that the config contains.
func (c *Config) credentials(env function.Env) (google.Credentials, error) {
	if c.Identity.Credentials == nil {
		return google.Credentials{}, nil
	}
	given, err := env.Secret(c.Identity.Credentials.Template)
	if err != nil {
		return google.Credentials{}, fmt.Errorf("identity.credentials: %w", err)
	}
	return google.Credentials{Given: given, Bounds: env.Bounds}, nil
}

// build creates the backend of a function. It sends nothing; tokens are fetched in the background.
func (p *platform) build(env function.Env, name string, c *Config) (function.Backend, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	from, err := c.credentials(env)
	if err == nil && !from.Given.Empty() {
		err = google.Check(from)
	}
	if err != nil {
		return nil, fmt.Errorf("identity.credentials: %w", err)
	}
	o := web.Options{Name: "gcf:" + name, Platform: "Google Cloud", Drop: dropped, Judge: judge, Log: env.Log, Life: env.Life, Attempts: env.Attempts}
	for _, region := range c.regions() {
		o.Sites = append(o.Sites, p.site(env, c, from, region))
	}
	return &backend{web.New(o, c.bounds())}, nil
}

// backend is one function. It implements function.Backend.
type backend struct{ *web.Function }

// site builds the function's site in one region.
func (p *platform) site(env function.Env, c *Config, from google.Credentials, region string) *web.Site {
	own, audience, called := c.in(region)
	s := p.shared.Site(web.Place{
		Together: web.Together{Account: c.Function.Project(), Region: region}, Host: own.Host, Called: called, H2: c.Protocol == H2,
	}, env.Bounds, c.together.Pool())
	if c.Identity.None {
		return s
	}
	token, who := p.callers.Use(google.Caller{
		Audience: audience, Impersonate: c.Identity.Impersonate, Delegates: strings.Join(c.Identity.Delegates, ","),
	}, from, env.Log)
	s.OnClose(func() { p.callers.Leave(who) })
	s.Prove, s.Problem = prove(token, c.Authorization), token.Problem
	return s
}

// rehearse turns r into what the function would get in the first of its regions.
func rehearse(c *Config, _ string, r *http.Request) (adds []string, err error) {
	own, audience, called := c.in(c.regions()[0])
	if !c.Identity.None {
		adds = []string{c.Authorization.field(exchange.RequestHead(r)) + ": a token for " + audience}
	}
	return adds, web.Aim(r, called, own.Host, r.URL.EscapedPath()) //nolint:wrapcheck // it says what is wrong
}

// Tune takes over the bounds of another config.
func (b *backend) Tune(cfg any) {
	if c, ok := cfg.(*Config); ok { // the compiler only tunes what Same has compared
		b.Function.Tune(c.bounds(), c.together.Pool())
	}
}

// Status reports the state of the function.
func (b *backend) Status() function.Status {
	s := b.Function.Status()
	return function.Status{
		Note: "Google Cloud, over HTTP", Busy: s.Calls.Busy, Queued: s.Calls.Waiting, Problem: s.Problem,
		Remote: fmt.Sprintf("over HTTP; %d calls, %d wait", s.Calls.Busy, s.Calls.Waiting), Details: s.Sites,
	}
}

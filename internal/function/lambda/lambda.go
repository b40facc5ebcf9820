package lambda

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// service is the name of AWS Lambda in signatures and host names.
const service = "lambda"

// Definition is the kind of functions that are invoked through AWS Lambda's API. All functions of a definition share
// credentials, connections, pools and room.
func Definition() function.Definition {
	shared := newPlatform()
	return function.Define(function.Parts[Config]{
		Kind: "lambda", Summary: "a function of AWS Lambda",
		Scheme: config.Scheme{
			Name: "lambda", Summary: "a function of AWS Lambda", Example: "lambda:orders:live@eu-west-1",
			Check: checkRef, Inline: inline,
		},
		Defaults:  defaults,
		Check:     func(_ function.Env, c *Config) error { return c.validate() },
		CheckPart: func(_ function.Env, c *Config, part string) error { return checkPart(c, part) },
		Rehearse:  rehearse,
		Build:     shared.build,
		Same:      same,
		Once:      func(c *Config) Config { return *c },
	})
}

// How connections are made and kept.
const (
	connect = 2 * time.Second
	idle    = 20 * time.Second
)

// platform is what functions share.
type platform struct {
	callers     *aws.Callers
	signer      *aws.Signer
	room        *room.Room
	pools       cloud.Shared[poolKey, *cloud.Pool]
	connections cloud.Shared[connectionKey, *transport.Transport]
}

// poolKey is an account in a region, at AWS or at a substitute endpoint.
type poolKey struct{ account, region, endpoint string }

// connectionKey is what two functions must have in common to share connections.
type connectionKey struct {
	secure bool
	bounds string
}

func newPlatform() *platform {
	return &platform{callers: aws.NewCallers(), signer: aws.NewSigner(service), room: room.New(int64(aws.DefaultRoom))}
}

// connection returns the transport for calls within bounds.
func (p *platform) connection(key connectionKey, bounds *egress.Bounds) *transport.Transport {
	return p.connections.Use(key, func() (*transport.Transport, func()) {
		o := transport.Options{Protocol: transport.HTTP, Connect: connect, Idle: idle, Bounds: bounds}
		if key.secure {
			o.TLS, _ = transport.Identity{}.TLS() // fails only for a CA alone, and none is set
		}
		t, _ := transport.New(o) // fails only for other protocols
		return t, t.CloseIdle
	})
}

// build creates the backend of a function. It sends nothing; credentials are fetched in the background.
func (p *platform) build(env function.Env, name string, c *Config) (function.Backend, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	b := &backend{
		name: name, platform: p, log: env.Log.With("function", name), life: env.Life, attempts: env.Attempts,
		format: c.Format, mode: c.Mode, retries: cloud.NewRetries(), own: cloud.NewPool(c.ownPool()),
	}
	b.bounded.Store(c.bounds())
	p.room.Tune(c.room)
	for _, region := range c.regions() {
		b.sites = append(b.sites, p.site(env, c, region))
	}
	b.whole = &view{backend: b, qualifier: c.Lambda.Qualifier}
	return b, nil
}

// site builds the function's site in one region.
func (p *platform) site(env function.Env, c *Config, region string) *site {
	s := &site{
		address: c.address(region), caller: c.caller(region),
		pool: poolKey{c.account(), region, string(c.endpoint())},
	}
	s.connection = connectionKey{s.url.Scheme == "https", env.Bounds.String()}
	s.calls = p.pools.Use(s.pool, func() (*cloud.Pool, func()) {
		return cloud.NewPool(c.in.Pool(region)), nil
	})
	s.calls.Tune(c.in.Pool(region))
	s.credentials = p.callers.Use(s.caller, env.Log)
	s.transport = p.connection(s.connection, env.Bounds)
	return s
}

// leave gives back what a site has used.
func (p *platform) leave(s *site) {
	p.pools.Leave(s.pool)
	p.callers.Leave(s.caller)
	p.connections.Leave(s.connection)
}

// rehearse turns r into what Lambda would get in the first of the function's regions, except for the event.
func rehearse(c *Config, qualifier string, r *http.Request) (adds []string, err error) {
	at := c.address(c.regions()[0])
	at.aim(r, cmp.Or(qualifier, c.Lambda.Qualifier))
	adds = []string{"an event in the format " + string(c.Format)}
	for _, f := range c.asks() {
		adds = append(adds, f.Name+": "+f.Value)
	}
	return append(adds, "a signature for "+service+" in "+at.region), nil
}

// ownPool returns the function's own limits.
func (c *Config) ownPool() cloud.PoolBounds {
	return cloud.PoolBounds{Max: cmp.Or(c.Limits.Concurrency, mostAtOnce), Size: c.Limits.Queue, Wait: c.Limits.Wait}
}

// Close gives back what the function shares with others. Requests in progress keep what they hold, and go on.
func (b *backend) Close(context.Context) error {
	for _, s := range b.sites {
		b.platform.leave(s)
	}
	return nil
}

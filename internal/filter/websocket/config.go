// Package websocket is the filter that terminates WebSockets here and notifies functions with the events of API
// Gateway's WebSocket APIs: $connect, a message, $disconnect.
//
//   - config.go: the config.
//   - select.go: the route key of a message.
//   - websocket.go: a requested connection.
//   - session.go: an open connection.
//   - pace.go: how fast messages are read from the client.
//   - out.go: what is sent to the client; pipe.go: the proxy's end of the connection.
package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
)

// Config is the value of `websocket`.
type Config struct {
	// Select is the route selection expression.
	Select Selection `doc:"select,omitzero" help:"where a message, which must be JSON, holds its route key; by default every message is $default" example:"$request.body.action"`
	// Routes are the backends by key; the route's own backend gets all other keys.
	Routes map[string]*config.Call `doc:"routes,omitzero" help:"backends by route key, and by $connect, $disconnect and $default; all other messages go to the route's own backend; none calls no backend" example:"{ join: fn:join, $disconnect: none }"`
	// Reply are the keys whose responses are sent to the client.
	Reply       []string      `doc:"reply,oneormany,omitzero" help:"route keys whose functions' responses are sent to the client, or all" example:"all"`
	Stage       Stage         `doc:"stage" help:"the stage that functions are told" example:"prod"`
	Domain      Domain        `doc:"domain,omitzero" help:"the domain that functions are told, which many use to send messages back; by default the request's host if the route or its listener names that host, else the address that the client has connected to" example:"127.0.0.1:9001"`
	Idle        time.Duration `doc:"idle" help:"how long a connection may be silent before it is closed" example:"10m"`
	Life        time.Duration `doc:"life" help:"the longest time that a connection stays open" example:"2h"`
	Timeout     time.Duration `doc:"timeout" help:"how long a function may take for an event" example:"29s"`
	Frame       doc.Size      `doc:"frame" help:"the largest frame" example:"32KiB"`
	Message     doc.Size      `doc:"message" help:"the largest message" example:"128KiB"`
	Connections int           `doc:"connections" help:"the most connections at once on this route" example:"10000"`
	AtOnce      int           `doc:"at_once" help:"messages of one connection that functions may process at once; 1 preserves their order" example:"8"`
	Unsent      doc.Size      `doc:"unsent" help:"bytes that are buffered for a slow client" example:"256KiB"`
}

// Stage is a stage in the sense of API Gateway.
type Stage string

// stageForm is API Gateway's form of a stage, or the value that functions get if no stage is configured.
var stageForm = regexp.MustCompile(`^(\$default|[A-Za-z0-9_-]{1,128})$`)

// UnmarshalText reads a stage.
func (s *Stage) UnmarshalText(text []byte) error {
	if !stageForm.Match(text) {
		return fmt.Errorf("%q is no stage; a stage is up to 128 letters, digits, - and _, or $default", text)
	}
	*s = Stage(text)
	return nil
}

// Domain is a host with an optional port.
type Domain string

// UnmarshalText reads a domain.
func (d *Domain) UnmarshalText(text []byte) error {
	if name, err := httpx.NormalizeHost(string(text)); err != nil || name == "" {
		return fmt.Errorf("%q is no domain; a domain is a name or an address, with perhaps a port", text)
	}
	*d = Domain(text)
	return nil
}

// The defaults are API Gateway's quotas, where it has some.
func defaults() Config {
	return Config{
		Stage: "$default", Idle: 10 * time.Minute, Life: 2 * time.Hour, Timeout: 29 * time.Second, Frame: 32 * doc.KiB, Message: 128 * doc.KiB,
		Connections: 10_000, AtOnce: 1, Unsent: 256 * doc.KiB,
	}
}

// The bounds of what makes sense.
const (
	mostLife        = 7 * 24 * time.Hour
	mostTimeout     = 15 * time.Minute // the longest time that a function may run
	mostMessage     = 4 * doc.MiB
	mostConnections = 1_000_000
	mostAtOnce      = 1000
	mostUnsent      = 16 * doc.MiB
	mostRoutes      = 300 // of an API in API Gateway
)

// noBackend means that a key calls no backend; all means every key.
const (
	noBackend = "none"
	all       = "all"
	on        = "true"
)

// DecodeDoc reads `true`, a selection, or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind == doc.Scalar && n.Value != on {
		n = n.Under("select")
	}
	if !doc.DecodeSwitch(n, (*long)(c), "websocket", "write `websocket: true`, or where the key of a message stands, as in `websocket: $request.body.action`", ps) {
		return
	}
	if err := c.validate(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	} else if err := c.checkReply(); err != nil {
		ps.Add(doc.Problem{Pos: n.Get("reply").Pos, What: err.Error()})
	}
}

// EncodeDoc writes the long form.
func (c *Config) EncodeDoc() *doc.Node {
	type long Config
	return doc.EncodeNode((*long)(c))
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("true, or where the key of a message stands"))
}

func (c *Config) validate() error {
	size := func(name string, got, most doc.Size) error {
		if got < 1 || got > most {
			return fmt.Errorf("%s: %v is not from 1 to %v", name, got, most)
		}
		return nil
	}
	for _, rule := range []struct {
		broken bool
		says   string
	}{
		{c.Idle <= 0 || c.Idle > c.Life || c.Life > mostLife, "idle: it is from more than nothing to life, and life at most 168h"},
		{c.Timeout <= 0 || c.Timeout > mostTimeout, "timeout: it is from more than nothing to 15m"},
		{c.Connections < 1 || c.Connections > mostConnections, "connections: they are from 1 to 1000000"},
		{c.AtOnce < 1 || c.AtOnce > mostAtOnce, "at_once: they are from 1 to 1000"},
		{len(c.Routes) > mostRoutes, "routes: they are at most 300"},
	} {
		if rule.broken {
			return errors.New(rule.says)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Routes)) {
		if c.Routes[key] == nil || key == "" {
			return fmt.Errorf("routes: %q has no backend; write none where nobody is to be told", key)
		}
	}
	for _, err := range []error{size("frame", c.Frame, c.Message), size("message", c.Message, mostMessage), size("unsent", c.Unsent, mostUnsent)} {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkReply reports keys that no backend answers.
func (c *Config) checkReply() error {
	for _, key := range c.Reply {
		call, named := c.Routes[key]
		switch {
		case key == apigw.ConnectKey || key == apigw.DisconnectKey:
			return fmt.Errorf("reply: the answer to %s is sent to nobody", key)
		case named && silent(call):
			return fmt.Errorf("reply: nobody answers %q, for its route is none", key)
		case !named && key != apigw.DefaultKey && key != all:
			return fmt.Errorf("reply: no route is called %q; name one of routes, $default or all", key)
		}
	}
	return nil
}

// Calls implements config.Calling.
func (c *Config) Calls() []*config.Call {
	var list []*config.Call
	for _, key := range slices.Sorted(maps.Keys(c.Routes)) {
		if call := c.Routes[key]; call != nil && !silent(call) {
			list = append(list, call)
		}
	}
	return list
}

func silent(call *config.Call) bool { return call.Ref.Scheme == "" && call.Ref.Rest == noBackend }

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("websocket", "tells functions of WebSockets, which end here", filter.StageWebSocket, defaults, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	if err := cmp.Or(c.validate(), c.checkReply()); err != nil {
		return filter.Policy{}, err
	}
	s := &server{config: c, hub: env.Sockets, log: env.Log, backends: map[string]http.RoundTripper{}, hosts: env.Hosts()}
	for _, key := range slices.Sorted(maps.Keys(c.Routes)) {
		call := c.Routes[key]
		if silent(call) {
			s.backends[key] = nil
			continue
		}
		backend, err := env.Backend(call.Ref)
		if err != nil {
			return filter.Policy{}, fmt.Errorf("routes: %s: %w", key, err)
		}
		s.backends[key] = backend
	}
	var err error
	if s.open, err = keep.In(env.Keep, fmt.Sprintf("open %s %d", env.Route, env.Nth), func() (*count, func(context.Context), error) { return new(count), nil, nil }); err != nil {
		return filter.Policy{}, err //nolint:wrapcheck // it says what is wrong
	}
	note := "all messages are " + apigw.DefaultKey
	if c.Select != "" {
		note = "messages by " + string(c.Select)
	}
	return filter.Policy{Adapt: s.adapt, Way: s, Note: note}, nil
}

// replies tells whether the response to a key is sent to the client.
func (c *Config) replies(key string) bool {
	return slices.Contains(c.Reply, all) || slices.Contains(c.Reply, key)
}

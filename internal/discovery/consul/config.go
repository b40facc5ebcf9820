package consul

import (
	"fmt"
	"reflect"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Config is what people write below `discovery: consul:`.
type Config struct {
	Address     address        `doc:"address" help:"the URL of an agent or a server, or unix:/path" example:"http://127.0.0.1:8500"`
	Token       *config.Secret `doc:"token,omitzero" help:"the token to send, a secret" example:"${env:CONSUL_TOKEN}"`
	Datacenter  string         `doc:"datacenter,omitzero" help:"the datacenter for references that do not name one; the agent's own by default" example:"eu"`
	Consistency string         `doc:"consistency" help:"stale: any server answers; default: the leader; consistent: the leader, after it has confirmed that it still leads" example:"default"`
	Warning     string         `doc:"warning" help:"the state of an instance with a check in warning state: ready or not_ready" example:"not_ready"`
	Zone        string         `doc:"zone,empty" help:"the metadata key of an instance or a node that holds its zone" example:"availability-zone"`

	discovery.TLS `doc:",inline"`
}

// The values of Consistency and Warning.
const (
	stale      = "stale"
	consistent = "consistent"
	leader     = "default"
	ready      = "ready"
	notReady   = "not_ready"
)

// defaultPort is the port of Consul's HTTP API.
const defaultPort = "8500"

func defaults() Config {
	return Config{Address: address{discovery.Place{Address: "127.0.0.1:" + defaultPort}}, Consistency: stale, Warning: ready, Zone: "zone"}
}

// DecodeDoc reads the settings, or the address alone.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind == doc.Scalar {
		doc.Decode(n, &c.Address, ps)
		return
	}
	if doc.Decode(n, (*long)(c), ps) {
		c.check(n, ps)
	}
}

func (c *Config) check(n *doc.Node, ps *doc.Problems) {
	switch c.Consistency {
	case stale, leader, consistent:
	default:
		ps.Add(doc.Problem{Pos: n.Get("consistency").Pos, What: fmt.Sprintf("%q is no consistency", c.Consistency), Fix: "write stale, default or consistent"})
	}
	if c.Warning != ready && c.Warning != notReady {
		ps.Add(doc.Problem{Pos: n.Get("warning").Pos, What: fmt.Sprintf("%q is nothing that an instance can be", c.Warning), Fix: "write ready or not_ready"})
	}
	c.CheckFor(c.Address.Place, n, ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return &doc.Schema{AnyOf: []*doc.Schema{(*address)(nil).DocSchema(), doc.SchemaOf(reflect.TypeFor[long]())}}
}

// address is where Consul answers.
type address struct{ discovery.Place }

func form() discovery.PlaceForm {
	return discovery.PlaceForm{
		What: "address of Consul", Help: "the URL of an agent or a server, or unix:/path", Example: "http://127.0.0.1:8500",
		Port: defaultPort, TLSPort: "8501", Sockets: true, Instead: "`token`",
	}
}

// DecodeDoc reads a URL, or a socket.
func (a *address) DecodeDoc(n *doc.Node, ps *doc.Problems) { a.Place = form().Decode(n, ps) }

// DocSchema implements doc.SchemaWriter.
func (*address) DocSchema() *doc.Schema { return form().Schema() }

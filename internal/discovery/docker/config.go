package docker

import (
	"fmt"
	"reflect"
	"runtime"

	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Config is what people write below `discovery: docker:`.
type Config struct {
	Host    host   `doc:"host" help:"the daemon's address: unix:/path, or a URL" example:"unix:/var/run/docker.sock"`
	Network string `doc:"network,omitzero" help:"the network used to reach containers that are in several networks, unless their label weir.network names one" example:"shop_default"`
	Ports   string `doc:"ports" help:"container: use the container's own address; host: use its published port" example:"host"`

	discovery.TLS `doc:",inline"`
}

// The values of Ports.
const (
	atContainer = "container"
	atHost      = "host"
)

// On other systems containers run in a virtual machine, whose networks the host cannot reach.
func defaults() Config {
	c := Config{Host: host{discovery.Place{Address: "unix:/var/run/docker.sock"}}, Ports: atContainer}
	if runtime.GOOS != "linux" {
		c.Ports = atHost
	}
	return c
}

// DecodeDoc reads the settings, or the host alone.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind == doc.Scalar {
		doc.Decode(n, &c.Host, ps)
		return
	}
	if doc.Decode(n, (*long)(c), ps) {
		c.check(n, ps)
	}
}

func (c *Config) check(n *doc.Node, ps *doc.Problems) {
	if c.Ports != atContainer && c.Ports != atHost {
		ps.Add(doc.Problem{Pos: n.Get("ports").Pos, What: fmt.Sprintf("%q is no place of ports", c.Ports), Fix: "write container or host"})
	}
	c.CheckFor(c.Host.Place, n, ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return &doc.Schema{AnyOf: []*doc.Schema{(*host)(nil).DocSchema(), doc.SchemaOf(reflect.TypeFor[long]())}}
}

// host is the daemon's address.
type host struct{ discovery.Place }

// form is also the form of DOCKER_HOST.
func form() discovery.PlaceForm {
	return discovery.PlaceForm{
		What: "place of a daemon", Help: "where the daemon answers: unix:/path, or a URL", Example: "unix:/var/run/docker.sock",
		Port: "2375", TLSPort: "2376", Schemes: []string{"tcp"}, Sockets: true,
	}
}

// machine returns the address of the machine that the daemon runs on, where published ports are reached.
func (h host) machine() string {
	if name, _, err := discovery.SplitAddress(h.Address); err == nil {
		return name
	}
	return "127.0.0.1"
}

// DecodeDoc reads a socket, or a URL.
func (h *host) DecodeDoc(n *doc.Node, ps *doc.Problems) { h.Place = form().Decode(n, ps) }

// DocSchema implements doc.SchemaWriter.
func (*host) DocSchema() *doc.Schema { return form().Schema() }

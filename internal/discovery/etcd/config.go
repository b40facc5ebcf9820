package etcd

import (
	"reflect"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Config is what people write below `discovery: etcd:`.
type Config struct {
	Servers  []server       `doc:"servers,oneormany" help:"the URLs of cluster members, which are tried in turn" example:"[http://10.0.0.5:2379, http://10.0.0.6:2379]"`
	Prefix   string         `doc:"prefix,empty" help:"the prefix of the keys, before the service name" example:"services/"`
	User     string         `doc:"user,omitzero" help:"the user name, if etcd requires one" example:"weir"`
	Password *config.Secret `doc:"password,omitzero" help:"the user's password, a secret" example:"${env:ETCD_PASSWORD}"`

	discovery.TLS `doc:",inline"`
}

// defaultPort is the client port of etcd.
const defaultPort = "2379"

func defaults() Config {
	return Config{Servers: []server{{discovery.Place{Address: "127.0.0.1:" + defaultPort}}}, Prefix: "services/"}
}

// DecodeDoc reads the settings, or the servers alone.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind != doc.Map {
		doc.Decode(n.Under("servers"), (*long)(c), ps)
		return
	}
	if doc.Decode(n, (*long)(c), ps) {
		c.check(n, ps)
	}
}

func (c *Config) check(n *doc.Node, ps *doc.Problems) {
	switch {
	case len(c.Servers) == 0:
		ps.Add(doc.Problem{Pos: n.Pos, What: "etcd has no servers", Fix: "for example `servers: http://10.0.0.5:2379`"})
	case c.User == "" && c.Password != nil:
		ps.Add(doc.Problem{Pos: n.Get("password").Pos, What: "there is a password and no user", Fix: "add `user: NAME`"})
	case c.User != "" && c.Password == nil:
		ps.Add(doc.Problem{Pos: n.Get("user").Pos, What: "there is a user and no password", Fix: "add `password: ${env:ETCD_PASSWORD}`"})
	}
	for _, s := range c.Servers {
		c.CheckFor(s.Place, n, ps)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	one, several := (*server)(nil).DocSchema(), &doc.Schema{Type: doc.Types{"array"}, Items: (*server)(nil).DocSchema()}
	return &doc.Schema{AnyOf: []*doc.Schema{one, several, doc.SchemaOf(reflect.TypeFor[long]())}}
}

// server is a member of the cluster, at the address that it advertises to clients.
type server struct{ discovery.Place }

func form() discovery.PlaceForm {
	return discovery.PlaceForm{
		What: "server of etcd", Help: "the URL of a member of the cluster", Example: "http://10.0.0.5:2379",
		Port: defaultPort, TLSPort: defaultPort, Instead: "`user` and `password`",
	}
}

// DecodeDoc reads the URL of a member.
func (s *server) DecodeDoc(n *doc.Node, ps *doc.Problems) { s.Place = form().Decode(n, ps) }

// DocSchema implements doc.SchemaWriter.
func (*server) DocSchema() *doc.Schema { return form().Schema() }

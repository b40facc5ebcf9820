package etcd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Config is what people write below `discovery: etcd:`.
type Config struct {
	Servers  []server       `doc:"servers,oneormany" help:"the URLs of members of the cluster, which are tried in turn" example:"[http://10.0.0.5:2379, http://10.0.0.6:2379]"`
	Prefix   string         `doc:"prefix" help:"what stands before the names of services in keys" example:"services/"`
	User     string         `doc:"user,omitzero" help:"who asks, where etcd wants to know" example:"weir"`
	Password *config.Secret `doc:"password,omitzero" help:"the user's password, a secret" example:"${env:ETCD_PASSWORD}"`

	discovery.TLS `doc:",inline"`
}

// defaultPort is that of etcd's clients.
const defaultPort = "2379"

func defaults() Config {
	return Config{Servers: []server{{address: "127.0.0.1:" + defaultPort}}, Prefix: "services/"}
}

// DecodeDoc reads the settings, or the servers alone.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind != doc.Map {
		doc.Decode(n.Under("servers"), (*long)(c), ps)
		return
	}
	var own doc.Problems
	doc.Decode(n, (*long)(c), &own)
	if !own.Failed() {
		c.check(n, &own)
	}
	ps.Join(&own)
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
		if !s.secure && (c.CA != nil || c.Cert != nil) {
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s is asked without TLS, and there are certificates for it", s), Fix: "write https:// before it"})
			return
		}
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	one, several := (*server)(nil).DocSchema(), &doc.Schema{Type: doc.Types{"array"}, Items: (*server)(nil).DocSchema()}
	return &doc.Schema{AnyOf: []*doc.Schema{one, several, doc.SchemaOf(reflect.TypeFor[long]())}}
}

// server is a member of the cluster.
type server struct {
	address string // host:port
	secure  bool
}

func (s server) String() string {
	if s.secure {
		return "https://" + s.address
	}
	return "http://" + s.address
}

// DecodeDoc reads the URL of a member, as it advertises it to clients.
func (s *server) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var text string
	var own doc.Problems
	doc.Decode(n, &text, &own)
	if !own.Failed() {
		var err error
		if *s, err = readServer(text); err != nil {
			own.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is no server of etcd", text), Why: err.Error(), Fix: "for example `http://10.0.0.5:2379`"})
		}
	}
	ps.Join(&own)
}

// EncodeDoc writes the URL.
func (s server) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: s.String()} }

// DocSchema implements doc.SchemaWriter.
func (*server) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Description: "the URL of a member of the cluster"}
}

func readServer(text string) (server, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return server{}, errors.New("it is no URL with http:// or https://")
	case u.User != nil:
		return server{}, errors.New("a user in a URL would stand in logs; write `user` and `password`")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return server{}, errors.New("a member has no path")
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	_, _, err = discovery.SplitAddress(address)
	return server{address: address, secure: u.Scheme == "https"}, err //nolint:wrapcheck // as it is told
}

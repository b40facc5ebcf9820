package docker

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"runtime"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Config is what people write below `discovery: docker:`.
type Config struct {
	Host    host   `doc:"host" help:"where the daemon answers: unix:/path, or a URL" example:"unix:/var/run/docker.sock"`
	Network string `doc:"network,omitzero" help:"the network by which containers are called that are in several, unless their label weir.network says" example:"shop_default"`
	Ports   string `doc:"ports" help:"container: a container is called at its own address; host: by its published port" example:"host"`

	discovery.TLS `doc:",inline"`
}

// The words of Ports.
const (
	atContainer = "container"
	atHost      = "host"
)

// On other systems containers run in a machine of their own, of whose networks this one knows nothing.
func defaults() Config {
	c := Config{Host: host{at: "unix:/var/run/docker.sock"}, Ports: atContainer}
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
	var own doc.Problems
	doc.Decode(n, (*long)(c), &own)
	if !own.Failed() {
		c.check(n, &own)
	}
	ps.Join(&own)
}

func (c *Config) check(n *doc.Node, ps *doc.Problems) {
	if c.Ports != atContainer && c.Ports != atHost {
		ps.Add(doc.Problem{Pos: n.Get("ports").Pos, What: fmt.Sprintf("%q is no place of ports", c.Ports), Fix: "write container or host"})
	}
	if !c.Host.secure && (c.CA != nil || c.Cert != nil) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s is asked without TLS, and there are certificates for it", c.Host), Fix: "write https:// before it"})
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return &doc.Schema{AnyOf: []*doc.Schema{(*host)(nil).DocSchema(), doc.SchemaOf(reflect.TypeFor[long]())}}
}

// host is where the daemon answers.
type host struct {
	at     string // host:port, or unix:/path
	secure bool
}

const unix = "unix:"

func (h host) String() string {
	switch {
	case strings.HasPrefix(h.at, unix):
		return h.at
	case h.secure:
		return "https://" + h.at
	}
	return "http://" + h.at
}

// machine is the address of the machine that the daemon is on, where published ports are.
func (h host) machine() string {
	if name, _, err := discovery.SplitAddress(h.at); err == nil {
		return name
	}
	return "127.0.0.1"
}

// DecodeDoc reads a socket, as DOCKER_HOST has it too, or a URL.
func (h *host) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var text string
	var own doc.Problems
	doc.Decode(n, &text, &own)
	if !own.Failed() {
		var err error
		if *h, err = readHost(text); err != nil {
			own.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is no place of a daemon", text), Why: err.Error(), Fix: "for example `unix:/var/run/docker.sock`"})
		}
	}
	ps.Join(&own)
}

// EncodeDoc writes the place.
func (h host) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: h.String()} }

// DocSchema implements doc.SchemaWriter.
func (*host) DocSchema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Description: "where the daemon answers: unix:/path, or a URL"}
}

func readHost(text string) (host, error) {
	if path, ok := strings.CutPrefix(text, unix); ok {
		path = "/" + strings.TrimLeft(path, "/")                 // DOCKER_HOST has unix:///var/run/docker.sock
		return host{at: unix + path}, config.CheckUnixPath(path) //nolint:wrapcheck // as it is told
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "tcp" || u.Host == "":
		return host{}, errors.New("it is neither unix:/path nor a URL with http:// or https://")
	case u.User != nil:
		return host{}, errors.New("a user in a URL would stand in logs")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return host{}, errors.New("it has a path")
	}
	at := u.Host
	if u.Port() == "" {
		port := "2375"
		if u.Scheme == "https" {
			port = "2376"
		}
		at = net.JoinHostPort(u.Hostname(), port)
	}
	_, _, err = discovery.SplitAddress(at)
	return host{at: at, secure: u.Scheme == "https"}, err //nolint:wrapcheck // as it is told
}

// Package redirect is the filter that redirects clients to another URL.
package redirect

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `redirect`: To, or the parts that change. A part that is left out stays as the client sent it;
// so does the query.
type Config struct {
	// To is the whole target: "https://shop.dev/new/{id}", or a path on the same host.
	To     string `doc:"to,omitzero" help:"the target: a URL or a path; {name} stands for what the route captured, ** for the rest" example:"https://shop.dev/new/{id}"`
	Scheme string `doc:"scheme,omitzero" help:"http or https" example:"https"`
	Host   string `doc:"host,omitzero" help:"another host, without a port" example:"shop.dev"`
	Port   int    `doc:"port,omitzero" help:"another port; the scheme's default port is omitted" example:"8443"`
	Path   string `doc:"path,omitzero" help:"another path; {name} stands for what the route captured, ** for the rest" example:"/new/{id}"`
	Strip  string `doc:"strip,omitzero" help:"segments to remove from the front of the path" example:"/shop"`
	Status int    `doc:"status,omitzero" help:"301, 302, 303, 307 or 308; 302 by default" example:"308"`

	// Settings that only objects of the Gateway API have: the replacement of a prefix ("" removes it), the port to use
	// if neither scheme nor port is given, and a Location with a host even if only the path changes.
	ReplacePrefix *string
	MatchPrefix   string
	ListenerPort  int
	Absolute      bool
}

// DecodeDoc reads the short form, a target, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Scalar:
		c.To = n.Value
	case doc.Map:
		type long Config
		if !doc.Decode(n, (*long)(c), ps) {
			return
		}
	default:
		ps.Add(doc.Problem{Pos: n.Pos, What: "redirect is a list here", Why: "it must be a URL, a path, or a map", Fix: "for example `redirect: https://shop.dev/`"})
		return
	}
	if _, err := c.build(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("a URL or a path"))
}

// EncodeDoc writes the long form; settings that only objects have are written as their equivalent in a file.
func (c *Config) EncodeDoc() *doc.Node {
	type long Config
	out := long(*c)
	if c.ReplacePrefix != nil {
		if replacement := strings.Trim(*c.ReplacePrefix, "/"); replacement != "" {
			out.Path = "/" + replacement + "/**"
		} else {
			out.Strip = c.MatchPrefix
		}
	}
	if c.Scheme == "" && c.Port == 0 && c.To == "" {
		out.Port = c.ListenerPort
	}
	return doc.EncodeNode(out)
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("redirect", "sends clients elsewhere", filter.StageRespond,
		func() Config { return Config{Status: http.StatusFound} },
		func(_ filter.Env, c *Config) (filter.Policy, error) {
			t, err := c.build()
			if err != nil {
				return filter.Policy{}, err
			}
			return filter.Policy{Adapt: t.adapt, Note: t.note}, nil
		})
}

// build checks c and makes its target.
func (c *Config) build() (*target, error) {
	parts := *c
	if parts.To != "" {
		if err := parts.split(); err != nil {
			return nil, err
		}
	}
	t := &target{
		status: parts.Status, scheme: parts.Scheme, host: parts.Host, port: parts.Port, query: parts.query(),
		listenerPort: parts.ListenerPort,
		absolute:     parts.Absolute || parts.Scheme != "" || parts.Host != "" || parts.Port != 0,
	}
	if t.status == 0 {
		t.status = http.StatusFound
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := parts.buildPath(t); err != nil {
		return nil, err
	}
	if !t.absolute && t.path == nil {
		return nil, fmt.Errorf("redirect leads to where the client already is; give it to, scheme, host, port or path")
	}
	t.note = c.note(t)
	return t, nil
}

func (c *Config) note(t *target) string {
	parts := []string{strconv.Itoa(t.status), c.To, c.Scheme, c.Host}
	if c.Port != 0 {
		parts = append(parts, "port "+strconv.Itoa(c.Port))
	}
	parts = append(parts, c.Path)
	if c.Strip != "" {
		parts = append(parts, "strip "+c.Strip)
	}
	if c.ReplacePrefix != nil {
		parts = append(parts, "prefix "+c.MatchPrefix+" to /"+strings.TrimPrefix(*c.ReplacePrefix, "/"))
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// split splits To into the other fields.
func (c *Config) split() error {
	if c.Scheme != "" || c.Host != "" || c.Port != 0 || c.Path != "" || c.Strip != "" || c.ReplacePrefix != nil {
		return fmt.Errorf("to says the whole target; leave scheme, host, port, path and strip out beside it")
	}
	if strings.HasPrefix(c.To, "//") {
		return fmt.Errorf("the target %q begins with two slashes, which names a host; write https:%s", c.To, c.To)
	}
	if strings.HasPrefix(c.To, "/") {
		c.Path = c.To
		return nil
	}
	scheme, rest, ok := strings.Cut(c.To, "://")
	if !ok {
		if _, err := strconv.Atoi(c.To); err == nil {
			return fmt.Errorf("%s is no target; write the URL or path to go to as `to`, and the status beside it as `status: %s`", c.To, c.To)
		}
		return fmt.Errorf("the target %q is neither a URL nor a path; write https://%s or /%s", c.To, c.To, c.To)
	}
	c.Scheme = strings.ToLower(scheme)
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, c.Path = rest[:i], rest[i:]
	}
	if authority == "" {
		return fmt.Errorf("the target %q has no host", c.To)
	}
	host, port, hasPort := cutPort(authority)
	c.Host = host
	if hasPort {
		number, err := strconv.Atoi(port)
		if err != nil || number < 1 || number > 65535 {
			return fmt.Errorf("the target %q has no port between 1 and 65535", c.To)
		}
		c.Port = number
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Path[0] != '/' {
		c.Path = "/" + c.Path
	}
	return nil
}

// query removes the query from Path and returns it; a query that is written there replaces the client's.
func (c *Config) query() *string {
	if c.To == "" {
		return nil
	}
	path, query, ok := strings.Cut(c.Path, "?")
	if !ok {
		return nil
	}
	c.Path = path
	return &query
}

// check enforces the rules for all parts except the path.
func (t *target) check() error {
	switch {
	case !slices.Contains([]int{301, 302, 303, 307, 308}, t.status):
		return fmt.Errorf("%d is no redirect; write 301 or 308 (for good), 302 or 307 (for now), or 303 (see other)", t.status)
	case t.scheme != "" && t.scheme != "http" && t.scheme != "https":
		return fmt.Errorf("the scheme %q is neither http nor https", t.scheme)
	case t.port < 0 || t.port > 65535 || t.listenerPort < 0 || t.listenerPort > 65535:
		return fmt.Errorf("the port is not between 1 and 65535")
	case t.query != nil && strings.ContainsFunc(*t.query, func(r rune) bool { return r <= ' ' || r == '#' || r >= 0x7f }):
		return fmt.Errorf("the query %q holds a character that has to be percent-encoded", *t.query)
	case t.host == "":
		return nil
	}
	if strings.Contains(t.host, "{") {
		return fmt.Errorf("the host %q has a parameter; where a client is sent must not depend on what it sends", t.host)
	}
	if _, _, hasPort := cutPort(t.host); hasPort {
		return fmt.Errorf("the host %q has a port; write it as port", t.host)
	}
	bracketed := bracket(t.host)
	if _, err := httpx.NormalizeHost(bracketed); err != nil {
		return fmt.Errorf("the host %q is no name or address", t.host)
	}
	t.host = bracketed
	return nil
}

func (c *Config) buildPath(t *target) error {
	given := 0
	for _, is := range []bool{c.Path != "", c.Strip != "", c.ReplacePrefix != nil} {
		if is {
			given++
		}
	}
	switch {
	case given > 1:
		return fmt.Errorf("path and strip exclude each other; a path says all of it")
	case c.Path != "":
		made, err := template.Parse(c.Path)
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
		t.path = made.Expand
	case c.Strip != "":
		return t.replace(c.Strip, "")
	case c.ReplacePrefix != nil:
		return t.replace(c.MatchPrefix, *c.ReplacePrefix)
	}
	return nil
}

// cutPort splits off the port of host:port or [v6]:port; the port may be missing in both.
func cutPort(authority string) (host, port string, ok bool) {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.IndexByte(authority[i:], ']') >= 0 || authority[0] != '[' && strings.IndexByte(authority, ':') != i {
		return authority, "", false
	}
	return authority[:i], authority[i+1:], true
}

// bracket writes a host in the form used in a URL: IPv6 in brackets.
func bracket(host string) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}

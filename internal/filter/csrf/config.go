// Package csrf is the filter that refuses requests that a page of another site makes in its visitor's name (cross-site
// request forgery).
package csrf

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `csrf`.
type Config struct {
	// Trust are the other origins whose pages may send requests.
	Trust []string `doc:"trust,oneormany,omitzero" help:"other origins whose pages may send requests" example:"[https://app.shop.dev]"`
	// DryRun lets every request pass and logs those that would have been refused.
	DryRun bool `doc:"dry_run,omitzero" help:"only log requests that would have been refused"`
}

// sameOrigin is the short form without other origins.
const sameOrigin = "same-origin"

// DecodeDoc reads `same-origin`, an origin or a list of them, or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind == doc.Scalar && n.Value == sameOrigin {
		return
	}
	if n.Kind != doc.Map {
		n = n.Under("trust")
	}
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	if _, err := c.origins(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error(), Fix: "write `csrf: same-origin`, or other origins, as `csrf: https://app.shop.dev`"})
	}
}

// EncodeDoc writes the short form if it is sufficient.
func (c *Config) EncodeDoc() *doc.Node {
	if len(c.Trust) == 0 && !c.DryRun {
		return &doc.Node{Kind: doc.Scalar, Value: sameOrigin}
	}
	type long Config
	return doc.EncodeNode((*long)(c))
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	origin := doc.TextSchema("same-origin, or an origin that may send")
	return doc.SchemaOr[long](origin, doc.ListSchema(origin))
}

// origins are the trusted origins, as browsers write them.
func (c *Config) origins() (map[string]bool, error) {
	list := map[string]bool{}
	for _, text := range c.Trust {
		u, err := url.Parse(strings.ToLower(text))
		switch {
		case err != nil || u.Scheme == "" || u.Host == "":
			return nil, fmt.Errorf("%q is no origin such as https://app.shop.dev", text)
		case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(text, "*?#"):
			return nil, fmt.Errorf("%q is more than an origin, which is scheme, host and port", text)
		case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
			return nil, fmt.Errorf("%q has the usual port of its scheme, which browsers leave out", text)
		}
		if _, err := httpx.NormalizeHost(u.Host); err != nil {
			return nil, fmt.Errorf("%q has no host as browsers write it, in ASCII and with a port up to 65535", text)
		}
		list[u.Scheme+"://"+u.Host] = true
	}
	return list, nil
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("csrf", "refuses what pages of other sites send", filter.StageCSRF,
		func() Config { return Config{} }, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	trusted, err := c.origins()
	if err != nil {
		return filter.Policy{}, err
	}
	note := sameOrigin
	if n := len(trusted); n > 0 {
		note += " and " + strconv.Itoa(n) + " more"
	}
	p := &policy{trusted: trusted, dryRun: c.DryRun, decisions: env.Decisions("csrf", slog.LevelDebug)}
	return filter.Policy{Guard: p.guard, Ask: p.ask, KeepsNothing: true, Note: note}, nil
}

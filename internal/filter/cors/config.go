// Package cors is the filter that lets pages of other origins use a route, by
// the rules of the Fetch standard (section 3.2, "HTTP CORS protocol").
package cors

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `cors`.
type Config struct {
	// Origins may read: "https://shop.dev", "https://*.shop.dev" (one label or more in place of the star), "https://*",
	// or "*" for every origin.
	Origins []string `doc:"origins,required,oneormany" help:"origins whose pages may read responses: https://shop.dev, https://*.shop.dev, or * for all" example:"https://shop.dev"`
	// Methods that a page may use beyond GET, HEAD and POST. Empty: the requested method, because a preflight is only
	// matched to a route that takes that method. "*" is all.
	Methods []string `doc:"methods,oneormany,omitzero" help:"methods that pages may use; the route's methods by default"`
	// Headers that a page may send; "*" is all but Authorization.
	Headers []string `doc:"headers,oneormany,omitzero" help:"request header fields that pages may send; * for all" example:"Authorization"`
	// Expose lists the response fields that a page may read; "*" is all.
	Expose []string `doc:"expose,oneormany,omitzero" help:"response header fields that pages may read; * for all"`
	// Credentials lets pages send cookies and client certificates.
	Credentials bool `doc:"credentials,omitzero" help:"whether requests may carry cookies; not together with the origin *"`
	// MaxAge is how long a preflight response may be cached; 0 leaves it to the client (5s).
	MaxAge time.Duration `doc:"max_age,omitzero" help:"how long a browser may cache a preflight response" example:"10m"`

	// EchoAny allows credentials together with "*" by echoing any origin, as the Gateway API demands. Files cannot set
	// it: any site on the web could then act as the user that visits it.
	EchoAny bool
}

// DecodeDoc reads the short form, an origin or a list of them, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind != doc.Map {
		n = n.Under("origins")
	}
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	if _, err := c.build(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("an origin"), doc.ListSchema(doc.TextSchema("an origin")))
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("cors", "lets pages of other origins use a route", filter.StageCORS,
		func() Config { return Config{Headers: []string{"Content-Type"}} },
		func(env filter.Env, c *Config) (filter.Policy, error) {
			p, err := c.build()
			if err != nil {
				return filter.Policy{}, err
			}
			p.turnedAway = env.Meter.Counter("weir_cors_preflights_refused_total", "Preflights of pages whose origin may not use the route.")
			return filter.Policy{Guard: p.guard, Ask: p.ask, KeepsNothing: true, Note: c.note()}, nil
		})
}

// note is the text for explain: "2 origins, credentials".
func (c *Config) note() string {
	s := "any origin"
	switch n := len(c.Origins); {
	case slices.Contains(c.Origins, "*"):
	case n == 1:
		s = c.Origins[0]
	default:
		s = strconv.Itoa(n) + " origins"
	}
	if c.Credentials {
		s += ", credentials"
	}
	return s
}

// build checks c and makes its policy.
func (c *Config) build() (*policy, error) {
	p := &policy{credentials: c.Credentials}
	if len(c.Origins) == 0 {
		return nil, fmt.Errorf("cors needs origins, for example `origins: https://shop.dev`")
	}
	for _, text := range c.Origins {
		if err := p.allow(text); err != nil {
			return nil, err
		}
	}
	if c.Credentials && p.open() && !c.EchoAny {
		return nil, fmt.Errorf("credentials do not go with an origin of *: any site could then act as the user who visits it; name the origins")
	}
	if c.MaxAge < 0 {
		return nil, fmt.Errorf("max_age is less than nothing; leave it out, or write a time such as 10m")
	}
	if c.MaxAge > 0 {
		p.maxAge = strconv.FormatInt(int64(max(c.MaxAge.Round(time.Second), time.Second)/time.Second), 10)
	}
	var err error
	if p.methods, err = names("method", c.Methods); err != nil {
		return nil, err
	}
	if p.headers, err = names("header", c.Headers); err != nil {
		return nil, err
	}
	if p.expose, err = names("response field", c.Expose); err != nil {
		return nil, err
	}
	p.prepare()
	return p, nil
}

// names checks a list of tokens and joins it for a header field, as it was written; "*" must stand alone.
func names(what string, list []string) (string, error) {
	for _, name := range list {
		switch {
		case name == "*" && len(list) > 1:
			return "", fmt.Errorf("* among other %ss: it already means all of them", what)
		case !httpx.IsToken(name):
			return "", fmt.Errorf("%q is not the name of a %s", name, what)
		}
	}
	return strings.Join(list, ", "), nil
}

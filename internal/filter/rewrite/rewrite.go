// Package rewrite is the filter that changes path and host of a request on its way to the backend.
package rewrite

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `rewrite`. At most one of Path, Strip and ReplacePrefix is set.
type Config struct {
	// Path is a template: "/internal/{id}", "/internal/**".
	Path string `doc:"path,omitzero" help:"the path to send; {name} stands for what the route captured, ** for the rest" example:"/internal/{id}"`
	// Strip is a prefix of whole segments that is removed.
	Strip string `doc:"strip,omitzero" help:"segments to remove from the front of the path" example:"/shop"`
	// Host is sent as the Host field (":authority").
	Host string `doc:"host,omitzero" help:"the host to send, with a port if it needs one" example:"users.internal"`

	// ReplacePrefix replaces MatchPrefix, as the Gateway API's ReplacePrefixMatch does ("" removes it). Files have
	// Strip and Path instead.
	ReplacePrefix *string
	MatchPrefix   string
}

// DecodeDoc reads the short form, a path, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		c.Path = n.Value
	} else {
		type long Config
		if !doc.Decode(n, (*long)(c), ps) {
			return
		}
	}
	if _, err := c.build(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("the path to send"))
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
	return doc.EncodeNode(out)
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("rewrite", "changes path and host on the way to the backend", filter.StageRewrite,
		func() Config { return Config{} },
		func(_ filter.Env, c *Config) (filter.Policy, error) {
			rw, err := c.build()
			if err != nil {
				return filter.Policy{}, err
			}
			return filter.Policy{Adapt: rw.adapt, KeepsNothing: true, Note: rw.note}, nil
		})
}

// rewriter is a Config ready to run.
type rewriter struct {
	path func(*http.Request) (string, error) // nil: the path is unchanged
	host string
	note string
}

func (c *Config) build() (*rewriter, error) {
	rw := &rewriter{host: c.Host}
	if err := c.buildPath(rw); err != nil {
		return nil, err
	}
	if c.Host != "" {
		if _, err := httpx.NormalizeHost(c.Host); err != nil {
			return nil, fmt.Errorf("the host %q cannot be sent: it is a name or address with perhaps a port", c.Host)
		}
		rw.note = strings.TrimSpace(rw.note + " host " + c.Host)
	}
	if rw.note == "" {
		return nil, fmt.Errorf("rewrite changes nothing; give it path, strip or host")
	}
	return rw, nil
}

func (c *Config) buildPath(rw *rewriter) error {
	switch {
	case c.Path != "" && (c.Strip != "" || c.ReplacePrefix != nil) || c.Strip != "" && c.ReplacePrefix != nil:
		return fmt.Errorf("path and strip exclude each other; a path says all of what is sent")
	case c.Path != "":
		made, err := template.Parse(c.Path)
		if err != nil {
			return fmt.Errorf("path: %w", err)
		}
		rw.note = "path " + c.Path
		rw.path = func(r *http.Request) (string, error) { return made.Expand(exchange.Of(r)) }
	case c.Strip != "":
		return rw.replace(c.Strip, "", "strip "+c.Strip)
	case c.ReplacePrefix != nil:
		return rw.replace(c.MatchPrefix, *c.ReplacePrefix, "prefix "+c.MatchPrefix+" to /"+strings.TrimPrefix(*c.ReplacePrefix, "/"))
	}
	return nil
}

// replace makes rw replace a prefix.
func (rw *rewriter) replace(prefix, replacement, note string) error {
	normalPrefix, err := httpx.NormalizePath(prefix)
	if err != nil {
		return fmt.Errorf("the prefix %q is no path: it begins with a slash and is written in its plain form", prefix)
	}
	if replacement != "" {
		normalReplacement, err := httpx.NormalizePath("/" + strings.TrimPrefix(replacement, "/"))
		if err != nil {
			return fmt.Errorf("the replacement %q is no path in its plain form", replacement)
		}
		replacement = normalReplacement.Text
	}
	rw.note = note
	rw.path = func(r *http.Request) (string, error) {
		path, err := template.Current(r.URL)
		if err != nil {
			return "", err
		}
		return template.Normal(template.ReplacePrefix(path, normalPrefix.Text, replacement))
	}
	return nil
}

// adapt changes the request in place, as rule 7 of package exchange allows.
func (rw *rewriter) adapt(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if rw.path != nil {
			path, err := rw.path(r)
			if err != nil {
				closeBody(r.Body)
				return nil, err
			}
			template.Set(r.URL, path)
		}
		if rw.host != "" {
			r.Host = rw.host
		}
		return next.RoundTrip(r)
	})
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeBody closes the body of a request that goes no further.
func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close() // it was not read, so there is nothing to lose
	}
}

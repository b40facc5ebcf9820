// Package secureheaders is the filter that adds security header fields for browsers to a route's responses.
package secureheaders

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `secure_headers`. A text of "none" leaves its field to the backend.
type Config struct {
	// HSTS is how long browsers must use HTTPS (RFC 6797); the field is sent only over HTTPS.
	HSTS       Period `doc:"hsts,omitzero" help:"how long browsers use HTTPS only for this host, or none" example:"8760h"`
	Subdomains bool   `doc:"subdomains,omitzero" help:"whether hsts also applies to all subdomains of the host"`
	// Frame says which sites may embed the page.
	Frame       string   `doc:"frame,omitzero" help:"which pages may show the page in a frame: deny (no pages), same-origin, or none for no restriction" example:"deny"`
	Referrer    string   `doc:"referrer,omitzero" help:"Referrer-Policy, or none" example:"no-referrer"`
	Content     string   `doc:"content,omitzero" help:"Content-Security-Policy" example:"\"default-src 'self'\""`
	Permissions string   `doc:"permissions,omitzero" help:"Permissions-Policy" example:"camera=(), microphone=()"`
	Opener      string   `doc:"opener,omitzero" help:"Cross-Origin-Opener-Policy" example:"same-origin"`
	Hide        []string `doc:"hide,oneormany,omitzero" help:"header fields to remove because they reveal what software a backend runs" example:"[Server, X-Powered-By]"`
}

const none = "none"

// Period is a duration, or none at all.
type Period time.Duration

// DecodeDoc reads a duration, or `none`.
func (p *Period) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*p = 0
	if n.Kind == doc.Scalar && n.Value == none {
		return
	}
	var d time.Duration
	doc.Decode(n, &d, ps)
	*p = Period(d)
}

// EncodeDoc writes the period as it is read.
func (p Period) EncodeDoc() *doc.Node {
	if p == 0 {
		return &doc.Node{Kind: doc.Scalar, Value: none}
	}
	return doc.EncodeNode(time.Duration(p))
}

// DocSchema implements doc.SchemaWriter.
func (Period) DocSchema() *doc.Schema { return doc.TextSchema("a duration such as 8760h, or none") }

// usual is a Config that breaks no carefully written site.
func usual() Config {
	return Config{
		HSTS: Period(365 * 24 * time.Hour), Frame: "same-origin", Referrer: "strict-origin-when-cross-origin",
		Hide: []string{"Server", "X-Powered-By"},
	}
}

// DecodeDoc reads `true`, which sets all defaults, or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.DecodeSwitch(n, (*long)(c), "secure_headers", "write `secure_headers: true`, or `none` to switch an inherited one off", ps) {
		return
	}
	if _, err := c.fields(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// EncodeDoc writes the map with all its keys, because a missing key would mean the default.
func (c *Config) EncodeDoc() *doc.Node {
	type long Config
	n := doc.EncodeNode((*long)(c))
	if c.HSTS == 0 {
		n.Entries = append(n.Entries, doc.Entry{Key: "hsts", Value: c.HSTS.EncodeDoc()})
	}
	return n
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return &doc.Schema{AnyOf: []*doc.Schema{{Type: doc.Types{"boolean"}}, doc.SchemaOf(reflect.TypeFor[long]())}}
}

// field is a header field that is set if a response does not have it.
type field struct {
	name, value string
	secure      bool // only over HTTPS
}

// fields are the fields that c sets.
func (c *Config) fields() ([]field, error) {
	list := []field{{name: "X-Content-Type-Options", value: "nosniff"}}
	if c.HSTS < 0 || c.HSTS > 0 && c.HSTS < Period(time.Second) {
		return nil, fmt.Errorf("hsts is %v, less than a second", time.Duration(c.HSTS))
	}
	if c.HSTS > 0 {
		value := "max-age=" + strconv.FormatInt(int64(time.Duration(c.HSTS)/time.Second), 10)
		if c.Subdomains {
			value += "; includeSubDomains"
		}
		list = append(list, field{"Strict-Transport-Security", value, true})
	}
	switch c.Frame {
	case "deny":
		list = append(list, field{name: "X-Frame-Options", value: "DENY"})
	case "same-origin":
		list = append(list, field{name: "X-Frame-Options", value: "SAMEORIGIN"})
	case none, "":
	default:
		return nil, fmt.Errorf("frame is %q; it is deny, same-origin or none", c.Frame)
	}
	for _, f := range []field{
		{name: "Referrer-Policy", value: c.Referrer}, {name: "Content-Security-Policy", value: c.Content},
		{name: "Permissions-Policy", value: c.Permissions}, {name: "Cross-Origin-Opener-Policy", value: c.Opener},
	} {
		switch {
		case f.value == none || f.value == "":
		case !httpx.IsFieldValue(f.value) || strings.TrimSpace(f.value) != f.value:
			return nil, fmt.Errorf("the value of %s begins or ends with a blank, or holds a control character", f.name)
		default:
			list = append(list, f)
		}
	}
	return list, c.checkHidden()
}

// checkHidden requires that no field is hidden that a response needs.
func (c *Config) checkHidden() error {
	for _, name := range c.Hide {
		switch canonical := http.CanonicalHeaderKey(name); {
		case name == none && len(c.Hide) == 1:
		case !httpx.IsToken(name):
			return fmt.Errorf("%q is not the name of a field", name)
		case !strings.HasPrefix(canonical, "X-") && !slices.Contains([]string{"Server", "Via"}, canonical):
			return fmt.Errorf("%s cannot be hidden here: it may be more than a backend's name for itself; `headers` removes any field", canonical)
		}
	}
	return nil
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("secure_headers", "tells browsers to be careful with what a route answers", filter.StageSecurity, usual,
		func(_ filter.Env, c *Config) (filter.Policy, error) {
			fields, err := c.fields()
			if err != nil {
				return filter.Policy{}, err
			}
			p := &policy{fields: fields}
			for _, name := range c.Hide {
				if name != none {
					p.hidden = append(p.hidden, http.CanonicalHeaderKey(name))
				}
			}
			return filter.Policy{Guard: p.guard, KeepsNothing: true, Note: fmt.Sprintf("%d fields", len(fields))}, nil
		})
}

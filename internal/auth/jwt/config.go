package jwt

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is the config of an auth of this kind.
type Config struct {
	Issuer   string   `doc:"jwt,required" help:"the issuer, exactly as in the tokens' iss; without jwks or secret, its keys are found by OIDC discovery" example:"https://id.example.com/"`
	Audience Audience `doc:"audience,required" help:"the accepted audiences, one of which a token must have; none accepts tokens for any audience" example:"shop"`
	// JWKS or Secrets give the keys instead of the issuer's discovery.
	JWKS    Source          `doc:"jwks,omitzero" help:"where the keys are: a URL, a file, a secret, or the keys themselves" example:"https://id.example.com/keys"`
	Secrets []config.Secret `doc:"secret,oneormany,omitzero" help:"a secret shared with the issuer, for HS256, HS384 and HS512; several during a change" example:"${env:JWT_SECRET}"`

	// CA holds the authorities that verify the server of the keys.
	CA *config.FileSecret `doc:"ca,omitzero" help:"authorities in PEM that the key server's certificate is verified against: a file, or a secret; the system's by default" example:"/etc/weir/ca.crt"`

	Algorithms []string      `doc:"algorithms,oneormany,omitzero" help:"the only accepted algorithms, of those that fit a key" example:"[RS256, ES256]"`
	Types      []string      `doc:"type,oneormany,omitzero" help:"the accepted values of typ in a token's header; none, JWT or at+jwt by default" example:"at+jwt"`
	Leeway     time.Duration `doc:"leeway" help:"how far the clocks of issuer and gateway may differ" example:"30s"`
	Stale      time.Duration `doc:"stale" help:"how long keys remain valid while no newer ones can be fetched" example:"24h"`
	Remember   int           `doc:"remember" help:"how many verified tokens are remembered, until they expire or their key is removed" example:"10000"`
	Subject    string        `doc:"subject" help:"the claim that names the caller" example:"client_id"`
	Scopes     []string      `doc:"scopes,oneormany" help:"the claims that hold scopes, as a text or a list" example:"permissions"`
	From       []auth.Place  `doc:"from,oneormany,omitzero" help:"where the token is: header:NAME, cookie:NAME or query:NAME; header:Authorization by default" example:"cookie:session"`

	auth.Common `doc:",inline"`

	// Discovery is the issuer's URL if its keys are found by discovery; empty otherwise.
	Discovery config.Remote
}

// defaults returns a config with all defaults.
func defaults() Config {
	return Config{Leeway: time.Minute, Stale: 24 * time.Hour, Remember: 10_000, Subject: "sub", Scopes: []string{"scope", "scp"}}
}

// The bounds of a config's times and numbers.
const (
	mostLeeway   = 5 * time.Minute
	leastStale   = time.Minute
	mostStale    = 30 * 24 * time.Hour
	mostRemember = 1_000_000
)

// DecodeDoc reads the config and checks it.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	c.sources(n, ps)
	c.checkAlgorithms(n, ps)
	for _, p := range c.bounds(n) {
		ps.Add(p)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOf(reflect.TypeFor[long]())
}

// sources checks that keys come from only one place, and that a URL is suitable as one.
func (c *Config) sources(n *doc.Node, ps *doc.Problems) {
	at := n.Get("jwt").Pos
	switch hasKeys, hasSecret := c.JWKS.is(), len(c.Secrets) > 0; {
	case hasKeys && hasSecret:
		ps.Add(doc.Problem{Pos: n.Get("secret").Pos, What: "there are jwks and a secret", Why: "a token could then choose which of them it is checked with", Fix: "keep one of them, or make two ways of it"})
	case hasKeys:
		if p, bad := plainProblem(c.JWKS.Remote); bad {
			ps.Add(p)
		}
	case hasSecret:
	default:
		c.Discovery.DecodeDoc(n.Get("jwt"), ps)
		if p, bad := plainProblem(c.Discovery); bad {
			ps.Add(p)
		}
		if strings.ContainsAny(c.Discovery.URL, "?") {
			ps.Add(doc.Problem{Pos: at, What: "the issuer has a query", Why: "discovery adds a path to it", Fix: "write the issuer as its tokens name it, and the address of its keys under jwks"})
		}
	}
}

// plainProblem refuses a URL that is not encrypted and leads into the Internet: someone between the gateway and the
// server could put their own keys into the answer.
func plainProblem(r config.Remote) (doc.Problem, bool) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" || inside(u.Hostname()) {
		return doc.Problem{}, false
	}
	return doc.Problem{
		Pos: r.Pos, What: fmt.Sprintf("the keys of %s would come unencrypted", r.URL),
		Why: "whoever stands between could put others in their place, and be anybody", Fix: "write https://" + u.Host,
	}, true
}

// inside reports whether a host cannot be on the Internet.
func inside(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate()
	}
	if !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".internal", ".local", ".localhost", ".svc", ".test", ".home.arpa"}, func(suffix string) bool {
		return strings.HasSuffix(strings.ToLower(host), suffix)
	})
}

func (c *Config) checkAlgorithms(n *doc.Node, ps *doc.Problems) {
	known := c.usableAlgorithms()
	for _, name := range c.Algorithms {
		if slices.Contains(known, name) {
			continue
		}
		p := doc.Problem{Pos: n.Get("algorithms").Pos, What: fmt.Sprintf("%q is no algorithm that can be taken here", name), Why: "there are " + strings.Join(known, ", ")}
		switch _, secret := secretAlgorithms()[name]; {
		case strings.EqualFold(name, "none"):
			p.Why, p.Fix = "anybody could then write tokens", "remove it"
		case secret:
			p.Why, p.Fix = "it needs a secret that both sides have", "write `secret: ${env:JWT_SECRET}`, or remove the algorithm"
		default:
			if near, ok := doc.Suggest(name, known); ok {
				p.Fix = fmt.Sprintf("did you mean %q?", near)
			}
		}
		ps.Add(p)
	}
}

// usableAlgorithms returns the algorithms that the config's keys may be for.
func (c *Config) usableAlgorithms() []string {
	if len(c.Secrets) == 0 {
		return publicAlgorithms()
	}
	return []string{"HS256", "HS384", "HS512"}
}

// allowed returns the algorithms that are accepted.
func (c *Config) allowed() []string {
	if len(c.Algorithms) > 0 {
		return c.Algorithms
	}
	return c.usableAlgorithms()
}

func (c *Config) bounds(n *doc.Node) []doc.Problem {
	var list []doc.Problem
	add := func(key, what, fix string) {
		list = append(list, doc.Problem{Pos: n.Get(key).Pos, What: what, Fix: fix})
	}
	if c.Leeway < 0 || c.Leeway > mostLeeway {
		add("leeway", "leeway is not between 0s and 5m", "clocks that differ by more want mending")
	}
	if c.Stale < leastStale || c.Stale > mostStale {
		add("stale", "stale is not between 1m and 720h", "write for how long keys that may have been withdrawn shall count, for example 24h")
	}
	if c.Remember < 0 || c.Remember > mostRemember {
		add("remember", "remember is not between 0 and 1000000", "for example 10000")
	}
	if c.Subject == "" {
		add("subject", "subject is empty", "name the claim that says who is calling, for example sub")
	}
	return list
}

// Audience says for whom a token has to be.
type Audience struct {
	Any   bool // for anyone
	Names []string
}

// DecodeDoc reads a name, a list of names, or none.
func (a *Audience) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar && n.Value == "none" && !n.Quoted {
		a.Any = true
		return
	}
	var form struct {
		Names []string `doc:"audience,oneormany"`
	}
	doc.Decode(n.Under("audience"), &form, ps)
	if a.Names = form.Names; len(a.Names) == 0 || slices.Contains(a.Names, "") {
		ps.Add(doc.Problem{Pos: n.Pos, What: "audience names nobody", Fix: "write the name that tokens for this API have under aud, or none to take tokens for anybody"})
	}
}

// EncodeDoc writes it in the form in which it is read.
func (a Audience) EncodeDoc() *doc.Node {
	if a.Any {
		return &doc.Node{Kind: doc.Scalar, Value: "none"}
	}
	n := doc.EncodeNode(a.Names)
	for _, item := range n.Items {
		item.Quoted = item.Quoted || item.Value == "none"
	}
	return n
}

// DocSchema implements doc.SchemaWriter.
func (Audience) DocSchema() *doc.Schema {
	one := doc.TextSchema("a name under aud, or none")
	return &doc.Schema{AnyOf: []*doc.Schema{one, doc.ListSchema(one)}}
}

// Source says where keys are. At most one of its fields is set.
type Source struct {
	Remote config.Remote
	File   *config.FileSecret
	Inline string // a JWK Set, or public keys in PEM
}

func (s Source) is() bool { return s.Remote.URL != "" || s.File != nil || s.Inline != "" }

// DecodeDoc reads a URL, the path of a file, a reference, or the keys themselves.
func (s *Source) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	text := strings.TrimSpace(n.Value)
	switch {
	case n.Kind != doc.Scalar || text == "":
		ps.Add(doc.Problem{Pos: n.Pos, What: "jwks is no text that says where keys are", Fix: "for example `jwks: https://id.example.com/keys`, or the path of a file"})
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "-----BEGIN "):
		if _, err := parseText(text, publicAlgorithms()); err != nil {
			ps.Add(doc.Problem{Pos: n.Pos, What: "the keys are not understood", Why: err.Error()})
			return
		}
		s.Inline = n.Value
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		s.Remote.DecodeDoc(n, ps)
	default:
		s.File = &config.FileSecret{}
		s.File.DecodeDoc(n, ps)
	}
}

// EncodeDoc writes it in the form in which it is read.
func (s Source) EncodeDoc() *doc.Node {
	switch {
	case s.File != nil:
		return s.File.EncodeDoc()
	case s.Inline != "":
		return &doc.Node{Kind: doc.Scalar, Value: s.Inline, Quoted: true}
	default:
		return s.Remote.EncodeDoc()
	}
}

// DocSchema implements doc.SchemaWriter.
func (Source) DocSchema() *doc.Schema {
	return doc.TextSchema("a URL, a file's path, a reference ${env:NAME}, or a JWK Set or public keys in PEM")
}

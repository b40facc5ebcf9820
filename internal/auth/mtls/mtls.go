// Package mtls recognises callers by the client certificate of their connection. The listener verifies the certificate
// against its own authorities (`tls.client_ca`). This kind only reads names from a certificate that was verified, and
// never from a header.
package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is the config of an auth of this kind.
type Config struct {
	MTLS []Name `doc:"mtls,required,oneormany" help:"the accepted names: a URI such as spiffe://shop.dev/*, dns:*.shop.dev, cn:NAME, or any" example:"spiffe://shop.dev/*"`

	auth.Common `doc:",inline"`
}

// Certified implements config.Certified.
func (*Config) Certified() {}

// Name is a pattern for a name in a certificate.
type Name struct {
	Kind string // "uri", "dns", "cn" or "any"
	Text string // with a `*` at the end (uri) or for the first labels (dns)
}

// The kinds of names.
const (
	uri = "uri"
	dns = "dns"
	cn  = "cn"
	all = "any"
)

// DecodeDoc reads `spiffe://shop.dev/*`, `dns:*.shop.dev`, `cn:backup` and `any`.
func (m *Name) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	kind, text, ok := strings.Cut(n.Value, ":")
	p := doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q names nobody", n.Value), Why: "a name is a URI, dns:NAME, cn:NAME, or any for every certificate that was verified", Fix: "for example `mtls: spiffe://shop.dev/*`"}
	switch {
	case n.Kind != doc.Scalar:
		p.What = n.Kind.String() + " is given where a name is expected"
	case n.Value == all:
		*m = Name{Kind: all}
		return
	case ok && (kind == dns || kind == cn) && text != "":
		*m = Name{Kind: kind, Text: text}
		if kind == dns {
			m.Text = strings.ToLower(text)
		}
		if star := strings.IndexByte(m.Text, '*'); star >= 0 && (kind == cn || star > 0 || !strings.HasPrefix(m.Text, "*.") || strings.Count(m.Text, "*") > 1) {
			p.What, p.Why, p.Fix = fmt.Sprintf("the * in %q does not stand for whole labels at the left", n.Value), "", "write dns:*.shop.dev"
			break
		}
		return
	case ok && strings.HasPrefix(text, "//") && len(text) > len("//"):
		*m = Name{Kind: uri, Text: n.Value}
		if star := strings.IndexByte(n.Value, '*'); star >= 0 && (star != len(n.Value)-1 || n.Value[star-1] != '/' || strings.Count(n.Value, "/") < 3) {
			p.What, p.Why, p.Fix = fmt.Sprintf("the * in %q does not stand behind a slash of the path, at the end", n.Value), "else a name that only begins alike would count", "write spiffe://shop.dev/*"
			break
		}
		return
	}
	ps.Add(p)
}

// EncodeDoc writes the name in the form in which it is read.
func (m Name) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: m.String()} }

// DocSchema implements doc.SchemaWriter.
func (Name) DocSchema() *doc.Schema {
	return doc.TextSchema("a URI, dns:NAME, cn:NAME, or any")
}

func (m Name) String() string {
	switch m.Kind {
	case all:
		return all
	case uri:
		return m.Text
	default:
		return m.Kind + ":" + m.Text
	}
}

// remembered is how many certificates are remembered by their digests.
const remembered = 4096

// Definition defines this kind of auth.
func Definition() auth.Definition {
	return auth.Define("mtls", "the client certificate of the connection", func() Config { return Config{} }, build)
}

func build(env auth.Env, c *Config) (auth.Way, error) {
	texts := make([]string, len(c.MTLS))
	for i, name := range c.MTLS {
		texts[i] = name.String()
	}
	g := &gate{way: env.Name, names: c.MTLS, seen: auth.NewMemory[auth.Digest, *exchange.Identity](remembered)}
	return auth.Way{Recognise: g.recognise, Scheme: "Certificate", Common: c.Common, Note: strings.Join(texts, ", ")}, nil
}

type gate struct {
	way   string
	names []Name
	seen  *auth.Memory[auth.Digest, *exchange.Identity]
}

func (g *gate) recognise(r *http.Request) (*exchange.Identity, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, auth.ErrAbsent
	}
	if len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil, auth.Refuse("the client certificate was verified by nobody: the listener has no client_ca")
	}
	leaf := r.TLS.VerifiedChains[0][0]
	digest := auth.Digest(sha256.Sum256(leaf.Raw))
	if identity, ok := g.seen.Get(digest); ok {
		return identity, nil
	}
	subject, ok := g.subject(leaf)
	if !ok {
		return nil, auth.Refuse("the client certificate has none of the names that count")
	}
	identity := identityOf(g.way, subject, leaf, digest)
	g.seen.Put(digest, identity)
	return identity, nil
}

// subject returns the first name of the certificate that matches, in the order of the config.
func (g *gate) subject(leaf *x509.Certificate) (string, bool) {
	for _, name := range g.names {
		for _, own := range namesOf(leaf) {
			if name.covers(own) {
				return own.Text, true
			}
		}
	}
	return "", false
}

// namesOf returns the names of a certificate, the most specific first.
func namesOf(leaf *x509.Certificate) []Name {
	var list []Name
	for _, u := range leaf.URIs {
		if u.User == nil && u.RawQuery == "" && u.Fragment == "" && u.Host != "" {
			list = append(list, Name{uri, u.String()})
		}
	}
	for _, name := range leaf.DNSNames {
		list = append(list, Name{dns, strings.ToLower(name)})
	}
	if leaf.Subject.CommonName != "" {
		list = append(list, Name{cn, leaf.Subject.CommonName})
	}
	return list
}

// covers reports whether m matches a name of a certificate.
func (m Name) covers(own Name) bool {
	switch {
	case m.Kind == all:
		return true
	case m.Kind != own.Kind:
		return false
	case m.Kind == uri && strings.HasSuffix(m.Text, "*"):
		rest, ok := strings.CutPrefix(own.Text, strings.TrimSuffix(m.Text, "*"))
		return ok && rest != "" && !strings.Contains("/"+rest+"/", "/../") && !strings.Contains(rest, "%")
	case m.Kind == dns && strings.HasPrefix(m.Text, "*"):
		first, ok := strings.CutSuffix(own.Text, m.Text[1:])
		return ok && first != "" && !strings.Contains(own.Text, "*")
	default:
		return m.Text == own.Text
	}
}

func identityOf(way, subject string, leaf *x509.Certificate, digest auth.Digest) *exchange.Identity {
	claims := map[string]any{
		"sub": subject, "issuer": leaf.Issuer.String(), "serial": leaf.SerialNumber.Text(16), "sha256": hex.EncodeToString(digest[:]),
	}
	for kind, list := range map[string][]any{uri: {}, dns: {}, cn: {}} {
		for _, name := range namesOf(leaf) {
			if name.Kind == kind {
				list = append(list, name.Text)
			}
		}
		claims[kind] = list
	}
	return &exchange.Identity{Method: way, Issuer: auth.IssuerOf(way), Subject: subject, Claims: exchange.ClaimsOf(claims)}
}

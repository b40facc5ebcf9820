package config

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// tlsForm is the word passthrough, a map of one certificate and the settings for clients, or a list of certificates.
type tlsForm struct {
	passthrough bool
	serverTLSForm
}

// serverTLSForm is a listener's `tls` in full.
type serverTLSForm struct {
	Cert         *FileSecret       `doc:"cert" help:"the certificate chain in PEM: a file, or a secret" example:"/etc/weir/tls.crt"`
	Key          *FileSecret       `doc:"key" help:"its private key in PEM: a file, or a secret" example:"/etc/weir/tls.key"`
	Certificates []certificateForm `doc:"certificates,oneormany" help:"several certificates, selected by the name that a client asks for"`
	StrictNames  bool              `doc:"strict_names" help:"whether to refuse a client that asks for no name, or for one that no certificate has; otherwise it gets the first certificate"`
	ClientCA     *FileSecret       `doc:"client_ca" help:"authorities whose client certificates are accepted, in PEM: a file, or a secret" example:"/etc/weir/clients.crt"`
	Client       string            `doc:"client" help:"require, optional or none; require if client_ca is set" example:"optional"`
	MinVersion   string            `doc:"min_version" help:"the oldest TLS version to accept: 1.2 or 1.3" example:"1.3"`
	Ciphers      cipherForm        `doc:"ciphers" help:"the cipher suites of TLS 1.2; the suites of TLS 1.3 are fixed"`
	Curves       curveForm         `doc:"curves" help:"the key exchange groups"`
	At           doc.Pos           `doc:"-,pos"`
}

type certificateForm struct {
	Cert FileSecret `doc:"cert,required" help:"the certificate chain in PEM: a file, or a secret" example:"/etc/weir/tls.crt"`
	Key  FileSecret `doc:"key,required" help:"its private key in PEM: a file, or a secret" example:"/etc/weir/tls.key"`
	At   doc.Pos    `doc:"-,pos"`
}

func (t *tlsForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Scalar:
		if t.passthrough = n.Value == "passthrough"; !t.passthrough {
			ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("tls is %q", n.Value), Why: "it is a certificate, a list of them, or the word passthrough", Fix: "for example `tls:` and below it `cert: /etc/weir/tls.crt` and `key: /etc/weir/tls.key`"})
		}
	case doc.List:
		doc.Decode(n.Under("certificates"), &t.serverTLSForm, ps)
	default:
		doc.Decode(n, &t.serverTLSForm, ps)
		t.onePair(n, ps)
	}
	t.clients(ps)
}

// onePair treats a certificate that stands in `tls` itself as a list of one.
func (f *serverTLSForm) onePair(n *doc.Node, ps *doc.Problems) {
	if n.Get("cert") == nil && n.Get("key") == nil {
		return
	}
	if n.Get("certificates") != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: "tls has both a certificate and a list of certificates", Fix: "move the certificate into the list"})
		return
	}
	var pair certificateForm
	both := mapAt(n.Pos)
	for _, e := range n.Entries {
		if e.Key == "cert" || e.Key == "key" {
			both.Entries = append(both.Entries, e)
		}
	}
	var own doc.Problems // mistakes within the two have been reported; a missing one has not
	doc.Decode(both, &pair, &own)
	if len(both.Entries) == 1 {
		ps.Join(&own)
	}
	f.Certificates = []certificateForm{pair}
}

// clients reads whether clients must show a certificate.
func (f *serverTLSForm) clients(ps *doc.Problems) {
	switch f.Client {
	case "":
		if f.ClientCA != nil {
			f.Client = string(RequireClientAuth)
		}
	case none:
		f.Client = string(NoClientAuth)
		if f.ClientCA != nil {
			ps.Add(doc.Problem{Pos: f.At, What: "client_ca is there, but client is none", Why: "no certificate would be asked for, and everybody let in", Fix: "write require or optional, or remove client_ca"})
		}
	case string(OptionalClientAuth), string(RequireClientAuth):
	default:
		ps.Add(doc.Problem{Pos: f.At, What: fmt.Sprintf("client is %q", f.Client), Why: "it says whether a client must show a certificate", Fix: suggest(f.Client, []string{"require", "optional", none}, "write require, optional or none")})
	}
}

func (t *tlsForm) tls(ps *doc.Problems) *ServerTLS {
	if t == nil {
		return nil
	}
	if t.passthrough {
		return &ServerTLS{Passthrough: true}
	}
	s := &ServerTLS{
		StrictNames: t.StrictNames,
		Client:      ClientAuth(t.Client), ClientCA: (*Secret)(t.ClientCA),
		MinVersion: minVersion(t.MinVersion, t.At, ps), Ciphers: t.Ciphers, Curves: t.Curves,
	}
	for _, c := range t.Certificates {
		s.Certificates = append(s.Certificates, Certificate{Cert: Secret(c.Cert), Key: Secret(c.Key), Origin: Origin{Pos: c.At}})
	}
	return s
}

// DefaultMinVersion is the oldest TLS version that is accepted by default.
const DefaultMinVersion = tls.VersionTLS12

// minVersion reads a TLS version.
func minVersion(text string, at doc.Pos, ps *doc.Problems) uint16 {
	switch text {
	case "":
		return DefaultMinVersion
	case "1.2":
		return tls.VersionTLS12
	case "1.3":
		return tls.VersionTLS13
	}
	why := "versions of TLS are 1.2 and 1.3"
	if text == "1.0" || text == "1.1" {
		why = "TLS " + text + " is broken and was withdrawn (RFC 8996)"
	}
	ps.Add(doc.Problem{Pos: at, What: fmt.Sprintf("min_version is %q", text), Why: why, Fix: "write 1.2 or 1.3"})
	return DefaultMinVersion
}

func versionText(v uint16) string {
	return strings.TrimPrefix(tls.VersionName(v), "TLS ")
}

// cipherForm holds cipher suites, written by their IANA names.
type cipherForm []uint16

func (f *cipherForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	for _, item := range namesIn(n, "ciphers", ps) {
		id, why := cipherSuite(item.Value)
		if why != "" {
			ps.Add(doc.Problem{Pos: item.Pos, What: fmt.Sprintf("the cipher suite %q cannot be chosen", item.Value), Why: why, Fix: suggest(item.Value, cipherNames(), "the ones to choose from: "+strings.Join(cipherNames(), ", "))})
			continue
		}
		*f = append(*f, id)
	}
}

// suites are the TLS 1.2 cipher suites to choose from. HTTP/2 forbids none of them (RFC 9113 appendix A), so no choice
// can break HTTP/2.
func suites() []*tls.CipherSuite {
	return slices.DeleteFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool {
		return !slices.Contains(s.SupportedVersions, tls.VersionTLS12) || strings.Contains(s.Name, "_CBC_")
	})
}

func cipherNames() []string {
	var names []string
	for _, s := range suites() {
		names = append(names, s.Name)
	}
	return names
}

// cipherSuite finds a suite by its name, or says why it cannot be chosen.
func cipherSuite(name string) (id uint16, why string) {
	named := func(s *tls.CipherSuite) bool { return s.Name == name }
	if i := slices.IndexFunc(suites(), named); i >= 0 {
		return suites()[i].ID, ""
	}
	if i := slices.IndexFunc(tls.CipherSuites(), named); i >= 0 && !slices.Contains(tls.CipherSuites()[i].SupportedVersions, tls.VersionTLS12) {
		return 0, "it is one of TLS 1.3, whose suites are all secure and cannot be chosen"
	}
	if slices.ContainsFunc(slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()), named) {
		return 0, "it is weak, and HTTP/2 forbids it"
	}
	return 0, "it is not known"
}

// curveForm holds groups of the key exchange, written by their IANA names.
type curveForm []tls.CurveID

func (f *curveForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	for _, item := range namesIn(n, "curves", ps) {
		i := slices.IndexFunc(curves(), func(c curve) bool { return c.name == item.Value })
		if i < 0 {
			ps.Add(doc.Problem{Pos: item.Pos, What: fmt.Sprintf("the curve %q is not known", item.Value), Why: "valid values are " + strings.Join(curveNames(), ", "), Fix: suggest(item.Value, curveNames(), "")})
			continue
		}
		*f = append(*f, curves()[i].id)
	}
}

type curve struct {
	name string // in the IANA registry "TLS Supported Groups"
	id   tls.CurveID
}

func curves() []curve {
	return []curve{
		{"X25519MLKEM768", tls.X25519MLKEM768}, {"x25519", tls.X25519},
		{"secp256r1", tls.CurveP256}, {"secp384r1", tls.CurveP384}, {"secp521r1", tls.CurveP521},
	}
}

func curveNames() []string {
	var names []string
	for _, c := range curves() {
		names = append(names, c.name)
	}
	return names
}

func curveText(id tls.CurveID) string {
	i := slices.IndexFunc(curves(), func(c curve) bool { return c.id == id })
	return curves()[i].name
}

// namesIn returns the texts of a list, or a single text.
func namesIn(n *doc.Node, key string, ps *doc.Problems) []*doc.Node {
	items := []*doc.Node{n}
	if n.Kind == doc.List {
		items = n.Items
	}
	var texts []*doc.Node
	for _, item := range items {
		if wantText(item, "an element of "+key, key+": [NAME, NAME]", ps) {
			texts = append(texts, item)
		}
	}
	return texts
}

// FileSecret is a secret whose plain text is a file's path, because a certificate is hardly ever written into a config.
type FileSecret Secret

// DecodeDoc reads a path or a secret.
func (f *FileSecret) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar && n.Value != "" && !strings.Contains(n.Value, hidden) && !strings.Contains(n.Value, "${") && !strings.Contains(n.Value, "\n") {
		file := secret.Template{Parts: []secret.Part{{Source: "file", Text: n.Value}}, Base: folderOf(n.Pos)}
		*f = FileSecret{Template: file, Pos: n.Pos}
		return
	}
	(*Secret)(f).DecodeDoc(n, ps)
}

// EncodeDoc writes the path as a reference.
func (f FileSecret) EncodeDoc() *doc.Node { return Secret(f).EncodeDoc() }

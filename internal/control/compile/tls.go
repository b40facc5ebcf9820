package compile

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// serverTLS builds the server side of TLS for every socket that has HTTPS
// listeners. A handshake gets a certificate of the listener that its server
// name belongs to; a name that no listener has is refused, never given another
// listener's certificate.
func (b *build) serverTLS() map[string]*tls.Config {
	bySocket := map[string][]namedCertificates{}
	for _, l := range b.cfg.Listeners {
		if l.TLS == nil || l.TLS.Passthrough {
			continue
		}
		own := namedCertificates{hostname: l.Hostname}
		for _, c := range l.TLS.Certificates {
			pair, err := b.keyPair(c)
			if err != nil {
				b.problems.Errorf(c.Origin.Pos, "certificate of listener %q: %v", l.Name, err)
				continue
			}
			own.certificates = append(own.certificates, pair)
		}
		bySocket[l.Socket] = append(bySocket[l.Socket], own)
	}
	configs := make(map[string]*tls.Config, len(bySocket))
	for socket, listeners := range bySocket {
		configs[socket] = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"h2", "http/1.1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return choose(listeners, hello) },
		}
	}
	return configs
}

type namedCertificates struct {
	hostname     string
	certificates []*tls.Certificate
}

func choose(listeners []namedCertificates, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	var best *namedCertificates
	most := 0
	for i := range listeners {
		if fit := httpx.HostnameFit(listeners[i].hostname, name); fit > most {
			best, most = &listeners[i], fit
		}
	}
	if best == nil || len(best.certificates) == 0 {
		return nil, fmt.Errorf("no listener has a certificate for %q", name)
	}
	for _, c := range best.certificates {
		if hello.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return best.certificates[0], nil
}

// keyPair reads a certificate with its key. When a config is only checked its
// material is not read.
func (b *build) keyPair(c config.Certificate) (*tls.Certificate, error) {
	if !b.start {
		return &tls.Certificate{}, nil
	}
	cert, err := b.compiler.options.Secret(c.Cert.Template)
	if err != nil {
		return nil, err
	}
	key, err := b.compiler.options.Secret(c.Key.Template)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal()))
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// transportOptions is the identity with which a service's endpoints are called.
func (b *build) transportOptions(s *config.Service) (transportIdentity, error) {
	protocol, secure := protocolOf(s)
	options := transport.Options{Protocol: protocol, Connect: s.Timeouts.Connect}
	key := fmt.Sprintf("%s %s", protocol, s.Timeouts.Connect)
	if s.TLS == nil && !secure {
		return transportIdentity{key, options}, nil
	}
	client := s.TLS
	if client == nil {
		client = &config.ClientTLS{}
	}
	tlsConfig, err := b.clientTLS(client)
	if err != nil {
		return transportIdentity{}, err
	}
	options.TLS = tlsConfig
	key += fmt.Sprintf(" tls %q %q", client.ServerName, client.SANs)
	if client.CA != nil {
		key += fmt.Sprintf(" %q", client.CA.Template)
	}
	return transportIdentity{key, options}, nil
}

// protocolOf reads the protocol from the service, or from its source's scheme.
func protocolOf(s *config.Service) (protocol string, secure bool) {
	switch s.Source.Scheme {
	case "https":
		protocol, secure = transport.HTTP, true
	case "h2c":
		protocol = transport.H2C
	case "grpc":
		protocol = transport.GRPC
	case "grpcs":
		protocol, secure = transport.GRPC, true
	default:
		protocol = transport.HTTP
	}
	return cmp.Or(s.Protocol, protocol), secure
}

func (b *build) clientTLS(c *config.ClientTLS) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != nil && b.start {
		pem, err := b.compiler.options.Secret(c.CA.Template)
		if err != nil {
			return nil, err
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM([]byte(pem.Reveal())) {
			return nil, errors.New("the CA holds no PEM certificate")
		}
	}
	if len(c.SANs) > 0 {
		verifySANs(out, c.SANs)
	}
	return out, nil
}

// verifySANs replaces the check of the host name by "one of these names is in
// the certificate"; the chain is verified as ever (Gateway API, BackendTLSPolicy
// subjectAltNames).
func verifySANs(out *tls.Config, sans []string) {
	roots := out.RootCAs
	out.InsecureSkipVerify = true //nolint:gosec // VerifyConnection below checks chain and names
	out.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the backend sent no certificate")
		}
		leaf := state.PeerCertificates[0]
		intermediates := x509.NewCertPool()
		for _, c := range state.PeerCertificates[1:] {
			intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: time.Now()}); err != nil {
			return err
		}
		for _, san := range sans {
			if hasURI(leaf, san) || leaf.VerifyHostname(san) == nil {
				return nil
			}
		}
		return fmt.Errorf("the backend's certificate has none of the names %q", sans)
	}
}

func hasURI(leaf *x509.Certificate, name string) bool {
	for _, u := range leaf.URIs {
		if u.String() == name {
			return true
		}
	}
	return false
}

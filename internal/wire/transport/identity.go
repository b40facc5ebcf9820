package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/weir-gateway/weir/internal/wire/secure"
)

// Identity is what an endpoint's certificate must prove, and which certificate the caller shows.
type Identity struct {
	ServerName string   // for SNI and, without SANs, for the check; "" the endpoint's host
	CA         []byte   // PEM; nil: the system's authorities
	SANs       []string // DNS names, addresses or URIs, any of which must be in the certificate
	// Certificate is shown to an endpoint that asks for one; nil: none.
	Certificate *tls.Certificate
}

// sessions is how many TLS sessions are kept for resumption, by name or address.
const sessions = 256

// TLS makes the client config for an identity. The chain is always verified; a CA
// that holds no certificate is an error, never the system's authorities instead.
func (id Identity) TLS() (*tls.Config, error) {
	config := &tls.Config{
		ServerName: id.ServerName, MinVersion: tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(sessions), // of this identity alone
	}
	if id.Certificate != nil {
		// crypto/tls would not send it if the endpoint names other authorities. The operator who configured it knows
		// better, and is then told by the endpoint.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.Certificate, nil }
	}
	if id.CA != nil {
		pool, err := secure.Authorities(id.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		config.RootCAs = pool
	}
	if len(id.SANs) > 0 {
		config.InsecureSkipVerify = true // crypto/tls knows one name only: verifySANs verifies instead
		config.VerifyConnection = verifySANs(config.RootCAs, id.SANs)
	}
	return config, nil
}

// verifySANs verifies the chain, and that the certificate is for one of the names
// (Gateway API, BackendTLSPolicy's subjectAltNames).
func verifySANs(roots *x509.CertPool, names []string) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the endpoint showed no certificate")
		}
		leaf := state.PeerCertificates[0]
		options := x509.VerifyOptions{
			Roots:         roots,
			Intermediates: x509.NewCertPool(),
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		for _, intermediate := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(intermediate)
		}
		if _, err := leaf.Verify(options); err != nil {
			return fmt.Errorf("the endpoint's certificate: %w", err)
		}
		for _, name := range names {
			if hasURI(leaf, name) || leaf.VerifyHostname(name) == nil {
				return nil
			}
		}
		return fmt.Errorf("the endpoint's certificate is for none of %q", names)
	}
}

// hasURI looks for names of workloads, such as spiffe://shop.dev/users.
func hasURI(leaf *x509.Certificate, name string) bool {
	return slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == name })
}

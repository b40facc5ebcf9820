package secure

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// Options are the inputs of a Policy.
type Options struct {
	Certificates []tls.Certificate // at least one, each with its Leaf
	// StrictNames rejects a handshake for a name that no certificate has.
	StrictNames bool
	Client      config.ClientAuth
	ClientCA    []byte // PEM; required if Client asks for a certificate
	MinVersion  uint16 // 0: config.DefaultMinVersion
	Ciphers     []uint16
	Curves      []tls.CurveID
	Tickets     *Tickets
}

// Policy is how one listener terminates TLS. It is safe for concurrent use.
type Policy struct {
	config       *tls.Config
	terms        string
	certificates []Certificate

	tickets *Tickets
	serial  uint64 // of the ticket keys that config has; guarded by tickets
}

// Certificate is the public information about a certificate.
type Certificate struct {
	Names    []string // DNS names and addresses
	NotAfter time.Time
}

// New makes a Policy. It fails if a client's certificate could not be verified.
func New(o Options) (*Policy, error) {
	if len(o.Certificates) == 0 {
		return nil, errors.New("there is no certificate")
	}
	p := &Policy{terms: Terms(o.Client, o.ClientCA), tickets: o.Tickets}
	p.config = &tls.Config{
		MinVersion:       cmp.Or(o.MinVersion, config.DefaultMinVersion),
		CipherSuites:     o.Ciphers,
		CurvePreferences: o.Curves,
		NextProtos:       []string{"h2", "http/1.1"},
		GetCertificate:   newNames(o.Certificates, o.StrictNames).choose,
	}
	for _, c := range o.Certificates {
		p.certificates = append(p.certificates, describe(c))
	}
	if o.Client == config.NoClientAuth {
		return p, nil
	}
	pool, err := Authorities(o.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client_ca: %w", err)
	}
	p.config.ClientCAs, p.config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	if o.Client == config.OptionalClientAuth {
		p.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return p, nil
}

func describe(c tls.Certificate) Certificate {
	d := Certificate{Names: slices.Clone(c.Leaf.DNSNames), NotAfter: c.Leaf.NotAfter}
	for _, ip := range c.Leaf.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	return d
}

// Terms returns a name for what is asked of clients: whether they must show a certificate, and from which authority. It
// is "" if nothing is asked. A connection is made under the terms in force at that time, and its requests can be served
// wherever the same terms are in force.
func Terms(client config.ClientAuth, ca []byte) string {
	if client == config.NoClientAuth {
		return ""
	}
	sum := sha256.Sum256(ca)
	return string(client) + " " + hex.EncodeToString(sum[:16])
}

// Terms returns the terms of the Policy.
func (p *Policy) Terms() string { return p.terms }

// Certificates describes the certificates that may be shown to clients, in the order of the config.
func (p *Policy) Certificates() []Certificate { return p.certificates }

// Config returns the config with which a handshake continues. It must not be changed.
func (p *Policy) Config() *tls.Config {
	p.tickets.give(p.config, &p.serial)
	return p.config
}

// Refusal returns a config that ends a handshake for a name that no listener has, with the alert unrecognized_name.
func Refusal() *tls.Config {
	return &tls.Config{MinVersion: config.DefaultMinVersion, SessionTicketsDisabled: true}
}

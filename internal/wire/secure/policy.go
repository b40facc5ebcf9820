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

// Options are what a Policy is made of.
type Options struct {
	Certificates []tls.Certificate // at least one, each with its Leaf
	// StrictNames refuses a handshake for a name that no certificate has.
	StrictNames bool
	Client      config.ClientAuth
	ClientCA    []byte // PEM; where Client asks for a certificate
	MinVersion  uint16 // 0: config.DefaultMinVersion
	Ciphers     []uint16
	Curves      []tls.CurveID
	Tickets     *Tickets
}

// Policy is how one listener ends TLS. It is safe for concurrent use.
type Policy struct {
	config       *tls.Config
	terms        string
	certificates []Certificate

	tickets *Tickets
	serial  uint64 // of the ticket keys that config has; guarded by tickets
}

// Certificate is what may be told of a certificate.
type Certificate struct {
	Names    []string // DNS names and addresses
	NotAfter time.Time
}

// New makes a Policy. It fails where a client's certificate could not be judged.
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

// Terms name what is asked of clients: whether they must show a certificate, and
// of whom. They are "" where nothing is. A connection was made under the terms
// that held then, and its requests can be served where the same ones hold.
func Terms(client config.ClientAuth, ca []byte) string {
	if client == config.NoClientAuth {
		return ""
	}
	sum := sha256.Sum256(ca)
	return string(client) + " " + hex.EncodeToString(sum[:16])
}

// Terms are those of the Policy.
func (p *Policy) Terms() string { return p.terms }

// Certificates tells what may be shown to clients, in the order of the config.
func (p *Policy) Certificates() []Certificate { return p.certificates }

// Config is what a handshake goes on with. It must not be changed.
func (p *Policy) Config() *tls.Config {
	p.tickets.give(p.config, &p.serial)
	return p.config
}

// Refusal ends a handshake for a name that no listener has, with the alert
// unrecognized_name.
func Refusal() *tls.Config {
	return &tls.Config{MinVersion: config.DefaultMinVersion, SessionTicketsDisabled: true}
}

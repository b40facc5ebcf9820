package compile

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// policy builds the server side of TLS for one listener. It is nil if the listener has none or if the config is only
// checked; in both cases no keys or certificates are read.
func (b *build) policy(l config.Listener) *secure.Policy {
	if l.TLS == nil || l.TLS.Passthrough || !b.start {
		return nil
	}
	o := secure.Options{
		StrictNames: l.TLS.StrictNames, Client: l.TLS.Client,
		MinVersion: l.TLS.MinVersion, Ciphers: l.TLS.Ciphers, Curves: l.TLS.Curves,
	}
	for _, c := range l.TLS.Certificates {
		pair, err := b.keyPair(c)
		if err != nil {
			b.problems.Errorf(placeOf(err, c.Origin.Pos), "certificate of listener %q: %v", l.Name, err)
			return nil
		}
		o.Certificates = append(o.Certificates, pair)
		b.judge(l, c, pair.Leaf)
	}
	if err := b.policyParts(l, &o); err != nil {
		b.problems.Errorf(placeOf(err, l.Origin.Pos), "tls of listener %q: %v", l.Name, err)
		return nil
	}
	p, err := secure.New(o)
	if err != nil {
		b.problems.Errorf(placeOf(err, l.Origin.Pos), "tls of listener %q: %v", l.Name, err)
	}
	return p
}

// policyParts adds what clients must present, and the keys of session tickets.
func (b *build) policyParts(l config.Listener, o *secure.Options) error {
	if l.TLS.ClientCA != nil {
		ca, err := l.TLS.ClientCA.Read(b.compiler.options.Secret)
		if err != nil {
			return fmt.Errorf("client_ca: %w", err)
		}
		o.ClientCA = []byte(ca.Reveal())
	}
	var err error
	name := fmt.Sprintf("tickets %q %q %s", l.Socket, l.Hostname, secure.Terms(o.Client, o.ClientCA))
	o.Tickets, err = keep(b, name, always, func() (*secure.Tickets, func(context.Context), error) {
		return secure.NewTickets(), func(context.Context) {}, nil
	})
	return err
}

// judge warns of a certificate that clients will not accept.
func (b *build) judge(l config.Listener, c config.Certificate, leaf *x509.Certificate) {
	warn := func(what, why, fix string) {
		b.problems.Add(doc.Problem{
			Pos: c.Origin.Pos, Severity: doc.Warning, What: fmt.Sprintf("the certificate of the listener %q %s", l.Name, what), Why: why, Fix: fix,
		})
	}
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		warn("has expired", "it was good until "+leaf.NotAfter.UTC().Format(time.DateTime)+" UTC", "renew it")
	case now.Before(leaf.NotBefore):
		warn("is not good yet", "it is from "+leaf.NotBefore.UTC().Format(time.DateTime)+" UTC on", "look at the clock of this machine, or wait")
	}
	switch {
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		warn("has no name", "clients look at its subjectAltName only", "have it issued with its names there")
	case l.Hostname != "" && !covers(leaf, l.Hostname):
		warn(fmt.Sprintf("is not for its host %s", l.Hostname), "it is for "+strings.Join(leaf.DNSNames, ", "), "name the one for that host")
	}
}

// covers reports whether a certificate is valid for a listener's hostname or, if that is a wildcard, for at least some
// of the names that it stands for.
func covers(leaf *x509.Certificate, hostname string) bool {
	suffix, wild := strings.CutPrefix(hostname, "*")
	if !wild {
		return leaf.VerifyHostname(hostname) == nil
	}
	for _, name := range leaf.DNSNames {
		if strings.HasSuffix(strings.ToLower(name), suffix) {
			return true
		}
	}
	return false
}

// keyPair reads a certificate with its key.
func (b *build) keyPair(c config.Certificate) (tls.Certificate, error) {
	cert, err := c.Cert.Read(b.compiler.options.Secret)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert: %w", err)
	}
	key, err := c.Key.Read(b.compiler.options.Secret)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	return tls.X509KeyPair([]byte(cert.Reveal()), []byte(key.Reveal()))
}

package compile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// unboundedConnect stands for `none`: the kernel gives up much earlier.
const unboundedConnect = 24 * time.Hour

// transportIdentity is what two services must have in common to share connections.
type transportIdentity struct {
	key     string
	options transport.Options
}

// transportIdentity returns how a service's endpoints are called. The digests of its CA and certificate are part of it:
// new content under an old file name is a new identity. The connect timeout is part of it, too, because a new
// connection may be used by whichever request comes first. So are the bounds, because a connection that one group may
// make must not be used by another.
func (b *build) transportIdentity(r *config.Route, s *config.Service, bounds *egress.Bounds) (transportIdentity, error) {
	protocol, secure := b.protocolOf(s)
	connect := r.Timeouts.Or(s.Timeouts).Or(config.DefaultTimeouts()).Connect
	if connect == config.NoTimeout {
		connect = unboundedConnect
	}
	engine := b.cfg.Engine.OrUsual()
	id := transportIdentity{
		key: fmt.Sprintf("%s %s %s%s %s", protocol, connect, s.Announce, bounds, engine),
		options: transport.Options{
			Protocol: protocol, Connect: connect, Announce: transport.Announcement(s.Announce), Bounds: bounds, Engine: engine,
		},
	}
	if s.TLS == nil && !secure {
		return id, nil
	}
	client := cmp.Or(s.TLS, &config.ClientTLS{})
	ca, err := b.authorities(client)
	if err != nil {
		return id, err
	}
	identity := transport.Identity{ServerName: client.ServerName, SANs: client.SANs}
	if ca != "" {
		identity.CA = []byte(ca)
	}
	own, err := b.clientCertificate(s, client, &identity)
	if err != nil {
		return id, err
	}
	if id.options.TLS, err = identity.TLS(); err != nil {
		return id, fmt.Errorf("tls.%w", err)
	}
	id.key += fmt.Sprintf(" tls %q %q %x %x", client.ServerName, client.SANs, sha256.Sum256([]byte(ca)), own)
	return id, nil
}

// clientCertificate adds the certificate that Weir presents to endpoints, and returns its digest.
func (b *build) clientCertificate(s *config.Service, client *config.ClientTLS, id *transport.Identity) ([]byte, error) {
	if client.Certificate == nil || !b.start {
		return nil, nil
	}
	pair, err := b.keyPair(*client.Certificate)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		b.problems.Add(doc.Problem{
			Pos: client.Certificate.Origin.Pos, Severity: doc.Warning, What: fmt.Sprintf("the certificate with which the service %q is called has expired", s.Name),
			Why: "it was good until " + pair.Leaf.NotAfter.UTC().Format(time.DateTime) + " UTC", Fix: "renew it",
		})
	}
	id.Certificate = &pair
	sum := sha256.New()
	for _, raw := range pair.Certificate {
		_, _ = sum.Write(raw) // never fails (hash.Hash)
	}
	return sum.Sum(nil), nil
}

// transport returns the connection pool with that identity, which services share.
func (b *build) transport(id transportIdentity) (*transport.Transport, error) {
	return keep(b, "transport "+id.key, always, func() (*transport.Transport, func(context.Context), error) {
		t, err := transport.New(id.options)
		if err != nil {
			return nil, nil, err
		}
		return t, func(context.Context) { t.CloseIdle() }, nil
	})
}

// protocolOf reads the protocol from the service, or from its source's scheme.
func (b *build) protocolOf(s *config.Service) (protocol string, secure bool) {
	_, scheme, _ := b.compiler.parts.provider(s)
	return cmp.Or(s.Protocol, scheme.Protocol, transport.HTTP), scheme.TLS
}

// authorities returns a client's CA, or "" if it has none or nothing may be read.
func (b *build) authorities(c *config.ClientTLS) (string, error) {
	if c.CA == nil || !b.start {
		return "", nil
	}
	pem, err := c.CA.Read(b.compiler.options.Secret)
	if err != nil {
		return "", fmt.Errorf("tls.ca: %w", err)
	}
	if pem.Empty() { // otherwise the system's authorities would be used by accident
		return "", errors.New("tls.ca is empty")
	}
	return pem.Reveal(), nil
}

package compile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// unboundedConnect stands for `none`: the kernel gives up long before.
const unboundedConnect = 24 * time.Hour

// transportIdentity is what two services must share to share connections.
type transportIdentity struct {
	key     string
	options transport.Options
}

// transportIdentity is how a service's endpoints are called. The content of its
// CA is part of it, in a digest: a new file under the old name is a new identity.
// So is the time to connect, for a connection is made for whoever comes first.
func (b *build) transportIdentity(r *config.Route, s *config.Service) (transportIdentity, error) {
	protocol, secure := b.protocolOf(s)
	connect := r.Timeouts.Or(s.Timeouts).Or(config.DefaultTimeouts()).Connect
	if connect == config.NoTimeout {
		connect = unboundedConnect
	}
	id := transportIdentity{
		key:     fmt.Sprintf("%s %s", protocol, connect),
		options: transport.Options{Protocol: protocol, Connect: connect},
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
	if id.options.TLS, err = identity.TLS(); err != nil {
		return id, fmt.Errorf("tls.%w", err)
	}
	id.key += fmt.Sprintf(" tls %q %q %x", client.ServerName, client.SANs, sha256.Sum256([]byte(ca)))
	return id, nil
}

// transport gives the pool of that identity, which services share.
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

// authorities reads a client's CA, "" where it has none or nothing may be read.
func (b *build) authorities(c *config.ClientTLS) (string, error) {
	if c.CA == nil || !b.start {
		return "", nil
	}
	pem, err := b.compiler.options.Secret(c.CA.Template)
	if err != nil {
		return "", fmt.Errorf("tls.ca: %w", err)
	}
	if pem.Empty() { // never the system's authorities by accident
		return "", errors.New("tls.ca is empty")
	}
	return pem.Reveal(), nil
}

package discovery

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// TLS is how the certificates of a source's servers are checked, and which client certificate they get: a part of a
// source's settings.
type TLS struct {
	Name string             `doc:"name,omitzero" help:"the name that is requested (SNI) and verified for every server; each server's host by default" example:"etcd.internal"`
	CA   *config.FileSecret `doc:"ca,omitzero" help:"authorities in PEM: a file, or a secret; the system's by default" example:"/etc/weir/etcd-ca.crt"`
	Cert *config.FileSecret `doc:"cert,omitzero" help:"the certificate to present to servers, with its chain in PEM: a file, or a secret" example:"/etc/weir/etcd.crt"`
	Key  *config.FileSecret `doc:"key,omitzero" help:"its private key in PEM: a file, or a secret" example:"/etc/weir/etcd.key"`
}

// Client reads the files and secrets that it names and returns the client's side of TLS. If a config is only checked
// nothing is read, and the result is for a client without certificate.
func (t TLS) Client(env SourceEnv) (*tls.Config, error) {
	id := transport.Identity{ServerName: t.Name}
	switch {
	case t.Cert != nil && t.Key == nil:
		return nil, errors.New("cert has no key beside it")
	case t.Cert == nil && t.Key != nil:
		return nil, errors.New("key has no cert beside it")
	}
	ca, err := t.read(env, "ca", t.CA)
	if err == nil && t.CA != nil && !env.Checked {
		id.CA = ca
	}
	cert, certErr := t.read(env, "cert", t.Cert)
	key, keyErr := t.read(env, "key", t.Key)
	if err := errors.Join(err, certErr, keyErr); err != nil {
		return nil, err
	}
	if t.Cert != nil && !env.Checked {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("cert: %w", err)
		}
		id.Certificate = &pair
	}
	return id.TLS() //nolint:wrapcheck // it names the part
}

func (TLS) read(env SourceEnv, what string, from *config.FileSecret) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	value, err := config.Secret(*from).Read(env.Secret)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return []byte(value.Reveal()), nil
}

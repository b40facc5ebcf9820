package compile

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
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

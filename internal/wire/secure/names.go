package secure

import (
	"crypto/tls"
	"slices"
	"strings"
)

// names finds certificates by the name that a client asks for. It is immutable once built.
type names struct {
	exact map[string][]*tls.Certificate
	wild  map[string][]*tls.Certificate // by the part after the asterisk: ".shop.dev"
	// usual are for every other name and for none: the first certificate, and those with the same names but another
	// kind of key.
	usual []*tls.Certificate
}

func newNames(certificates []tls.Certificate, strict bool) *names {
	n := &names{exact: map[string][]*tls.Certificate{}, wild: map[string][]*tls.Certificate{}}
	for i := range certificates {
		c := &certificates[i]
		for _, name := range c.Leaf.DNSNames {
			name = strings.ToLower(strings.TrimSuffix(name, "."))
			if suffix, ok := strings.CutPrefix(name, "*"); ok {
				n.wild[suffix] = append(n.wild[suffix], c)
			} else {
				n.exact[name] = append(n.exact[name], c)
			}
		}
		if !strict && sameNames(c, &certificates[0]) {
			n.usual = append(n.usual, c)
		}
	}
	return n
}

func sameNames(a, b *tls.Certificate) bool {
	return slices.Equal(slices.Sorted(slices.Values(a.Leaf.DNSNames)), slices.Sorted(slices.Values(b.Leaf.DNSNames)))
}

// find returns the certificates for a name in lower case, "" for none: those that contain the name, else those with a
// wildcard in place of its first label (RFC 9525 section 6.3), else the usual ones.
func (n *names) find(name string) []*tls.Certificate {
	if found := n.exact[name]; found != nil {
		return found
	}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		if found := n.wild[name[dot:]]; found != nil {
			return found
		}
	}
	return n.usual
}

// choose returns the certificate for a client: if there are several for the name, the first whose kind of key the
// client supports. If there is none, crypto/tls ends the handshake with the alert unrecognized_name.
func (n *names) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	found := n.find(ServerName(hello))
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	nameless := *hello
	nameless.ServerName = "" // the name has been considered already
	for _, c := range found {
		if nameless.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return found[0], nil
}

// ServerName returns the name that a client asks for, in the form in which hosts are compared: in lower case, "" for
// none. (crypto/tls rejects a trailing dot.)
func ServerName(hello *tls.ClientHelloInfo) string { return strings.ToLower(hello.ServerName) }

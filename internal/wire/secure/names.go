package secure

import (
	"crypto/tls"
	"slices"
	"strings"
)

// names finds certificates by the name that a client asks for. It is made once
// and never changed.
type names struct {
	exact map[string][]*tls.Certificate
	wild  map[string][]*tls.Certificate // by what stands behind the asterisk: ".shop.dev"
	// usual are for every other name and for none: the first certificate and
	// those with the same names, as another kind of key has.
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

// find gives the certificates for a name in lower case, "" for none: those that
// have it, else those with a wildcard in place of its first label (RFC 9525
// section 6.3), else the usual ones.
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

// choose gives the certificate for a client: of several for its name the first
// one whose kind of key it knows. None makes crypto/tls end the handshake with
// the alert unrecognized_name.
func (n *names) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	found := n.find(ServerName(hello))
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	nameless := *hello
	nameless.ServerName = "" // the name was looked at
	for _, c := range found {
		if nameless.SupportsCertificate(c) == nil {
			return c, nil
		}
	}
	return found[0], nil
}

// ServerName is the name that a client asks for, as hosts are compared: in lower
// case, "" for none. (A dot at its end is refused by crypto/tls.)
func ServerName(hello *tls.ClientHelloInfo) string { return strings.ToLower(hello.ServerName) }

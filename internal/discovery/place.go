package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Place is the address of a server of a source, with TLS or without.
type Place struct {
	Address string // host:port, or unix:/path
	Secure  bool
}

// Unix is the prefix of the address of a Unix socket on this machine.
const Unix = "unix:"

func (p Place) String() string {
	switch {
	case strings.HasPrefix(p.Address, Unix):
		return p.Address
	case p.Secure:
		return "https://" + p.Address
	}
	return "http://" + p.Address
}

// EncodeDoc writes the place in the form that is read.
func (p Place) EncodeDoc() *doc.Node { return &doc.Node{Kind: doc.Scalar, Value: p.String()} }

// PlaceForm is how the places of a kind of source are written: as URLs, and if Sockets is set also as unix:/path.
type PlaceForm struct {
	What    string // names the kind of place in problems: "server of etcd"
	Help    string // for the schema
	Example string
	Port    string // the port if a URL has none
	TLSPort string // the same for https
	Schemes []string
	Sockets bool
	// Instead is what to write in place of a user in a URL, "" if there is nothing.
	Instead string
}

// Decode reads a place.
func (f PlaceForm) Decode(n *doc.Node, ps *doc.Problems) Place {
	var text string
	if !doc.Decode(n, &text, ps) {
		return Place{}
	}
	p, err := f.read(text)
	if err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is no %s", text, f.What), Why: err.Error(), Fix: "for example `" + f.Example + "`"})
	}
	return p
}

// Schema returns the schema of a place.
func (f PlaceForm) Schema() *doc.Schema {
	return &doc.Schema{Type: doc.Types{"string"}, Description: f.Help}
}

func (f PlaceForm) read(text string) (Place, error) {
	if path, ok := strings.CutPrefix(text, Unix); ok && f.Sockets {
		if strings.HasPrefix(path, "/") {
			path = "/" + strings.TrimLeft(path, "/") // as in unix:///run/x.sock
		}
		if err := CheckText(path); err != nil {
			return Place{}, err
		}
		return Place{Address: Unix + path}, config.CheckUnixPath(path) //nolint:wrapcheck // as it is told
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && !slices.Contains(f.Schemes, u.Scheme):
		if f.Sockets {
			return Place{}, errors.New("it is no URL with http:// or https://, and no unix:/path")
		}
		return Place{}, errors.New("it is no URL with http:// or https://")
	case u.User != nil:
		if f.Instead == "" {
			return Place{}, errors.New("a user in a URL would stand in logs")
		}
		return Place{}, errors.New("a user in a URL would stand in logs; write " + f.Instead)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Place{}, errors.New("it has a path")
	}
	p := Place{Address: u.Host, Secure: u.Scheme == "https"}
	if u.Port() == "" {
		port := f.Port
		if p.Secure {
			port = f.TLSPort
		}
		p.Address = net.JoinHostPort(u.Hostname(), port)
	}
	_, _, err = SplitAddress(p.Address)
	return p, err
}

// CheckFor adds a problem at n if there are certificates for a place that is called without TLS.
func (t TLS) CheckFor(p Place, n *doc.Node, ps *doc.Problems) {
	if !p.Secure && (t.CA != nil || t.Cert != nil) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%s is asked without TLS, and there are certificates for it", p), Fix: "write https:// before it"})
	}
}

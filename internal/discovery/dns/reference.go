package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// target is what endpoints are made of: a name with a port, or an address that needs no lookup.
type target struct {
	host    string // a name; "" if address is complete
	port    uint16
	address string // host:port or unix:/path, if there is no name
	name    string // the name that a certificate is for, if there is TLS
	weight  int
	zone    string
}

// unix is the prefix of the address of a Unix socket on this machine.
const unix = "unix:"

// readURL reads `//host`, `//host:port` or `//[::1]:port`; port is the scheme's default.
func readURL(rest string, port uint16) (target, error) {
	authority, ok := strings.CutPrefix(rest, "//")
	switch {
	case !ok:
		return target{}, errors.New("two slashes are missing after the scheme; write it as in http://users:8080")
	case strings.ContainsAny(authority, "/?#"):
		return target{}, errors.New("an address has no path or query; give them with path, strip or rewrite")
	case strings.Contains(authority, "@"):
		return target{}, errors.New("a user in a URL is not sent; set the Authorization field with a secret")
	}
	if !hasPort(authority) {
		authority += ":" + strconv.Itoa(int(port))
	}
	return readAddress(authority)
}

// hasPort tells whether there is a colon after the host, ignoring IPv6 addresses in brackets.
func hasPort(authority string) bool {
	return strings.LastIndexByte(authority, ':') > strings.LastIndexByte(authority, ']')
}

// readAddress reads host:port, or unix:/path.
func readAddress(text string) (target, error) {
	if path, ok := strings.CutPrefix(text, unix); ok {
		return target{address: text, weight: 1}, config.CheckUnixPath(path)
	}
	host, port, err := discovery.SplitAddress(text)
	if err != nil {
		return target{}, err //nolint:wrapcheck // as it is told to the config's writer
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return target{address: text, weight: 1}, nil
	}
	return target{host: host, port: port, weight: 1}, nil
}

// readList reads the endpoints of a service.
func readList(endpoints []config.Endpoint) ([]target, error) {
	var list []target
	for _, e := range endpoints {
		t, err := readAddress(e.Address)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", e.Address, err)
		}
		if e.Weight < 0 {
			return nil, fmt.Errorf("endpoint %q: its weight is negative", e.Address)
		}
		t.weight, t.zone = e.Weight, e.Zone
		list = append(list, t)
	}
	return list, nil
}

// readSRV reads the name of an SRV record.
func readSRV(rest string) (string, error) {
	switch {
	case strings.HasPrefix(rest, "//"):
		return "", fmt.Errorf("no slashes stand after the scheme; write srv:%s", strings.TrimLeft(rest, "/"))
	case strings.Contains(rest, ":"):
		return "", errors.New("the port is what the record tells; leave it out")
	}
	return rest, discovery.CheckName(rest)
}

// certifiedFor returns the name that certificates are requested and checked for. It has no trailing dot and no labels
// of a service, because the queried domain counts and not the name that its records lead to (RFC 6125 section 6.2.1).
func certifiedFor(name string) string {
	name = strings.TrimSuffix(name, ".")
	for strings.HasPrefix(name, "_") {
		_, rest, more := strings.Cut(name, ".")
		if !more {
			break
		}
		name = rest
	}
	return name
}

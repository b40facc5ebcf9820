package httpx

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
)

const (
	maxName  = 253 // of a host name without the root's dot (RFC 1035 section 2.3.4)
	maxLabel = 63
)

// NormalizeHost converts the authority of a request (Host or :authority) into the form that routing compares: lower
// case, without port, without trailing dot, IPv6 without brackets in its shortest form, an IPv4-mapped address as IPv4.
// An empty authority (HTTP/1.0) stays empty and matches only routes without host.
//
// Everything else is a *fault.Fault of kind MalformedRequest: user information, an empty name before a port, ports
// beyond 65535, empty or overlong labels, and every character except letters, digits, '-', '_' and '.'; non-ASCII names
// arrive in their xn-- form. NormalizeHost allocates nothing if the name is lower case.
func NormalizeHost(authority string) (string, error) {
	if end, usual := usualName(authority); usual {
		return authority[:end], nil
	}
	return normalizeHost(authority)
}

// normalizeHost is NormalizeHost for any authority.
func normalizeHost(authority string) (string, error) {
	switch {
	case authority == "":
		return "", nil
	case authority[0] == '[':
		return normalizeIPv6(authority)
	}
	name, port, _ := strings.Cut(authority, ":")
	if !validPort(port) {
		return "", badHost("has an invalid port")
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > maxName {
		return "", badHost("is longer than " + strconv.Itoa(maxName) + " characters")
	}
	upper, problem := checkName(name)
	switch {
	case problem != "":
		return "", badHost(problem)
	case upper:
		return strings.ToLower(name), nil
	}
	return name, nil
}

// usualName returns where the name ends in an authority whose name is already normal, as in almost all requests. It
// looks at each byte once. If the authority is not usual, normalizeHost examines it.
func usualName(authority string) (end int, usual bool) {
	label := 0
	for i := range len(authority) {
		if !inLabel[authority[i]] { // everything is within this condition, to go over bytes of labels in the fewest steps
			if i == label || i-label > maxLabel {
				return 0, false
			}
			if authority[i] != '.' {
				return i, authority[i] == ':' && i <= maxName && validPort(authority[i+1:])
			}
			label = i + 1
		}
	}
	n := len(authority)
	return n, label < n && n-label <= maxLabel && n <= maxName
}

// inLabel says which bytes labels consist of, except capitals.
var inLabel = makeInLabel() // a table

func makeInLabel() (table [256]bool) {
	for c := range table {
		b := byte(c)
		table[c] = 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '-' || b == '_'
	}
	return table
}

func badHost(what string) *fault.Fault {
	return fault.MalformedRequest.New("The host " + what + ".")
}

// checkName reports whether the name has capitals, and what is wrong with it.
func checkName(name string) (upper bool, problem string) {
	label := 0
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if label == 0 || label > maxLabel {
				return false, "has an empty or overlong label"
			}
			label = -1
		case 'A' <= c && c <= 'Z':
			upper = true
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false, "has a character that no host name has"
		}
		label++
	}
	if label == 0 || label > maxLabel {
		return false, "has an empty or overlong label"
	}
	return upper, ""
}

func normalizeIPv6(authority string) (string, error) {
	inner, rest, closed := strings.Cut(authority[1:], "]")
	if port, hasPort := strings.CutPrefix(rest, ":"); !closed || hasPort != (rest != "") || !validPort(port) {
		return "", badHost("is not [address]:port")
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", badHost("is not an IPv6 address in brackets")
	}
	return addr.Unmap().String(), nil
}

// validPort accepts the digits of a port from 0 to 65535, and the empty string (RFC 3986 section 3.2.3).
func validPort(port string) bool {
	if len(port) > 5 {
		return false
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
		n = n*10 + int(port[i]-'0')
	}
	return n <= 65535
}

package discovery

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SplitAddress splits the address of an endpoint, host:port. The host is a name or an IP address, without the brackets
// of IPv6. The error is shown to the author of the address.
func SplitAddress(text string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, errors.New("not of the form host:port; IPv6 stands in brackets, as in [::1]:8080")
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n < 1 {
		return "", 0, fmt.Errorf("port %q is not a number from 1 to 65535", digits)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case strings.HasPrefix(text, "[") && !ip.Is6():
		return "", 0, fmt.Errorf("%q stands in brackets, as only an IPv6 address does", host)
	case err == nil:
		return host, uint16(n), nil
	}
	return host, uint16(n), CheckName(host)
}

// The limits of RFC 1035 section 2.3.4, for names in text form.
const (
	LongestName  = 253
	longestLabel = 63
)

// CheckName says what is wrong with a name. Underscores are allowed, because Docker uses them and SRV records need
// them.
func CheckName(name string) error {
	plain := strings.TrimSuffix(name, ".")
	if plain == "" || len(plain) > LongestName {
		return fmt.Errorf("%q is neither a name nor an address", name)
	}
	for label := range strings.SplitSeq(plain, ".") {
		if label == "" || len(label) > longestLabel || !isLabel(label) {
			return fmt.Errorf("%q is neither a name nor an address", name)
		}
	}
	return nil
}

func isLabel(label string) bool {
	for i := range len(label) {
		switch c := label[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Distinct returns a set in a stable order, whatever order its source has, with each address once. If a source has
// several entries for one address, as when an instance has come back under another id and the old entry is not gone
// yet, the one in the best condition is kept. It modifies list.
func Distinct(list []Endpoint) []Endpoint {
	slices.SortFunc(list, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Condition, b.Condition), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(list, func(a, b Endpoint) bool { return a.Address == b.Address })
}

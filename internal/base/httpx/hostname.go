package httpx

import "strings"

// HostnameFit returns how well a listener's hostname fits a normalised host; a larger value is more specific. It is 0
// for no fit, 1 for an empty hostname, which fits every host, more for a wildcard ("*.shop.dev" covers one or more
// labels, never shop.dev itself), and most for the host's own name (Gateway API, "distinct listeners").
func HostnameFit(hostname, host string) int {
	if suffix, ok := strings.CutPrefix(hostname, "*"); ok {
		if len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return 1 + len(suffix)
		}
		return 0
	}
	switch hostname {
	case "":
		return 1
	case host:
		return 2 + len(host) // the wildcards that cover it are shorter
	}
	return 0
}

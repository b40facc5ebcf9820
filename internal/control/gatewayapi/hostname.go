package gatewayapi

import "strings"

// intersect returns the hosts that a listener's and a route's hostname have in common, as a hostname. ok is false if
// there are none. "" is any host, and "*.shop.dev" is every host below shop.dev, at any depth, but not shop.dev itself.
func intersect(listener, route string) (host string, ok bool) {
	listener, route = strings.ToLower(listener), strings.ToLower(route)
	switch {
	case covers(listener, route):
		return route, true
	case covers(route, listener):
		return listener, true
	default:
		return "", false
	}
}

// covers reports whether every host of inner is also a host of outer.
func covers(outer, inner string) bool {
	if outer == "" || outer == inner {
		return true
	}
	suffix, wild := strings.CutPrefix(outer, "*")
	return wild && strings.HasPrefix(suffix, ".") && inner != "" && strings.HasSuffix(strings.TrimPrefix(inner, "*"), suffix) &&
		(strings.HasPrefix(inner, "*") || len(inner) > len(suffix))
}

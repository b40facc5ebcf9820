package cors

import (
	"fmt"
	"strings"
)

// pattern is one allowed origin. Without a star, before is all of it.
type pattern struct {
	before, after string // "https://" and ".shop.dev:8443" around the star
	star          bool
}

// parseOrigin reads scheme://host[:port], optionally with a star as the host or its leftmost labels. A default port is
// removed, as browsers do.
func parseOrigin(text string) (pattern, error) {
	scheme, authority, ok := strings.Cut(strings.ToLower(text), "://")
	switch {
	case text == "null":
		return pattern{}, fmt.Errorf("the origin null cannot be allowed: any page can send it from a sandboxed frame")
	case !ok && !strings.ContainsAny(text, ".:*"):
		return pattern{}, fmt.Errorf("%q is no origin; write the scheme and host of a site, for example https://shop.dev", text)
	case !ok || scheme == "":
		return pattern{}, fmt.Errorf("the origin %q has no scheme; write https://%s", text, strings.TrimLeft(text, ":/"))
	case !isScheme(scheme):
		return pattern{}, fmt.Errorf("the origin %q begins with no scheme such as https://", text)
	case strings.ContainsAny(authority, "/?#"):
		return pattern{}, fmt.Errorf("the origin %q has a path; an origin is scheme, host and port, without a slash at the end", text)
	}
	origin := scheme + "://" + withoutDefaultPort(scheme, authority)
	before, after, star := strings.Cut(origin, "*")
	switch {
	case strings.Contains(after, "*"):
		return pattern{}, fmt.Errorf("the origin %q has more than one *", text)
	case star && (before != scheme+"://" || after != "" && after[0] != '.' && after[0] != ':'):
		return pattern{}, fmt.Errorf("the * in the origin %q stands for whole labels at the left: https://*.shop.dev", text)
	case !star && !isAuthority(before[len(scheme)+3:]), star && after != "" && !isAuthority("x"+after):
		return pattern{}, fmt.Errorf("the origin %q has no valid host", text)
	}
	return pattern{before, after, star}, nil
}

// matches compares with an Origin field, which browsers send in lower case.
func (p pattern) matches(origin string) bool {
	if !p.star {
		return origin == p.before
	}
	if len(origin) <= len(p.before)+len(p.after) || !strings.HasPrefix(origin, p.before) || !strings.HasSuffix(origin, p.after) {
		return false
	}
	middle := origin[len(p.before) : len(origin)-len(p.after)]
	return isHost(middle)
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z'
		other := '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'
		if !letter && (i == 0 || !other) {
			return false
		}
	}
	return true
}

// isAuthority holds for host[:port], IPv6 in brackets.
func isAuthority(s string) bool {
	host := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		port := s[i+1:]
		host = s[:i]
		if port == "" || len(port) > 5 || strings.Trim(port, "0123456789") != "" {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdef:.") == ""
	}
	return isHost(host)
}

// isHost holds for labels of letters, digits, '-' and '_' with single dots between them.
func isHost(s string) bool {
	dot := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_':
			dot = false
		default:
			return false
		}
	}
	return !dot
}

func withoutDefaultPort(scheme, authority string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(authority, ":80")
	case "https":
		return strings.TrimSuffix(authority, ":443")
	default:
		return authority
	}
}

package http1

import (
	"bytes"
	"net/netip"
)

// parseTarget checks the request target (RFC 9112 section 3.2).
func (h *Head) parseTarget() Reason {
	if string(h.Method) == "CONNECT" {
		return ConnectMethod
	}
	switch {
	case h.Target[0] == '/':
		h.Path = h.Target
		return checkPath(h.Path)
	case string(h.Target) == "*":
		h.Path = h.Target
		if string(h.Method) != "OPTIONS" {
			return TargetForm
		}
		return OK
	default:
		return h.parseAbsolute()
	}
}

// parseAbsolute splits an absolute-form target of the schemes http and https.
func (h *Head) parseAbsolute() Reason {
	scheme, rest, found := bytes.Cut(h.Target, []byte("://"))
	if !found || !equalFold(scheme, "http") && !equalFold(scheme, "https") {
		return TargetForm
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	h.Authority, h.Path = rest[:end], rest[end:]
	if !validHost(h.Authority) {
		return TargetAuthority
	}
	return checkPath(h.Path)
}

// checkPath checks an absolute path with its query, byte by byte. What the path
// means, and whether it is ambiguous, is not the grammar's business.
func checkPath(target []byte) Reason {
	n := 0
	for n < len(target) && classes[target[n]]&firstByte != 0 {
		n++
	}
	return checkRest(target[n:])
}

// checkRest is checkPath from the first byte on that few paths contain.
func checkRest(target []byte) Reason {
	class := pathByte
	for i, c := range target {
		if c == '?' {
			class = queryByte
		}
		if classes[c]&class == 0 {
			if c == '#' {
				return TargetFragment
			}
			return TargetByte
		}
		if c == '%' && class == pathByte && !escaped(target[i:]) {
			return TargetEscape
		}
	}
	return OK
}

func escaped(b []byte) bool {
	return len(b) >= 3 && classes[b[1]]&classes[b[2]]&hexDigit != 0
}

const (
	maxHost = 255 // RFC 1035 section 2.3.4
	maxPort = 65535
)

// validHost reports whether b is a host with an optional port. It is narrower than RFC 3986: a name holds unreserved
// characters only (no escapes, no commas), a bracketed address is IPv6 without a zone, and a port has digits.
func validHost(b []byte) bool {
	if len(b) == 0 || len(b) > maxHost+len(":65535") {
		return false
	}
	name, port := b, []byte(nil)
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 || !validIPv6(b[1:end]) {
			return false
		}
		port = b[end+1:]
	} else {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			name, port = b[:i], b[i:]
		}
		if len(name) == 0 || len(name) > maxHost || !all(name, hostByte) {
			return false
		}
	}
	return len(port) == 0 || port[0] == ':' && validPort(port[1:])
}

func validPort(b []byte) bool {
	if len(b) == 0 || len(b) > 5 {
		return false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= maxPort
}

func validIPv6(b []byte) bool {
	address, err := netip.ParseAddr(string(b))
	return err == nil && address.Is6() && address.Zone() == ""
}

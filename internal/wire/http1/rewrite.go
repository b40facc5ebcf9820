package http1

import "bytes"

// Rewrites reports whether Rewrite would change the head.
func (h *Head) Rewrites() bool { return h.Authority != nil || h.discarded > 0 }

// Rewrite brings the head that h was parsed from into the one form that is passed on: an absolute-form target becomes
// origin-form (its host is known to be that of the Host field), and fields that must not be relayed are removed (Proxy,
// HTTP2-Settings, an Upgrade that offers h2c). It works in place, returns the shorter head, and makes the slices of h
// invalid.
func (h *Head) Rewrite(b []byte) []byte {
	discard := h.discarded > 0
	if h.Authority != nil {
		b = h.originForm(b)
	}
	if discard {
		b = withoutDiscarded(b)
	}
	return b
}

func (h *Head) originForm(b []byte) []byte {
	at := len(h.Method) + 1 // where the target begins
	rest := at + len(h.Target) - len(h.Path)
	switch { // "http://h" has room for one more byte
	case len(h.Path) == 0 && string(h.Method) == "OPTIONS": // RFC 9112 section 3.2.4
		b[at] = '*'
		at++
	case len(h.Path) == 0 || h.Path[0] == '?':
		b[at] = '/'
		at++
	}
	return b[:at+copy(b[at:], b[rest:])]
}

func withoutDiscarded(b []byte) []byte {
	end := bytes.IndexByte(b, '\n') + 1
	for rest := b[end:]; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n') + 1
		line := rest[:n]
		rest = rest[n:]
		if !isDiscarded(line) {
			end += copy(b[end:], line)
		}
	}
	return b[:end]
}

func isDiscarded(line []byte) bool {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found {
		return false
	}
	return equalFold(name, "proxy") || equalFold(name, "http2-settings") ||
		equalFold(name, "upgrade") && offersH2C(bytes.TrimSuffix(value, []byte("\r\n")))
}

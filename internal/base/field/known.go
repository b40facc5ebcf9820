package field

import "strings"

// Known is which of the names that Weir acts on a name is, in any case. It also says whether the name is spelled with
// '_' or '.' in place of '-', which lenient backends read as '-' (CGI, WSGI and PHP fold them). 0 is any other name.
type Known uint8

// The names that Weir acts on.
const (
	Other Known = iota

	Connection
	ContentEncoding
	ContentLength
	ContentType
	Date
	Expect
	Forwarded
	Host
	HTTP2Settings
	KeepAlive
	Proxy
	ProxyAuthenticate
	ProxyAuthenticationInfo
	ProxyAuthorization
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	TrueClientIP
	Upgrade
	UserAgent
	Via
	XClientIP
	XClusterClientIP
	XForwarded
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XHTTPMethod
	XHTTPMethodOverride
	XMethodOverride
	XOriginalForwardedFor
	XOriginalHost
	XOriginalMethod
	XOriginalURI
	XOriginalURL
	XRealIP
	XRequestID
	XRewriteURL

	// Families: all other names with this prefix.
	XForwardedFamily
	XEnvoyFamily

	// Count is greater than all of them.
	Count
)

// The bits of a Known.
const (
	which Known = 1<<6 - 1
	alias Known = 1 << 6
	odd   Known = 1 << 7 // of a Line: it cannot be sent as it is
)

// Name is the name without its spelling.
func (k Known) Name() Known { return k & which }

// IsAlias reports whether the name is spelled with '_' or '.' in place of a '-'. It is always false for Other.
func (k Known) IsAlias() bool { return k&alias != 0 }

// String is the name, in lower case.
func (k Known) String() string { return canonical[k.Name()] }

// Set is a set of names that Weir acts on, and of Other.
type Set uint64

// SetOf returns the set of these names.
func SetOf(names ...Known) (s Set) {
	for _, k := range names {
		s.Add(k)
	}
	return s
}

// Add adds a name.
func (s *Set) Add(k Known) { *s |= 1 << k.Name() }

// Has reports whether a name is in s, in any spelling.
func (s Set) Has(k Known) bool { return s>>k.Name()&1 != 0 }

// canonical are the folded names.
var canonical = [Count]string{
	Connection: "connection", ContentEncoding: "content-encoding", ContentLength: "content-length", ContentType: "content-type",
	Date: "date", Expect: "expect", Forwarded: "forwarded", Host: "host", HTTP2Settings: "http2-settings", KeepAlive: "keep-alive",
	Proxy: "proxy", ProxyAuthenticate: "proxy-authenticate", ProxyAuthenticationInfo: "proxy-authentication-info",
	ProxyAuthorization: "proxy-authorization", ProxyConnection: "proxy-connection", TE: "te", Trailer: "trailer",
	TransferEncoding: "transfer-encoding", TrueClientIP: "true-client-ip", Upgrade: "upgrade", UserAgent: "user-agent", Via: "via",
	XClientIP: "x-client-ip", XClusterClientIP: "x-cluster-client-ip", XForwarded: "x-forwarded", XForwardedFor: "x-forwarded-for",
	XForwardedHost: "x-forwarded-host", XForwardedPort: "x-forwarded-port", XForwardedProto: "x-forwarded-proto",
	XHTTPMethod: "x-http-method", XHTTPMethodOverride: "x-http-method-override", XMethodOverride: "x-method-override",
	XOriginalForwardedFor: "x-original-forwarded-for", XOriginalHost: "x-original-host", XOriginalMethod: "x-original-method",
	XOriginalURI: "x-original-uri", XOriginalURL: "x-original-url", XRealIP: "x-real-ip", XRequestID: "x-request-id",
	XRewriteURL: "x-rewrite-url", XForwardedFamily: "x-forwarded-", XEnvoyFamily: "x-envoy-",
}

// longest is at least the length of every name and of every family's prefix.
const longest = 32

var byName = func() map[string]Known {
	all := map[string]Known{}
	for k, name := range canonical[:XForwardedFamily] {
		all[name] = Known(k)
	}
	return all
}()

// shapes says, for the first letter of a name, which lengths known names with that letter have, as bits. Most fields
// have a length that is not among them and need no look-up. The last bit stands for all greater lengths.
var shapes = func() (lengths [256]uint64) {
	add := func(initial byte, bits uint64) {
		lengths[initial] |= bits
		lengths[initial-('a'-'A')] |= bits
	}
	for k, name := range canonical {
		switch k := Known(k); {
		case k == Other:
		case k < XForwardedFamily:
			add(name[0], 1<<len(name))
		default:
			add(name[0], ^uint64(0)<<len(name))
		}
	}
	return lengths
}()

// Know returns which known name it is.
func Know[text string | []byte](name text) Known {
	if len(name) == 0 || shapes[name[0]]>>min(len(name), 63)&1 == 0 {
		return Other
	}
	var folded [longest]byte
	n := copy(folded[:], name)
	aliased := fold(folded[:n])
	k := byName[string(folded[:n])]
	switch {
	case len(name) > longest, k == Other:
		k = family(folded[:n])
	}
	if k != Other && aliased {
		k |= alias
	}
	return k
}

// fold rewrites name as lenient backends read it, and reports whether it differed in more than case.
func fold(name []byte) (aliased bool) {
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			name[i] = c + ('a' - 'A')
		case c == '_' || c == '.':
			name[i], aliased = '-', true
		}
	}
	return aliased
}

func family(folded []byte) Known {
	for k := XForwardedFamily; k < Count; k++ {
		if strings.HasPrefix(string(folded), canonical[k]) {
			return k
		}
	}
	return Other
}

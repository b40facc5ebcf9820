package field

import "strings"

// Known is which of the names that Weir heeds a name is, in whatever case, and whether it is spelled with '_' or '.' in the
// place of '-', as which lenient backends read it (CGI, WSGI and PHP fold them). 0 is any other name.
type Known uint8

// The names that Weir heeds.
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

	// Families: every other name that begins so.
	XForwardedFamily
	XEnvoyFamily

	// Count is more than all of them.
	Count
)

// The bits of a Known.
const (
	which Known = 1<<6 - 1
	alias Known = 1 << 6
	odd   Known = 1 << 7 // of a Line: it cannot be written as it is
)

// Name is which name it is, however it is spelled.
func (k Known) Name() Known { return k & which }

// IsAlias tells whether it is spelled with '_' or '.' in the place of a '-'. It is never so of Other.
func (k Known) IsAlias() bool { return k&alias != 0 }

// String is the name, in lower case.
func (k Known) String() string { return canonical[k.Name()] }

// Set is a set of names that Weir heeds, and of Other.
type Set uint64

// SetOf is the set of these names.
func SetOf(names ...Known) (s Set) {
	for _, k := range names {
		s.Add(k)
	}
	return s
}

// Add adds a name.
func (s *Set) Add(k Known) { *s |= 1 << k.Name() }

// Has tells whether a name is in s.
func (s Set) Has(k Known) bool { return s>>k.Name()&1 != 0 }

// canonical are the names, folded.
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

// longest is at least the length of every name and the beginning of every family.
const longest = 32

var byName = func() map[string]Known {
	all := map[string]Known{}
	for k, name := range canonical[:XForwardedFamily] {
		all[name] = Known(k)
	}
	return all
}()

// shapes tells by the first letter of a name which lengths known names have, as bits: most fields have another
// one, and cost no look-up. The last bit stands for what is longer.
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

// Know tells which name it is.
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

// fold makes name what lenient backends read it as, and tells whether it was spelled otherwise than in another case.
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

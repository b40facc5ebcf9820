package forward

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// pseudonym is how Weir names itself in Via (RFC 9110 section 7.6.3).
const pseudonym = "weir"

// MostPasses is how often a request may have passed through Weir before. Chains of gateways are intended; a request
// that leads back to where it came from is not.
const MostPasses = 10

// Passes counts how often a request has passed through Weir, by its Via (RFC 9110 section 7.6.3). The sender of the
// request can raise the number, but gains nothing by it.
func Passes(head exchange.Head) int {
	n := 0
	tokens(head.Values("Via"), func(member string) bool {
		if strings.EqualFold(receivedBy(member), pseudonym) {
			n++
		}
		return true
	})
	return n
}

// receivedBy returns the name in a member of Via, which is between the protocol and a comment.
func receivedBy(member string) string {
	at := strings.IndexAny(member, " \t")
	if at < 0 {
		return ""
	}
	name := strings.TrimLeft(member[at:], " \t")
	if end := strings.IndexAny(name, " \t("); end >= 0 {
		name = name[:end]
	}
	return name
}

// Request builds the head that a backend gets. It copies from src, which Receive has stripped, every field that belongs
// to the request and not to the client's connection, and then sets Weir's own:
//
//   - X-Forwarded-For: the peer, after what a trusted peer said.
//   - X-Forwarded-Proto, -Host and -Port: as the client used them.
//   - Forwarded: one more element, only if a trusted peer sent Forwarded and no X-Forwarded-For, so that the two can
//     never contradict each other.
//   - Via: the protocol version of the client's request, which RFC 9110 requires of a gateway.
//   - X-Request-Id: the id of the exchange x.
//
// X-Forwarded-For comes last if the peer is trusted, and otherwise before the id. Fields that are withheld are left
// out, also if a trusted peer sent them. proto is the client's protocol version as Via writes it ("1.1", "2"). dst must
// be empty. Values are shared with src.
func Request(dst, src exchange.Head, x *exchange.Exchange, proto string, withheld Withheld) {
	without := withheld.notPassed()
	came := exchange.CopyWithout(dst, src, &without)
	if came.Has(field.TE) && AcceptsTrailers(src) {
		dst.Set("Te", "trailers")
	}
	said := x.Connection.Said(&x.Client, proto, say)
	if came.Has(field.Via) {
		exchange.AddLines(dst, names.via.Line(strings.Join(append(src.Values("Via"), proto+" "+pseudonym), ", ")))
		said = said[1:] // without its own Via
	}
	withheld.add(dst, said)
	if !withheld.names.Has(field.XRequestID) {
		exchange.AddLines(dst, x.IDLine())
	}
	if x.Client.Trusted && x.Client.Peer.IsValid() && !withheld.names.Has(field.XForwardedFor) {
		exchange.AddLines(dst, chain(src, &x.Client, withheld.names&toldByForwarded == 0)...)
	}
}

// say appends the lines that are the same for all requests of a client. The first one is Via. last are the lines of
// another client with the same peer.
func say(to, last []field.Line, client *exchange.Client, proto string) []field.Line {
	to = append(to, viaOf(proto), schemeOf(client), portOf(client))
	if client.Host != "" {
		to = append(to, names.host.Line(client.Host))
	}
	if client.Trusted || !client.Peer.IsValid() {
		return to
	}
	if n := len(last); n > 0 && last[n-1].Known() == field.XForwardedFor {
		return append(to, last[n-1])
	}
	return append(to, names.client.Line(client.Peer.Addr().String()))
}

// notPassed are the names of fields of a stripped request that are not copied as they are.
var notPassed = exchange.Names{All: namesOf(hop, framing, own, pathway), Aliases: namesOf(told)}

// names are the names of the fields that Request sets.
var names = struct{ via, proto, port, host, client, forwarded field.Name }{
	field.Named("Via"), field.Named("X-Forwarded-Proto"), field.Named("X-Forwarded-Port"), field.Named("X-Forwarded-Host"),
	field.Named("X-Forwarded-For"), field.Named("Forwarded"),
}

// chain returns the lines that say who the client of a trusted peer is, in the words that the peer used if all of
// Forwarded may be told.
func chain(src exchange.Head, client *exchange.Client, forwarded bool) (own []field.Line) {
	peer := client.Peer.Addr().String()
	told, lines := src.Values("X-Forwarded-For"), src.Values("Forwarded")
	if forwarded && len(told) == 0 && len(lines) > 0 {
		own = append(own, names.forwarded.Line(strings.Join(lines, ", ")+", "+element(client.Peer.Addr())))
	}
	if len(told) == 0 && client.IP != client.Peer.Addr() {
		told = []string{client.IP.String()} // known from Forwarded
	}
	return append(own, names.client.Line(strings.Join(append(slices.Clip(told), peer), ", ")))
}

// element is Weir's own forwarded-element: the peer that called Weir. Scheme and host are in the elements before it,
// which come from nearer to the client.
func element(peer netip.Addr) string {
	node := peer.String()
	if peer.Is6() {
		node = "[" + node + "]"
	}
	return string(appendValue([]byte("for="), node))
}

// The lines of most requests.
var (
	via11     = names.via.Line("1.1 " + pseudonym)
	overHTTP  = names.proto.Line(schemeHTTP)
	overHTTPS = names.proto.Line(schemeHTTPS)
	port80    = names.port.Line("80")
	port443   = names.port.Line("443")
)

func viaOf(proto string) field.Line {
	if proto == "1.1" {
		return via11
	}
	return names.via.Line(proto + " " + pseudonym)
}

func schemeOf(client *exchange.Client) field.Line {
	switch client.Scheme {
	case schemeHTTP:
		return overHTTP
	case schemeHTTPS:
		return overHTTPS
	default:
		return names.proto.Line(client.Scheme)
	}
}

// portOf returns the line with the port that the client called: the port of its authority, or the default port of its
// scheme.
func portOf(client *exchange.Client) field.Line {
	for i := len(client.Host) - 1; i >= 0; i-- {
		c := client.Host[i]
		if c == ':' && i < len(client.Host)-1 {
			return names.port.Line(client.Host[i+1:])
		}
		if c < '0' || c > '9' {
			break // no port: a name or an address ends here
		}
	}
	if client.Scheme == schemeHTTPS {
		return port443
	}
	return port80
}

// Response copies from a backend's response head the fields that belong to the response and not to the backend's
// connection, and returns the set of names in src. Content-Length is copied too, because a response to HEAD has no
// other way to tell the length.
func Response(dst, src exchange.Head) (came field.Set) {
	if namesNothing(src) {
		return exchange.CopyWithout(dst, src, &notReturned)
	}
	named := src.Values("Connection")
	exchange.CopyHead(dst, src, func(name string, is field.Known) bool {
		rule := ruleOf(is)
		return rule != hop && (rule != pass || !hasToken(named, name))
	})
	return exchange.KnownIn(src)
}

// notReturned are the names of fields in a response that belong to its connection.
var notReturned = exchange.Names{All: hops}

// SetUpgrade asks for, or confirms, a switch to protocol on the next connection.
func SetUpgrade(head exchange.Head, protocol string) { setHops(head, protocol, false) }

// TrailerAllowed reports whether a field may be in a trailer section. Fields that frame, route, authenticate or say how
// to read the content may not (RFC 9110 section 6.5.1), nor may fields that Weir manages.
func TrailerAllowed(name string) bool {
	if Managed(name) {
		return false
	}
	switch strings.ToLower(name) {
	case "authorization", "cache-control", "content-encoding", "content-range", "content-type",
		"cookie", "max-forwards", "range", "set-cookie", "www-authenticate":
		return false
	}
	return true
}

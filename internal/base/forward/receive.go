package forward

import (
	"net/netip"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Receive processes a request's head: it resolves who sent it (see Client) and then strips the head in place. It
// removes hop-by-hop fields and those that Connection names, other spellings of managed fields, and, unless the peer is
// a trusted proxy, everything that proxies say. Of the connection's fields it keeps `TE: trailers` and, for a
// well-formed upgrade, Connection and Upgrade.
//
// It is called once for each request, before anything else reads the head. A second call changes nothing more.
func Receive(peer netip.AddrPort, tls bool, host string, head exchange.Head, trusted []netip.Prefix) exchange.Client {
	client := Client(peer, tls, host, head, trusted)
	strip(head, client.Trusted)
	return client
}

func strip(head exchange.Head, trusted bool) {
	if came := exchange.KnownIn(head) & hops; came == 0 || came == onlyConnection && namesNothing(head) { // as in most heads
		if trusted {
			exchange.DelNames(head, &otherSpellings)
		} else {
			exchange.DelNames(head, &hearsay)
		}
		return
	}
	protocol, trailers := UpgradeOf(head), AcceptsTrailers(head)
	named := head.Values("Connection")
	exchange.DelKnown(head, func(name string, is field.Known) bool { return !stays(name, is, named, trusted) })
	setHops(head, protocol, trailers)
}

// hops are the names of fields that belong to a connection.
var hops = namesOf(hop)

// onlyConnection is the set of Connection alone.
var onlyConnection = field.SetOf(field.Connection)

// namesNothing reports whether Connection names no field of a head, because it only says whether the connection is kept
// open.
func namesNothing(head exchange.Head) bool {
	return exchange.EachSays(head, field.Connection, func(value string) bool { return field.OptionOf(value) != field.OtherOptions })
}

// What is removed from a head if Connection names no fields: fields that belong to the connection, other spellings of
// managed fields, and, from a peer that is not trusted, everything that proxies say.
var (
	otherSpellings = exchange.Names{All: hops, Aliases: namesOf(framing, pathway, told, own)}
	hearsay        = exchange.Names{All: namesOf(hop, told, own), Aliases: namesOf(framing, pathway)}
)

// stays reports whether a field of a received head is kept. named are the values of Connection, which name fields that
// end here. Fields that proxies set and fields that frame the message cannot be removed by naming them there.
func stays(name string, is field.Known, named []string, trusted bool) bool {
	switch ruleOf(is) {
	case pass:
		return len(named) == 0 || !hasToken(named, name)
	case framing, pathway:
		return !is.IsAlias()
	case told, own:
		return trusted && !is.IsAlias()
	default:
		return false
	}
}

// setHops sets the fields that Weir itself negotiates with the next hop.
func setHops(head exchange.Head, protocol string, trailers bool) {
	if protocol != "" {
		head.Set("Connection", "Upgrade")
		head.Set("Upgrade", protocol)
	}
	if trailers {
		head.Set("Te", "trailers")
	}
}

// UpgradeOf returns the protocol that a request asks to switch to, or that a 101 response switches to. Connection must
// contain the token `upgrade`, and there must be exactly one protocol. Otherwise it returns "", and always for HTTP/2
// and TLS, which a gateway never relays (RFC 9113 section 3.1 abandoned the h2c upgrade; relaying it allows request
// smuggling).
func UpgradeOf(head exchange.Head) string {
	values := head.Values("Upgrade")
	if len(values) != 1 || !isProtocol(values[0]) || !hasToken(head.Values("Connection"), "upgrade") {
		return ""
	}
	return values[0]
}

// AcceptsTrailers reports whether the sender said `TE: trailers`.
func AcceptsTrailers(head exchange.Head) bool { return hasToken(head.Values("Te"), "trailers") }

// isProtocol checks protocol-name ["/" protocol-version] of RFC 9110 section 7.8.
func isProtocol(s string) bool {
	name, version, slash := strings.Cut(s, "/")
	if !httpx.IsToken(name) || slash && !httpx.IsToken(version) {
		return false
	}
	return !Folds(name, "h2c") && !Folds(name, "http") && !Folds(name, "tls")
}

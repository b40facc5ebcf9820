package forward

import (
	"net/netip"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Receive takes in a request's head: it resolves who sent it (see Client) and
// then strips the head in place. What is gone afterwards: hop-by-hop fields and
// those that Connection names, other spellings of managed fields, and, unless the
// peer is a trusted proxy, everything that proxies tell. What is left of the
// connection: `TE: trailers` and, for a well-formed upgrade, Connection and Upgrade.
//
// It is called once for each request, before anything else reads the head. A
// second call changes nothing more.
func Receive(peer netip.AddrPort, tls bool, host string, head exchange.Head, trusted []netip.Prefix) exchange.Client {
	client := Client(peer, tls, host, head, trusted)
	strip(head, client.Trusted)
	return client
}

func strip(head exchange.Head, trusted bool) {
	if came := exchange.KnownIn(head) & hops; came == 0 || came == onlyConnection && namesNothing(head) { // as of most
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

// hops are the names that belong to a connection.
var hops = namesOf(hop)

// onlyConnection is one of them.
var onlyConnection = field.SetOf(field.Connection)

// namesNothing tells whether Connection names no field of a head, as it says no more than whether the connection is kept.
func namesNothing(head exchange.Head) bool {
	return exchange.EachSays(head, field.Connection, func(value string) bool { return field.OptionOf(value) != field.OtherOptions })
}

// What is taken away of a head in which nothing is named: what belongs to the connection, other spellings of what is managed, and from who is
// not trusted all that proxies tell.
var (
	otherSpellings = exchange.Names{All: hops, Aliases: namesOf(framing, pathway, told, own)}
	hearsay        = exchange.Names{All: namesOf(hop, told, own), Aliases: namesOf(framing, pathway)}
)

// stays tells whether a field of a received head means what it says. named are
// the values of Connection, which name fields that end here; what proxies tell and
// what frames the message cannot be named away.
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

// setHops says again what Weir itself negotiates with the next one.
func setHops(head exchange.Head, protocol string, trailers bool) {
	if protocol != "" {
		head.Set("Connection", "Upgrade")
		head.Set("Upgrade", protocol)
	}
	if trailers {
		head.Set("Te", "trailers")
	}
}

// UpgradeOf gives the protocol that a request asks to switch to, or that a 101
// response switches to: Connection holds the token `upgrade` and there is exactly one
// protocol. It is "" otherwise, and for HTTP/2 and TLS, which a gateway never
// relays (RFC 9113 section 3.1 gave the h2c upgrade up; relayed, it smuggles).
func UpgradeOf(head exchange.Head) string {
	values := head.Values("Upgrade")
	if len(values) != 1 || !isProtocol(values[0]) || !hasToken(head.Values("Connection"), "upgrade") {
		return ""
	}
	return values[0]
}

// AcceptsTrailers tells whether the sender said `TE: trailers`.
func AcceptsTrailers(head exchange.Head) bool { return hasToken(head.Values("Te"), "trailers") }

// isProtocol checks protocol-name ["/" protocol-version] of RFC 9110 section 7.8.
func isProtocol(s string) bool {
	name, version, slash := strings.Cut(s, "/")
	if !httpx.IsToken(name) || slash && !httpx.IsToken(version) {
		return false
	}
	return !Folds(name, "h2c") && !Folds(name, "http") && !Folds(name, "tls")
}

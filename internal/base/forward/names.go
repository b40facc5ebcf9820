package forward

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// rule is what happens to a request's field on its way to the backend.
type rule uint8

const (
	pass    rule = iota
	hop          // belongs to the connection, or is only dangerous: never passed on
	framing      // read by Weir, and said again from what is really sent
	told         // says something of the client or its request: only trusted proxies may
	own          // Weir sets it itself, after it has read a trusted one
	pathway      // passed on and added to
)

// rules are those of the names that are not simply passed on.
var rules = [field.Count]rule{
	field.Connection:              hop,
	field.ProxyConnection:         hop,
	field.KeepAlive:               hop,
	field.TE:                      hop,
	field.Trailer:                 hop,
	field.TransferEncoding:        hop,
	field.Upgrade:                 hop,
	field.HTTP2Settings:           hop,
	field.ProxyAuthenticate:       hop,
	field.ProxyAuthenticationInfo: hop,
	field.ProxyAuthorization:      hop,
	field.Proxy:                   hop, // becomes HTTP_PROXY in a CGI program ("httpoxy")

	field.ContentLength: framing,
	field.Host:          framing,
	field.Expect:        framing,

	field.Forwarded:             own,
	field.XForwardedFor:         own,
	field.XForwardedHost:        own,
	field.XForwardedPort:        own,
	field.XForwardedProto:       own,
	field.XRequestID:            own,
	field.Via:                   pathway,
	field.XForwarded:            told,
	field.XRealIP:               told,
	field.XClientIP:             told,
	field.TrueClientIP:          told,
	field.XClusterClientIP:      told,
	field.XOriginalURL:          told,
	field.XOriginalURI:          told,
	field.XOriginalHost:         told,
	field.XOriginalMethod:       told,
	field.XOriginalForwardedFor: told,
	field.XRewriteURL:           told,
	field.XForwardedFamily:      told,
	field.XEnvoyFamily:          told,
}

// ruleOf gives the rule of a field.
func ruleOf(is field.Known) rule { return rules[is.Name()] }

// namesOf are the names of some rules.
func namesOf(some ...rule) (names field.Set) {
	for k := range field.Count {
		if slices.Contains(some, rules[k]) {
			names.Add(k)
		}
	}
	return names
}

// Managed tells whether Weir reads, writes or drops the field of that name itself, in
// whatever spelling: it can carry nothing else.
func Managed(name string) bool { return ruleOf(field.Know(name)) != pass }

// Folds tells whether a backend that reads '_' and '.' as '-' would take name
// for managed, which is written in lower case with '-'. A filter that hands on an
// identity drops every field that folds to the one it sets.
func Folds(name, managed string) bool {
	if len(name) != len(managed) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_' || c == '.':
			c = '-'
		}
		if c != managed[i] {
			return false
		}
	}
	return true
}

// DropManaged takes away every field that folds to one of managed, folded names in lower
// case: what only the gateway may say, nobody else does.
func DropManaged(head exchange.Head, managed []string) {
	if len(managed) == 0 {
		return
	}
	exchange.DelFields(head, func(name string) bool {
		for _, m := range managed {
			if Folds(name, m) {
				return true
			}
		}
		return false
	})
}

// tokens yields the members of comma-separated lists, trimmed, without empty ones.
func tokens(values []string, yield func(token string) bool) bool {
	for _, value := range values {
		for value != "" {
			token, rest, _ := strings.Cut(value, ",")
			value = rest
			if token = strings.Trim(token, " \t"); token != "" && !yield(token) {
				return false
			}
		}
	}
	return true
}

// hasToken tells whether a list holds token, without regard to case.
func hasToken(values []string, token string) bool {
	return !tokens(values, func(t string) bool { return !strings.EqualFold(t, token) })
}

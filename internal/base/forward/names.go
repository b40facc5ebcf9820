package forward

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// rule is what happens to a request's header field on its way to the backend.
type rule uint8

const (
	pass    rule = iota
	hop          // belongs to the connection, or is nothing but dangerous: never passed on
	framing      // read by Weir, and written anew from what is really sent
	told         // says something about the client or its request: only trusted proxies may send it
	own          // Weir sets it itself, after reading a trusted one
	pathway      // passed on and added to
)

// rules has the rule of each name that is not just passed on.
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

// ruleOf returns the rule of a field.
func ruleOf(is field.Known) rule { return rules[is.Name()] }

// namesOf returns the names that have one of these rules.
func namesOf(some ...rule) (names field.Set) {
	for k := range field.Count {
		if slices.Contains(some, rules[k]) {
			names.Add(k)
		}
	}
	return names
}

// Managed reports whether Weir reads, writes or drops the field of that name itself, in any spelling. Such a field
// cannot carry anything else.
func Managed(name string) bool { return ruleOf(field.Know(name)) != pass }

// Folds reports whether a backend that reads '_' and '.' as '-' would take name for managed, which is written in lower
// case with '-'. A filter that passes an identity on drops every field that folds to the one it sets.
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

// DropManaged removes every field that folds to one of managed, which are folded names in lower case: only the gateway
// may send them.
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

// hasToken reports whether a list contains token, case-insensitively.
func hasToken(values []string, token string) bool {
	return !tokens(values, func(t string) bool { return !strings.EqualFold(t, token) })
}

package forward

import (
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
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

// rules are the folded names that are not simply passed on.
var rules = map[string]rule{
	"connection":                hop,
	"proxy-connection":          hop,
	"keep-alive":                hop,
	"te":                        hop,
	"trailer":                   hop,
	"transfer-encoding":         hop,
	"upgrade":                   hop,
	"http2-settings":            hop,
	"proxy-authenticate":        hop,
	"proxy-authentication-info": hop,
	"proxy-authorization":       hop,
	"proxy":                     hop, // becomes HTTP_PROXY in a CGI program ("httpoxy")

	"content-length": framing,
	"host":           framing,
	"expect":         framing,

	"forwarded":                own,
	"x-forwarded-for":          own,
	"x-forwarded-host":         own,
	"x-forwarded-port":         own,
	"x-forwarded-proto":        own,
	"x-request-id":             own,
	"via":                      pathway,
	"x-forwarded":              told,
	"x-real-ip":                told,
	"x-client-ip":              told,
	"true-client-ip":           told,
	"x-cluster-client-ip":      told,
	"x-original-url":           told,
	"x-original-uri":           told,
	"x-original-host":          told,
	"x-original-method":        told,
	"x-original-forwarded-for": told,
	"x-rewrite-url":            told,
}

// Families of names: everything below them is told by proxies.
const (
	forwardedFamily = "x-forwarded-"
	envoyFamily     = "x-envoy-"
)

// longest is more than the length of every name in rules and of every family.
const longest = 32

// shapes tells by the first letter of a name which lengths managed names have, as bits: most fields have another
// one, and cost no look-up. The last bit stands for what is longer.
var shapes = func() (lengths [256]uint64) {
	add := func(initial byte, bits uint64) {
		lengths[initial] |= bits
		lengths[initial-('a'-'A')] |= bits
	}
	for name := range rules {
		add(name[0], 1<<len(name))
	}
	for _, family := range []string{forwardedFamily, envoyFamily} {
		add(family[0], ^uint64(0)<<len(family))
	}
	return lengths
}()

// mayBeManaged tells whether a name has the first letter and the length of one that is.
func mayBeManaged(name string) bool {
	return name != "" && shapes[name[0]]>>min(len(name), 63)&1 != 0
}

// classify gives the rule of a field name and whether the name is spelled with
// '_' or '.', so that it only folds to the name of the rule (told for any rule but pass).
func classify(name string) (r rule, alias bool) {
	if !mayBeManaged(name) {
		return pass, false
	}
	if name == "Content-Length" { // the most frequent one, as nearly everybody spells it
		return framing, false
	}
	var buf [longest]byte
	n := min(len(name), longest)
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == '_' || c == '.':
			c, alias = '-', true
		}
		buf[i] = c
	}
	folded := buf[:n]
	if len(name) <= longest {
		if r = rules[string(folded)]; r != pass {
			return r, alias
		}
	}
	if hasPrefix(folded, forwardedFamily) || hasPrefix(folded, envoyFamily) {
		return told, alias
	}
	return pass, alias
}

// isHop tells whether a field belongs to the connection.
func isHop(name string) bool {
	r, _ := classify(name)
	return r == hop
}

// Managed tells whether Weir reads, writes or drops the field of that name itself, in
// whatever spelling: it can carry nothing else.
func Managed(name string) bool {
	r, _ := classify(name)
	return r != pass
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

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

package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// anyMethod is the word for every method in a route's key.
const anyMethod = "ANY"

// methods are the well-known methods (RFC 9110 section 9, RFC 5789). Others are allowed.
func methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
}

// routeKey is a route's key, `METHOD[,METHOD] [host]/path`.
type routeKey struct {
	methods []string // nil for ANY
	host    string   // "" for none
	path    string
	pos     doc.Pos // of the path
}

const keyExample = "a route's key is `METHOD [host]/path`, as `GET /orders/{id}` or `ANY shop.dev/**`"

// parseKey reads key, which stands at pos.
func parseKey(key string, pos doc.Pos, ps *doc.Problems) (routeKey, bool) {
	word, target, blank := strings.Cut(key, " ")
	target = strings.TrimLeft(target, " ")
	if !blank || strings.HasPrefix(word, "/") {
		ps.Add(keyWithoutMethod(key, pos))
		return routeKey{}, false
	}
	if strings.HasSuffix(word, ",") {
		ps.Add(doc.Problem{Pos: pos, What: fmt.Sprintf("the key %q has a space between its methods", key), Why: keyExample, Fix: "separate methods by commas only, as `GET,POST /orders`"})
		return routeKey{}, false
	}
	k := routeKey{pos: pos}
	ok := true
	if word != anyMethod {
		k.methods = strings.Split(word, ",")
		for _, m := range k.methods {
			ok = checkMethod(m, pos, ps) && ok
		}
		if twice := firstTwice(k.methods); twice != "" {
			ps.Add(doc.Problem{Pos: pos, What: fmt.Sprintf("the method %s appears twice in the key", twice), Fix: "write it once"})
			ok = false
		}
	}
	targetPos := pos
	targetPos.Col += utf8.RuneCountInString(key[:len(key)-len(target)])
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		ps.Add(doc.Problem{Pos: targetPos, What: fmt.Sprintf("the key %q has the scheme %s", key, scheme), Why: "the listeners say which protocol is used", Fix: fmt.Sprintf("write `%s %s`", word, rest)})
		return routeKey{}, false
	}
	slash := strings.IndexByte(target, '/')
	if slash < 0 {
		ps.Add(doc.Problem{Pos: targetPos, What: fmt.Sprintf("the key %q has no path", key), Why: keyExample, Fix: fmt.Sprintf("write `%s /%s` if it is a path, or `%s %s/**` if it is a host", word, target, word, target)})
		return routeKey{}, false
	}
	k.host, k.path = target[:slash], target[slash:]
	k.pos = targetPos
	k.pos.Col += utf8.RuneCountInString(k.host)
	if strings.Contains(k.host, " ") || strings.Contains(k.path, " ") {
		ps.Add(doc.Problem{Pos: targetPos, What: fmt.Sprintf("the key %q has one space too many", key), Why: keyExample, Fix: "separate methods by commas only; write %20 for a space in a path"})
		return routeKey{}, false
	}
	return k, ok
}

func keyWithoutMethod(key string, pos doc.Pos) doc.Problem {
	p := doc.Problem{Pos: pos, What: fmt.Sprintf("the route %q has no method", key), Why: keyExample}
	switch {
	case strings.HasPrefix(key, "/"):
		p.Fix = fmt.Sprintf("write `GET %s`, or `ANY %s` for every method", key, key)
	case slices.Contains(routeKeys(), key):
		p.Fix = fmt.Sprintf("indent %q further than the route that it belongs to", key)
	default:
		p.Fix = "begin it with a method, or with ANY for every method"
	}
	return p
}

func checkMethod(m string, pos doc.Pos, ps *doc.Problems) bool {
	if slices.Contains(methods(), m) {
		return true
	}
	p := doc.Problem{Pos: pos}
	switch near, alike := doc.Suggest(m, append(methods(), anyMethod)); {
	case m == "CONNECT":
		p.What, p.Why = "the method CONNECT cannot be routed", "it asks for a tunnel through a proxy, which a gateway is not"
	case m == anyMethod:
		p.What, p.Fix = "ANY already stands for every method", "write ANY alone, or the methods without it"
	case !isMethod(m) && isMethod(strings.ToUpper(m)):
		p.What, p.Why, p.Fix = fmt.Sprintf("the method %q is not in capitals", m), "methods are case-sensitive", "write "+strings.ToUpper(m)
	case !isMethod(m):
		p.What, p.Why, p.Fix = fmt.Sprintf("%q is not a method", m), keyExample, "separate several methods by commas without spaces, as GET,POST"
	case alike:
		p.What, p.Fix = fmt.Sprintf("the method %q is not known", m), fmt.Sprintf("did you mean %q?", near)
	default:
		return true
	}
	ps.Add(p)
	return false
}

// isMethod reports whether m consists of capitals and hyphens, as all registered methods do.
func isMethod(m string) bool {
	return m != "" && strings.Trim(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") == ""
}

func firstTwice(list []string) string {
	for i, s := range list {
		if slices.Contains(list[:i], s) {
			return s
		}
	}
	return ""
}

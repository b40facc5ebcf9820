package forward

import (
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// HasCookie reports whether a request has a cookie of that name.
func HasCookie(head exchange.Head, name string) bool {
	for _, line := range head.Values("Cookie") {
		if _, ok := httpx.CookieLookup(line, name); ok {
			return true
		}
	}
	return false
}

// DropCookie removes the cookies of that name. The others stay as they were, and a header field that becomes empty is
// removed.
func DropCookie(head exchange.Head, name string) {
	if !HasCookie(head, name) {
		return
	}
	lines := head.Values("Cookie")
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if rest := httpx.CookiesWithout(line, name); rest != "" {
			kept = append(kept, rest)
		}
	}
	if len(kept) == 0 {
		head.Del("Cookie")
		return
	}
	head.Set("Cookie", kept[0]) // keeps its place among the others
	for _, line := range kept[1:] {
		head.Add("Cookie", line)
	}
}

package forward

import (
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// HasCookie tells whether a request brings a cookie of that name.
func HasCookie(head exchange.Head, name string) bool {
	for _, line := range head.Values("Cookie") {
		if _, ok := httpx.CookieLookup(line, name); ok {
			return true
		}
	}
	return false
}

// DropCookie takes the cookies of that name away. The others stay as they came, and a field
// of which nothing is left goes.
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
	head.Set("Cookie", kept[0]) // in its place among the others
	for _, line := range kept[1:] {
		head.Add("Cookie", line)
	}
}

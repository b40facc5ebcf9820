package template

import (
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// CutPrefix removes a prefix of whole segments from a normalised path: "/shop/cart" without "/shop" is "/cart", "/shop"
// is "", and "/shop/" is "/". A slash at the end of the prefix does not matter. ok is false if the path does not have
// the prefix.
func CutPrefix(path, prefix string) (rest string, ok bool) {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok = strings.CutPrefix(path, prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// ReplacePrefix replaces the prefix of a normalised path, as the Gateway API's ReplacePrefixMatch does. Slashes at the
// end of prefix and replacement do not matter, and an empty result becomes "/". A path without the prefix stays as it
// is.
func ReplacePrefix(path, prefix, replacement string) string {
	rest, ok := CutPrefix(path, prefix)
	if !ok {
		return path
	}
	if path = strings.TrimSuffix(replacement, "/") + rest; path == "" {
		return "/"
	}
	return path
}

// Current returns the normalised path of u. It may differ from what the client sent if an earlier rewrite changed it.
func Current(u *url.URL) (string, error) { return normal(u.EscapedPath()) }

// Set makes path, which must be normalised, the path of u.
func Set(u *url.URL, path string) {
	u.Path, u.RawPath, u.Opaque = httpx.Unescape(path), path, ""
}

// Normal normalises a path that was made of pieces, or refuses it with a *fault.Fault of kind AmbiguousPath.
func Normal(path string) (string, error) { return normal(path) }

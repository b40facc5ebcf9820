package template

import (
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

// CutPrefix takes a prefix of whole segments off a normalised path: of
// "/shop/cart" without "/shop" is left "/cart", of "/shop" nothing, and of
// "/shop/" a "/". A slash at the prefix's end does not count. It tells whether
// the path had the prefix.
func CutPrefix(path, prefix string) (rest string, ok bool) {
	prefix = strings.TrimSuffix(prefix, "/")
	rest, ok = strings.CutPrefix(path, prefix)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// ReplacePrefix puts replacement where a normalised path has a prefix, as the
// Gateway API's ReplacePrefixMatch does: slashes at the end of either do not
// count, and nothing at all becomes "/". A path without the prefix stays as it is.
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

// Current gives the path that r's URL stands for now, normalised; an earlier
// rewrite may have changed what the client sent.
func Current(u *url.URL) (string, error) { return normal(u.EscapedPath()) }

// Set makes path, which is normalised, the path of u.
func Set(u *url.URL, path string) {
	u.Path, u.RawPath, u.Opaque = httpx.Unescape(path), path, ""
}

// Normal brings a path that was made of pieces into its one form, or refuses it
// with a *fault.Fault of kind AmbiguousPath.
func Normal(path string) (string, error) { return normal(path) }

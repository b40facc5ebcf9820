//go:build poison

package poison

import "net/url"

// On tells that memory that is used again is scrambled.
const On = true

// stale is found by who has kept a text.
const stale = "this was kept when it was somebody else's already"

// Bytes scrambles b.
func Bytes(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

// Lines scrambles the texts of a head.
func Lines(lines []string) {
	for i := range lines {
		lines[i] = stale
	}
}

// URL scrambles u.
func URL(u *url.URL) { *u = url.URL{Scheme: stale, Host: stale, Path: stale, RawQuery: stale} }

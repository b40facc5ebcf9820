//go:build poison

package http1

import "net/url"

// Built with the tag poison, memory that is used again holds other things than it did as
// soon as it may be: who has kept some of it is found out.
const stale = "this was kept after the handler returned"

func scramble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func scrambleLines(lines []string) {
	for i := range lines {
		lines[i] = stale
	}
}

// newReply gives a writer that was nobody's: one that was kept stays given.
func (*turn) newReply() *response { return new(response) }

func scrambleURL(u *url.URL) { *u = url.URL{Scheme: stale, Host: stale, Path: stale, RawQuery: stale} }

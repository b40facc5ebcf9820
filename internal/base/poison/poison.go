//go:build poison

package poison

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// On means that reused memory is scrambled. In this build, only texts are reused: code that has kept anything else must
// not find data of another request in it.
const On = true

// stale is what code finds that has kept a text.
const stale = "this was kept when it was somebody else's already"

// Text returns what replaces a text that is given back.
func Text() string { return stale }

// Bytes scrambles b.
func Bytes(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

// Lines scrambles the texts of a head.
func Lines[text ~string](lines []text) {
	for i := range lines {
		lines[i] = stale
	}
}

// URL scrambles u.
func URL(u *url.URL) { *u = url.URL{Scheme: stale, Host: stale, Path: stale, RawQuery: stale} }

// Request scrambles r and gives it a context that has ended.
func Request(r *http.Request) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New(stale))
	*r = *(&http.Request{Method: stale, Host: stale, RequestURI: stale}).WithContext(ctx)
}

// Response scrambles res.
func Response(res *http.Response) { *res = http.Response{Status: stale, StatusCode: -1} }

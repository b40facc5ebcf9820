//go:build poison

package poison

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// On tells that memory that is used again is scrambled. What is more than texts is not used again then: who has kept it must
// not find what belongs to another request.
const On = true

// stale is found by who has kept a text.
const stale = "this was kept when it was somebody else's already"

// Text is what stands in the place of a text that was somebody's.
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

// Request scrambles r, whose context has ended.
func Request(r *http.Request) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New(stale))
	*r = *(&http.Request{Method: stale, Host: stale, RequestURI: stale}).WithContext(ctx)
}

// Response scrambles res.
func Response(res *http.Response) { *res = http.Response{Status: stale, StatusCode: -1} }

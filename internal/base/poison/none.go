//go:build !poison

package poison

import (
	"net/http"
	"net/url"
)

// On means that reused memory is scrambled.
const On = false

// Text is empty.
func Text() string { return "" }

// Bytes does nothing.
func Bytes([]byte) {}

// Lines does nothing: of the lines that are kept, other code holds only the texts.
func Lines[text ~string]([]text) {}

// URL empties u.
func URL(u *url.URL) { *u = url.URL{} }

// Request empties r.
func Request(r *http.Request) { *r = http.Request{} }

// Response empties res.
func Response(res *http.Response) { *res = http.Response{} }

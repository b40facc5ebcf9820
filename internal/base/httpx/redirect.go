package httpx

import "net/http"

// Unfollowed is the CheckRedirect of clients that ask in the gateway's own name: an answer that
// leads elsewhere is the answer. What such a request shows is for whom the config names, and
// net/http would take most of it along.
func Unfollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

package httpx

import "net/http"

// Unfollowed is the CheckRedirect of clients that send requests in the gateway's own name: a redirect is returned as
// the response. Such a request carries credentials meant for the server that the config names, and net/http would send
// most of them along to another one.
func Unfollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

package exchange

import "net/http"

// Entrance serves requests that are made within another one, such as the parts of a batch, as if the client had sent
// them to the same socket: by the current routes, with all their guards. Several goroutines may use it.
type Entrance interface {
	// Enter serves r. Like every handler, it panics with http.ErrAbortHandler if the response is cut off after its
	// head.
	Enter(w http.ResponseWriter, r *http.Request, within Within)
}

// Within is what such a request takes from the request that it is made in.
type Within struct {
	Of *Exchange // only read
	ID string    // the request's own id
	// Group is the group whose routes it may use; "" is for routes of no group.
	Group string
}

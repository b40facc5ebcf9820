package exchange

import "net/http"

// Entrance serves requests that are made within another one, as the parts of a batch
// are, as if its client had sent them to the same socket: by the routes of this
// moment, with all their guards. It may be used by several goroutines.
type Entrance interface {
	// Enter serves r. It panics with http.ErrAbortHandler where the response is cut off
	// after its head, as every handler does.
	Enter(w http.ResponseWriter, r *http.Request, within Within)
}

// Within is what such a request has of the one that it is made in.
type Within struct {
	Of *Exchange // only read
	ID string    // the request's own id
	// Group is the group whose routes there are for it; "" is that of none.
	Group string
}

package exchange

import "net/http"

// Entrance serves requests that are made within another one, such as the parts of a batch, as if the other request's
// client had sent them to the same socket: by the current routes, with all their guards. It may be used by several
// goroutines.
type Entrance interface {
	// Enter serves r. It panics with http.ErrAbortHandler if the response is cut off after its head, as every handler
	// does.
	Enter(w http.ResponseWriter, r *http.Request, within Within)
}

// Within is what such a request takes from the request that it is made in.
type Within struct {
	Of *Exchange // read only
	ID string    // the request's own id
	// Group is the group whose routes the request can reach; "" means the routes of no group.
	Group string
}

package exchange

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Exchange is what Weir knows about one request beyond the request itself. It is passed to Begin when the head has been
// read, and lives until End. One goroutine uses it at a time.
type Exchange struct {
	ID       string // of the request, if that came with one or it was made already; RequestID returns it in any case
	Start    time.Time
	Listener string // the name of the listener that was chosen
	Client   Client
	// Host is the request's host as routing sees it: lower case, no port, no
	// trailing dot; IPv6 without brackets.
	Host string
	// Path is the one normalised path, still percent-encoded where necessary. It is what is matched, authorized and
	// forwarded (see httpx.NormalizePath).
	Path string
	// Query is the raw query without '?'.
	Query string

	Route  string       // the name of the matched route, "" before the match
	Origin fmt.Stringer // where that route was written: file:line or object; nil before the match
	Params Params       // what the route's pattern captured, decoded

	// Identity is the authenticated caller, nil while nobody is authenticated.
	Identity *Identity

	// Backend and Attempts are written by the backend side, for the log and explain.
	Backend  string
	Attempts []Attempt
	// Job is the id of the job that the request became or is about; "" for none.
	Job string
	// Received is how many bytes were read of the request's body and, after an upgrade, from the client's connection.
	// It is complete when the done hooks run.
	Received int64
	// Trace is the exchange's part of a distributed trace, nil without tracing. It may be used by several goroutines.
	Trace Trace
	// Event means that the request's body is passed to a function as it is, and is the key to use; "" for a request
	// that is to be turned into an event.
	Event string
	// Fault is the problem that the client was answered with, nil if there was none.
	Fault *fault.Fault

	// Connection is the client's connection, nil if unknown.
	Connection *Connection
	// Server is what serves that connection, nil if unknown.
	Server Server

	// Entrance serves requests within this one, nil if that is not possible.
	Entrance Entrance

	// EncodedSlash means that Path contains something that some servers read as a slash or as the end of a segment (see
	// httpx.Path). A route must opt in to that.
	EncodedSlash bool
	// Verbose lets problems tell the client details that are otherwise for operators only.
	Verbose bool
	// Routine means that the exchange is not worth reporting unless it failed, such as a heartbeat.
	Routine bool
	// Inner means that the request was made within another one, by an Entrance.
	Inner bool

	alone, forgone bool // see Alone and Forgo
	again          bool // its memory was that of another exchange before, see RequestContext.Leave
	idsLeft        uint8

	// Informational passes a 1xx response on to the client at once. It is nil if the client or its protocol cannot take
	// one.
	Informational Informer

	idText *idText   // the line of ID, if both were made together
	idRoom *idRoom   // of which nothing else has the first idsLeft
	onHead headHook  // the first one to run; most exchanges have at most one
	onDone *doneHook // as onHead

	writer Writer     // the one that Begin returns
	first  [1]Attempt // room for Attempts: most exchanges have one
}

// Server is what serves a client's connection. It is safe for concurrent use.
type Server interface {
	// Leaving reports whether responses over HTTP/1.x should announce that their connection ends.
	Leaving() bool
	// Ending returns a context that is done when the server begins to end: requests under way may finish, and anything
	// that would go on for ever should come to an end.
	Ending() context.Context
}

// Informer passes a 1xx response (not 101) on.
type Informer interface{ Inform(status int, head Head) }

// InformerFunc is a function that implements Informer.
type InformerFunc func(status int, head Head)

// Inform implements Informer.
func (f InformerFunc) Inform(status int, head Head) { f(status, head) }

// Client is the sender of the request, after taking into account what trusted proxies say.
type Client struct {
	Peer    netip.AddrPort // the other end of the connection, 4-in-6 unmapped; invalid on a Unix socket
	IP      netip.Addr     // the client's own address; Peer's, unless a trusted proxy says otherwise
	Scheme  string         // "http" or "https", as the client used it
	Host    string         // the authority as the client sent it, port included
	Trusted bool           // Peer is a trusted proxy, so its forwarding header fields counted
}

// subscriberBits is the number of leading bits of an IPv6 address that identify one subscriber (RFC 6177).
const subscriberBits = 64

// Subscriber returns the address by which a client is counted: the IPv4 address, or the first 64 bits of an IPv6
// address. Counting whole IPv6 addresses would be useless, as each subscriber has so many. It is invalid on a Unix
// socket.
func (c Client) Subscriber() netip.Addr {
	ip := c.IP.Unmap()
	if !ip.Is6() {
		return ip
	}
	of, _ := ip.Prefix(subscriberBits) // no error: the address has that many bits
	return of.Addr()
}

// Identity is an authenticated caller. It is immutable once set.
type Identity struct {
	Method  string // the name of the auth that recognised the caller
	Issuer  string
	Subject string
	Scopes  []string
	Claims  *Claims
}

// ID combines issuer and subject in a form that no other pair can have.
func (i *Identity) ID() string { return strconv.Itoa(len(i.Issuer)) + ":" + i.Issuer + "#" + i.Subject }

// Attempt is one try to get an answer from a backend.
type Attempt struct {
	Step     string // of a composition; "" if the backend is the exchange's own
	Endpoint string // address or instance
	Status   int    // 0 if there was no response head
	Err      error  // nil if there was one
	Took     time.Duration
	// Cold is how long the instance took to start if this was its first request, and 0 otherwise.
	Cold time.Duration
}

// Outcome is passed to done hooks.
type Outcome struct {
	Status  int   // the final status; 499 if the client left before the head
	Written int64 // bytes of the response body
	Err     error // why the response ended early, nil if it ended well
	Took    time.Duration
}

// headHook and doneHook are queued as linked lists.
type headHook struct {
	op     func(status int, head Head) // nil: there is none
	next   *headHook
	faults bool // run it only for problems
}

type doneHook struct {
	f    func(Outcome)
	next *doneHook
}

// OnHead queues op for the moment when the final response head is written. Operations run in the order in which they
// were queued, and are passed the status. After that moment OnHead has no effect.
func (x *Exchange) OnHead(op func(status int, head Head)) { x.queue(headHook{op: op}) }

// OnFault is OnHead, but op runs only if the exchange is answered with a problem.
func (x *Exchange) OnFault(op func(status int, head Head)) { x.queue(headHook{op: op, faults: true}) }

func (x *Exchange) queue(hook headHook) {
	if x.onHead.op == nil {
		x.onHead = hook
		return
	}
	last := &x.onHead
	for last.next != nil {
		last = last.next
	}
	another := hook // only this one needs an allocation
	last.next = &another
}

// OnDone queues f for the end of the exchange; the last one queued runs first.
func (x *Exchange) OnDone(f func(Outcome)) { x.onDone = &doneHook{f, x.onDone} }

// applyHead runs the queued head operations once.
func (x *Exchange) applyHead(status int, head Head) {
	first := x.onHead
	x.onHead = headHook{}
	for hook := &first; hook != nil; hook = hook.next {
		if hook.op != nil && (!hook.faults || x.Fault != nil) {
			hook.op(status, head)
		}
	}
}

// End runs the done hooks once.
func (x *Exchange) End(o Outcome) {
	hook := x.onDone
	x.onDone = nil
	for ; hook != nil; hook = hook.next {
		hook.f(o)
	}
}

// Tried records an attempt. Code that sends a request must call it before it sends that request again: the proxy
// concludes from no more than one attempt that nothing else reads the request's content (see package proxy).
func (x *Exchange) Tried(a Attempt) {
	if x.Attempts == nil {
		x.Attempts = x.first[:0]
	}
	x.Attempts = append(x.Attempts, a)
}

// isCopy drops from x, a copy, what only the original may have: hooks, the way to send 1xx responses, and memory that
// both would use.
func (x *Exchange) isCopy() {
	x.onHead, x.onDone, x.Informational = headHook{}, nil, nil
	x.again, x.idRoom, x.idsLeft = false, nil, 0
}

// Detach returns a request for work that outlives the handler. It has its own copy of head and exchange, is not
// cancelled by the client, and has no hooks and no body (the caller sets one that it owns).
func Detach(r *http.Request) *http.Request {
	Of(r).RequestID() // both have the same
	x := *Of(r)
	_ = r.Context().Done() // the detached context is below this one; a context whose Done was called is never reused
	x.isCopy()
	x.Attempts = nil
	x.Params = x.Params.clone()
	ctx := context.WithValue(context.WithoutCancel(r.Context()), contextKey{}, &x)
	detached := r.Clone(ctx)
	unshare(detached, r)
	detached.Body = http.NoBody
	detached.ContentLength = 0
	return detached
}

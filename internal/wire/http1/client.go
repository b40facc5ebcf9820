package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// ClientOptions are what a Client is made of. All but Endpoint must be set.
type ClientOptions struct {
	// Dial makes a connection to the host of a request's URL, whatever that is called. What
	// it fails with is passed on, as a *exchange.SendError if it is one.
	Dial func(ctx context.Context, host string) (net.Conn, error)
	// Endpoint is what errors call who is behind a host; nil: by the host.
	Endpoint func(host string) string
	Idle     time.Duration // how long an unused connection is kept, unless the endpoint says less
	// IdlePerHost is how many unused connections are kept for a host.
	IdlePerHost int
	// Limits bound the head of a response, with the 1xx responses before it.
	Limits Limits
	// ContinueWait is how long a request that expects 100 Continue waits for it.
	ContinueWait time.Duration
}

// Client sends requests over HTTP/1.1, as an http.RoundTripper whose req.URL.Host is what
// Dial is told. It keeps package exchange's rules for backends: errors are
// *exchange.SendError or *fault.Fault, and the request's body is closed in every case.
// The head of a response is of the same kind as that of its request (exchange.Lines).
//
// A request is sent and its response read by the goroutine that calls RoundTrip and then
// reads the body. Only content that may take a while has one of its own. Where the content
// has the method Sever(), a Read of it ends when that is called: its connection is lost.
//
// A response's body also has the methods OnEnd(exchange.Ending), which must be called before
// the body is used, and Late() bool; see package transport. That of a 101 response is an
// io.ReadWriteCloser with CloseWrite() error. Any other is an exchange.Lent, and may be given to
// exchange.Release when it was read to its end or closed: the *http.Response, its head and all that
// was read of them but texts are another request's then. Who does not release has them for as long as
// he likes. A Client is safe for concurrent use.
type Client struct {
	options ClientOptions
	start   time.Time
	rooms   sync.Pool // of *room
	rounds  sync.Pool // of *round
	cutOff  *round    // stands for one whose connection the patrol has closed

	mu      sync.Mutex // guards what follows
	links   map[*link]struct{}
	shelves map[string]*shelf
	latest  *shelf // the one that was asked for last; nil: it is gone
	timer   *time.Timer
	ticking bool          // the patrol comes soon
	asked   time.Duration // when the unused connections were, on the client's clock
}

// ClientKeeps tells whether a Client keeps connections: it asks a socket before it uses that
// again, which not every system can be asked.
const ClientKeeps = asksSockets

// NewClient makes a Client; it opens nothing. It has no end of its own: CloseIdle closes
// what is unused, and what is in use is closed when it has been unused for long enough.
func NewClient(o ClientOptions) *Client {
	c := &Client{options: o, start: time.Now(), cutOff: new(round), links: map[*link]struct{}{}, shelves: map[string]*shelf{}}
	if c.options.Endpoint == nil {
		c.options.Endpoint = func(host string) string { return host }
	}
	c.rooms.New = func() any { return new(room) }
	c.rounds.New = func() any { return newRound(c) }
	return c
}

// RoundTrip sends req and gives the response when its head is there.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	r := c.begin(req)
	if !c.take(r, req.URL.Host) {
		return c.askAnew(r)
	}
	if err := r.run(); err != nil {
		return c.askAgain(r, err)
	}
	return &r.res, nil
}

// askAnew has r ask on a connection that is made for it.
func (c *Client) askAnew(r *round) (*http.Response, error) {
	if err := c.dial(r); err != nil {
		closeContent(r.req)
		return nil, err
	}
	if err := r.run(); err != nil {
		return nil, r.explain(err)
	}
	return &r.res, nil
}

// askAgain asks once more what r, which has failed, has asked on a kept connection, where it may.
func (c *Client) askAgain(r *round, err error) (*http.Response, error) {
	if !r.mayRepeat() {
		return nil, r.explain(err)
	}
	if x := exchange.From(r.ctx); x != nil {
		x.Tried(exchange.Attempt{Endpoint: c.options.Endpoint(r.req.URL.Host), Err: r.sendError(errReconnected)})
	}
	return c.askAnew(c.begin(r.req))
}

// errReconnected is told of the first of two attempts.
var errReconnected = errors.New("the kept connection was closed; the request is sent once more")

// another puts r, of which nothing was sent, on another link: its own was left by its other side while it was not used.
func (r *round) another() error {
	r.link.close()
	if r.client.take(r, r.link.host) {
		return nil
	}
	r.reused = false
	return r.client.dial(r)
}

// dial makes a connection for r. An end of the request's own is no fault of the endpoint's.
func (c *Client) dial(r *round) error {
	host := r.req.URL.Host
	conn, err := c.options.Dial(r.ctx, host)
	if err == nil {
		c.add(newLink(c, host, conn), r)
		return nil
	}
	if r.ctx.Err() != nil {
		err = context.Cause(r.ctx)
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		return send
	}
	return &exchange.SendError{Endpoint: c.options.Endpoint(host), Err: err}
}

// mayRepeat tells whether a round that has failed is one that every client may begin again
// on another connection: a kept one was closed before any byte of an answer, and either it
// took nothing or the method is safe (RFC 9110 section 9.2.2). Content is not sent twice here.
func (r *round) mayRepeat() bool {
	if !r.reused || r.answered || r.ctx.Err() != nil || hasBody(r.req) {
		return false
	}
	return r.sent() == exchange.SentNothing || httpx.IsSafe(r.req.Method) || exchange.RequestHead(r.req).Get("Idempotency-Key") != ""
}

// hasBody tells whether a request has content, or may have.
func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeContent(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // it is given up, or was read
	}
}

// CloseIdle closes the connections that no request uses.
func (c *Client) CloseIdle() {
	c.mu.Lock()
	var unused []*link
	for _, s := range c.shelves {
		unused = append(unused, s.links...)
		s.links = nil
	}
	c.mu.Unlock()
	for _, l := range unused {
		l.close()
	}
}

// now is the client's clock: time since it was made.
func (c *Client) now() time.Duration { return time.Since(c.start) }

// onlyEOF tells of an error that is io.EOF itself, as io.Reader gives it.
func onlyEOF(err error) bool { return err == io.EOF } //nolint:errorlint // io.Reader gives it bare

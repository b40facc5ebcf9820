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

// ClientOptions configure a Client. All but Endpoint must be set.
type ClientOptions struct {
	// Dial makes a connection to the host of a request's URL, which the Client does not interpret. Its error is passed
	// on: as it is if it is a *exchange.SendError, and wrapped in one otherwise.
	Dial func(ctx context.Context, host string) (net.Conn, error)
	// Endpoint returns what errors call the endpoint behind a host; nil: the host itself.
	Endpoint func(host string) string
	Idle     time.Duration // how long an unused connection is kept, unless the endpoint asks for less
	// IdlePerHost is how many unused connections are kept for a host.
	IdlePerHost int
	// Limits bound the head of a response, including the 1xx responses before it.
	Limits Limits
	// ContinueWait is how long a request that expects 100 Continue waits for that response.
	ContinueWait time.Duration
}

// Client sends requests over HTTP/1.1. It is an http.RoundTripper that passes req.URL.Host to Dial. It keeps package
// exchange's rules for backends: errors are *exchange.SendError or *fault.Fault, and the request's body is always
// closed. The head of a response is of the same kind as that of its request (exchange.Lines).
//
// The goroutine that calls RoundTrip and then reads the body sends the request and reads the response. Only content
// that may take a while has a goroutine of its own. If the content has the method Sever(), the Client calls it when the
// connection is lost; it must end a Read of the content.
//
// A response's body also has the methods OnEnd(exchange.Ending), which must be called before the body is used, and
// Late() bool; see package transport. The body of a 101 response is an io.ReadWriteCloser with CloseWrite() error. Any
// other body is an exchange.Lent, and may be passed to exchange.Release once it was read to its end or closed. Another
// request then reuses the *http.Response, its head and everything read from them, except strings. A caller that does
// not release them may keep them as long as it likes. A Client is safe for concurrent use.
type Client struct {
	options ClientOptions
	start   time.Time
	rooms   sync.Pool // of *room
	rounds  sync.Pool // of *round
	cutOff  *round    // stands for a round whose connection the patrol closes

	mu      sync.Mutex // guards what follows
	links   map[*link]struct{}
	shelves map[string]*shelf
	latest  *shelf // the shelf that was asked for last; nil: it is gone
	timer   *time.Timer
	ticking bool          // the patrol runs soon
	asked   time.Duration // when unused connections were last checked, on the client's clock
}

// ClientKeeps tells whether a Client keeps connections. It asks a socket whether it is still usable before each reuse,
// which not every system supports.
const ClientKeeps = asksSockets

// NewClient makes a Client; it opens nothing. A Client needs no closing: CloseIdle closes unused connections, and
// connections in use are closed once they have been unused for long enough.
func NewClient(o ClientOptions) *Client {
	c := &Client{options: o, start: time.Now(), cutOff: new(round), links: map[*link]struct{}{}, shelves: map[string]*shelf{}}
	if c.options.Endpoint == nil {
		c.options.Endpoint = func(host string) string { return host }
	}
	c.rooms.New = func() any { return new(room) }
	c.rounds.New = func() any { return newRound(c) }
	return c
}

// RoundTrip sends req and returns the response when its head has arrived.
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

// askAnew sends the request of r on a new connection.
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

// askAgain sends the request of r, which has failed on a kept connection, once more if it may be repeated.
func (c *Client) askAgain(r *round, err error) (*http.Response, error) {
	if !r.mayRepeat() {
		return nil, r.explain(err)
	}
	if x := exchange.From(r.ctx); x != nil {
		x.Tried(exchange.Attempt{Endpoint: c.options.Endpoint(r.req.URL.Host), Err: r.sendError(errReconnected)})
	}
	return c.askAnew(c.begin(r.req))
}

// errReconnected is the error that is reported for the first of two attempts.
var errReconnected = errors.New("the kept connection was closed; the request is sent once more")

// another moves r, of which nothing was sent, to another link: while its own was unused, the endpoint closed it or sent
// something on it.
func (r *round) another() error {
	r.link.close()
	if r.client.take(r, r.link.host) {
		return nil
	}
	r.reused = false
	return r.client.dial(r)
}

// dial makes a connection for r. If the request's own context has ended, the error is that context's cause, because the
// endpoint is not at fault.
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

// mayRepeat reports whether a round that has failed may be repeated on another connection, as every client may: a kept
// connection was closed before any byte of an answer, and the endpoint got nothing, the method is safe (RFC 9110
// section 9.2.2), or the request has an Idempotency-Key. Content is not sent twice here.
func (r *round) mayRepeat() bool {
	if !r.reused || r.answered || r.ctx.Err() != nil || hasBody(r.req) {
		return false
	}
	return r.sent() == exchange.SentNothing || httpx.IsSafe(r.req.Method) || exchange.RequestHead(r.req).Get("Idempotency-Key") != ""
}

// hasBody reports whether a request has content, or may have.
func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func closeContent(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // the content is given up, or was read
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

// now returns the time on the client's clock: time since the client was made.
func (c *Client) now() time.Duration { return time.Since(c.start) }

// onlyEOF reports whether err is io.EOF itself, as an io.Reader returns it.
func onlyEOF(err error) bool { return err == io.EOF } //nolint:errorlint // io.Reader gives it bare

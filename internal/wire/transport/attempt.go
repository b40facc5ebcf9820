package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// innerTries is how often net/http may get a connection for one request.
const innerTries = 2

var (
	errReconnected  = errors.New("the kept connection was closed; the request is sent once more")
	errTooManyTries = errors.New("the backend refused the request twice")
)

// attempt follows one request through net/http by its trace hooks.
type attempt struct {
	host     string // of the URL: the endpoint's address, or what Host returned for it
	multi    bool
	once     bool // a request that was lost on its way may not be sent again
	exchange *exchange.Exchange
	cancel   context.CancelCauseFunc // nil over HTTP/1.1

	// The fields below are written by the goroutine that calls RoundTrip.
	conn   *countedConn
	before int64 // conn.wrote when the request got it
	tries  int
	reused bool
	use    uint64 // number of the request on the connection, over HTTP/1.1

	content *content // nil: all of it is in memory, or there is none
	course  *course  // nil over HTTP/1.1, and if there is no content

	// The fields below are written by the connection's goroutines.
	wroteHead, wroteAll, answered atomic.Bool

	hints *exchange.Hints // nil if the client takes none
}

func (t *Transport) newAttempt(req *http.Request) *attempt {
	x := exchange.From(req.Context())
	return &attempt{host: req.URL.Host, multi: t.multi, once: !httpx.IsIdempotent(req.Method), exchange: x, hints: x.Hints(t.inner.MaxResponseHeaderBytes)}
}

// request returns req with the hooks in its context.
func (a *attempt) request(req *http.Request) *http.Request {
	trace := &httptrace.ClientTrace{GotConn: a.gotConn, WroteRequest: a.wroteRequest, GotFirstResponseByte: a.gotFirstByte}
	ctx := req.Context()
	if a.multi {
		ctx, a.cancel = context.WithCancelCause(ctx)
		trace.WroteHeaders = func() { a.wroteHead.Store(true) }
	}
	if a.hints != nil {
		trace.Got1xxResponse = a.hints.Pass
	}
	ctx = httptrace.WithClientTrace(ctx, trace)
	if a.multi && a.content != nil {
		a.course, a.cancel = courseOf(ctx, a.cancel)
		ctx = a.course
	}
	out := req.WithContext(ctx)
	if a.content != nil {
		out.Body = a.content
	}
	out.GetBody = nil // whether content is sent again is decided elsewhere
	return out
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.tries++
	if a.tries > 1 && a.exchange != nil {
		a.exchange.Tried(exchange.Attempt{Endpoint: endpointOf(a.host).endpoint, Err: a.sendError(errReconnected)})
	}
	if a.tries > innerTries && a.cancel != nil {
		a.cancel(errTooManyTries)
	}
	a.wroteHead.Store(false)
	a.wroteAll.Store(false)
	a.answered.Store(false)
	a.reused = info.Reused
	if a.conn = counted(info); a.conn != nil {
		a.before = a.conn.wrote.Load()
		if !a.multi {
			a.conn.looks.Store(a.once && info.Reused)
			a.use = a.conn.rest.taken()
			if a.content != nil {
				a.content.follow(a.conn)
			}
		}
	}
}

func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	a.wroteAll.Store(info.Err == nil)
}

func (a *attempt) gotFirstByte() { a.answered.Store(true) }

// failed returns the error of an attempt that got no response head. If a response had begun and nothing broke, the
// response was not HTTP.
func (a *attempt) failed(err error) error {
	if a.cancel != nil {
		a.cancel(nil)
	}
	if a.content != nil {
		if lost := a.content.lost.Load(); lost != nil {
			err = *lost // and not the error of the Read that this ended
		}
	}
	e := a.sendError(err)
	if a.hints.TooLong() || a.answered.Load() && !a.multi && !broken(err) && !a.ended() {
		return fault.BackendInvalid.New("", fault.Cause(e))
	}
	return e
}

// ended reports whether the connection ended before the head did: a truncated line looks like one that is not HTTP.
func (a *attempt) ended() bool { return a.conn != nil && a.conn.ended.Load() }

// broken reports whether err is about the connection or the context rather than about what was read.
func broken(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (a *attempt) sendError(err error) *exchange.SendError {
	e := &exchange.SendError{
		Endpoint: endpointOf(a.host).endpoint,
		Sent:     a.sent(),
		Reused:   a.reused,
		GoAway:   a.multi && unprocessed(err),
		Err:      err,
	}
	tellDial(e)
	return e
}

// tellDial records in e why a connection could not be made, if that is the reason for e.
func tellDial(e *exchange.SendError) {
	var dial dialError
	var timeout net.Error
	e.Dial = errors.As(e.Err, &dial)
	e.Refused = isOutOfBounds(e.Err)
	e.Timeout = e.Dial && errors.As(e.Err, &timeout) && timeout.Timeout()
}

// isOutOfBounds reports whether only the backend's bounds kept a connection from being made. If an endpoint has two
// ways, a way that failed for another reason may have failed only this time.
func isOutOfBounds(err error) bool {
	type joined interface {
		error
		Unwrap() []error
	}
	if both, ok := errors.AsType[joined](err); ok {
		return !slices.ContainsFunc(both.Unwrap(), func(one error) bool { return !isOutOfBounds(one) })
	}
	_, refused := errors.AsType[*egress.RefusedError](err)
	return refused
}

// sent returns how much the endpoint may have seen. A connection over HTTP/1.1 belongs to the request alone, so its
// byte count decides; over HTTP/2 the hooks do.
func (a *attempt) sent() exchange.Sent {
	switch {
	case a.conn == nil:
		return exchange.SentNothing
	case !a.multi && a.conn.wrote.Load() == a.before:
		return exchange.SentNothing
	case a.wroteAll.Load():
		return exchange.SentAll
	case a.multi && !a.wroteHead.Load():
		return exchange.SentNothing
	default:
		return exchange.SentPartly
	}
}

// unprocessed recognises the errors with which HTTP/2 promises that a stream was not acted on: a GOAWAY that does not
// cover it and REFUSED_STREAM (RFC 9113 section 8.7). net/http has no types for them.
func unprocessed(err error) bool {
	text := err.Error()
	for _, promise := range []string{
		"Server's graceful shutdown GOAWAY",
		"Transport received GOAWAY from server",
		"REFUSED_STREAM",
		"client conn not usable",
	} {
		if strings.Contains(text, promise) {
			return true
		}
	}
	return false
}

// body wraps the response's body. idle is how long the pool would keep the connection.
func (a *attempt) body(res *http.Response, idle time.Duration) io.ReadCloser {
	b := &body{ReadCloser: res.Body, attempt: a, rest: -1, late: res.StatusCode == http.StatusRequestTimeout && res.Close && a.reused && !a.multi}
	if d, said := restOf(res.Header); said && !a.multi && d < idle {
		b.rest = d
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		if duplex, ok := res.Body.(io.ReadWriteCloser); ok {
			return &tunnel{body: b, duplex: duplex}
		}
	}
	return b
}

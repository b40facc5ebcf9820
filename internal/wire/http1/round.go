package http1

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// round is one request and its response. Its memory is reused if the reader of the response says that nobody uses the
// response any more (see answerBody.Release), and not otherwise.
type round struct {
	client *Client
	res    http.Response
	head   exchange.Lines // of res, if that has lines
	bodies []answerBody   // for its next uses
	spare  []byte         // buffer of an inlet, for the next use; nil: one comes from the pool
	course
}

// course is the part of a round that belongs to one use of it.
type course struct {
	link *link
	room *room // nil once the whole response has arrived
	req  *http.Request
	ctx  context.Context //nolint:containedctx // of the request; the patrol looks at it
	feed *feed           // sends the content; nil: it went with the head

	ordered  bool // its heads are lines (exchange.Lines)
	reused   bool // the link has had a request before
	answered bool // bytes of an answer have arrived
	wrote    int64
	before   int64 // what the link had written below TLS before this round
	whole    bool  // the content went with the head, and all of it was sent

	held bool // all of the content has arrived with the response's head

	mu      sync.Mutex // held while the body is read; guards what follows
	framing Framing
	left    int64 // bytes of content still to come, if framing is ByLength
	chunks  Chunks
	rest    time.Duration // how long the link may be unused afterwards
	keeps   bool          // the link may have another request
	late    bool          // see Late
	err     error         // how the body has ended
	onEnd   exchange.Ending
	closed  atomic.Bool
	ended   atomic.Bool // onEnd was called
}

// usualLines is a number of lines that the head of a response seldom exceeds.
const usualLines = 16

func newRound(c *Client) *round { return &round{client: c, head: *exchange.NewLines(usualLines)} }

// begin returns a round for a request.
func (c *Client) begin(req *http.Request) *round {
	r, _ := c.rounds.Get().(*round)
	r.req, r.ctx = req, req.Context()
	return r
}

// run sends the request and reads the response's head. If that fails, it gives everything back.
func (r *round) run() error {
	r.furnish()
	err := r.send()
	if err == nil {
		err = r.receive()
	}
	if err != nil {
		r.giveUp(err)
	}
	return err
}

// giveUp ends a round that got no response.
func (r *round) giveUp(err error) {
	if r.feed != nil {
		r.feed.sever(err)
	}
	r.release(false)
	closeContent(r.req)
}

// release gives back what the round has used. The link is kept if keeps is set and its state allows it.
func (r *round) release(keeps bool) {
	l, used := r.link, r.room
	keeps = keeps && len(used.in.b) == 0 && !l.ended && l.peek.Asks() && (r.feed == nil || r.feed.isDone())
	r.room = nil
	used.empty()
	if keeps && r.client.keep(l, used, r.rest) {
		return
	}
	r.client.rooms.Put(used)
	l.close()
	if r.feed != nil {
		closeContent(r.req) // even if it is still being read
	}
}

// sent returns how much the endpoint may have seen.
func (r *round) sent() exchange.Sent {
	switch {
	case r.whole || r.feed != nil && r.feed.whole.Load():
		return exchange.SentAll
	case r.wrote == 0 && (r.link.tls == nil || r.link.wroteBelow() == r.before):
		return exchange.SentNothing
	default:
		return exchange.SentPartly
	}
}

// sendError returns err with what is known of the attempt.
func (r *round) sendError(err error) *exchange.SendError {
	return &exchange.SendError{Endpoint: r.client.options.Endpoint(r.link.host), Sent: r.sent(), Reused: r.reused, Err: err}
}

// explain returns the error of a round that got no response.
func (r *round) explain(err error) error {
	if dialled, ok := errors.AsType[*exchange.SendError](err); ok {
		return dialled
	}
	e := r.sendError(r.cause(err))
	if _, invalid := errors.AsType[invalidError](e.Err); invalid || errors.Is(e.Err, exchange.ErrHintsTooLong) {
		return fault.BackendInvalid.New("", fault.Cause(e))
	}
	return e
}

// cause returns why the link fails with err: if the client's side has ended the round, the reason for that.
func (r *round) cause(err error) error {
	switch {
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case r.feed != nil && r.feed.failed() != nil:
		return r.feed.failed()
	default:
		return err
	}
}

// invalidError says which rule a response breaks.
type invalidError struct{ reason Reason }

func (e invalidError) Error() string {
	switch e.reason {
	case HeadTooLarge:
		return "the response's head is too large"
	case TooManyFields:
		return "the response has too many fields"
	case TrailerTooLarge:
		return "the response's trailer section is too large"
	default:
		return "the response is not valid: " + e.reason.String()
	}
}

package proxy

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// explain returns the problem that err is. A timeout and the client's own end come first,
// because anything else that failed then is only a consequence.
func (t *passage) explain(ctx context.Context, err error) error {
	var f *fault.Fault
	var send *exchange.SendError
	switch cause := context.Cause(ctx); {
	case t.awaited.Load() && (errors.Is(cause, errIdle) || errors.Is(cause, errTotal)):
		return fault.RequestTimeout.New("", timeUp(cause, err)...)
	case errors.Is(cause, errIdle), errors.Is(cause, errTotal):
		return fault.BackendTimeout.New("", timeUp(cause, err)...)
	case t.body != nil && t.body.failed() != nil:
		return t.explainBody(t.body.failed())
	case t.r.Context().Err() != nil && !t.cut():
		return fault.ClientGone.New("", fault.Cause(err))
	case errors.As(err, &f):
		return err
	case errors.As(err, &send):
		return send.Fault()
	default:
		return err
	}
}

// cut reports whether the backend has ended a wait for the client's body. Over HTTP/1.1
// net/http's server takes that for the client's end.
func (t *passage) cut() bool { return t.body != nil && t.body.cut.Load() }

// timeUp says which timeout fired, and what failed because of it where that says more.
func timeUp(cause, err error) []fault.Option {
	if errors.Is(err, cause) {
		return []fault.Option{fault.Cause(err)}
	}
	return []fault.Option{fault.Internal("%v", cause), fault.Cause(err)}
}

// explainBody returns the problem for an error in reading the client's body.
func (t *passage) explainBody(err error) error {
	var f *fault.Fault
	var network net.Error
	switch {
	case errors.As(err, &f):
		return f
	case t.r.Context().Err() != nil, errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return fault.ClientGone.New("", fault.Cause(err))
	default:
		return fault.MalformedRequest.New("The body could not be read.", fault.Cause(err))
	}
}

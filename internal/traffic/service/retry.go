package service

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
)

// policy is config.Retry in the form that attempts use.
type policy struct {
	attempts int
	statuses []int
	unsent   bool // see config.Retry
}

func newPolicy(r config.Retry) policy {
	return policy{attempts: max(0, r.Attempts), statuses: slices.Clone(r.Statuses), unsent: r.Unsent}
}

// repeatable reports whether a request may be sent again after a backend may have acted on it: its method is idempotent
// (RFC 9110 section 9.2.2), or the client vouches for it with an Idempotency-Key.
func repeatable(req *http.Request) bool {
	return httpx.IsIdempotent(req.Method) || exchange.RequestHead(req).Get("Idempotency-Key") != ""
}

// afterError reports whether another attempt may follow err. If it is certain that no backend acted on the request, any
// method may be sent again.
func (p policy) afterError(ctx context.Context, req *http.Request, err error) bool {
	var send *exchange.SendError
	if !errors.As(err, &send) || ctx.Err() != nil {
		return false
	}
	if isFault(err) {
		return false
	}
	if send.Timeout && !send.Unprocessed() && !slices.Contains(p.statuses, http.StatusGatewayTimeout) {
		return false // a request that has waited for the whole timeout should not wait again, unless the config says so
	}
	return send.Unprocessed() || !p.unsent && repeatable(req)
}

// mostPassed is how many endpoints a request may pass over without using up its retries. It is bounded because, if
// something prevents all connections, each request would otherwise try to connect to every endpoint.
const mostPassed = 10

// unreachable reports whether err means that an endpoint does not take connections.
func unreachable(err error) bool {
	send, ok := errors.AsType[*exchange.SendError](err)
	return ok && send.Unreachable()
}

// passesOver reports whether err means that an endpoint does not take connections, or that it closed a kept connection
// before anything was sent on it.
func passesOver(err error) bool {
	send, ok := errors.AsType[*exchange.SendError](err)
	return unreachable(err) || ok && send.Reused && send.Sent == exchange.SentNothing
}

// listed reports whether a status is one of those that are tried again.
func (p *policy) listed(status int) bool { return slices.Contains(p.statuses, status) }

// afterAnswer reports whether a response counts as a failure that may be tried again.
func (p policy) afterAnswer(ctx context.Context, req *http.Request, res *http.Response) bool {
	return (p.listed(res.StatusCode) || isLate(res)) && !p.unsent && repeatable(req) && ctx.Err() == nil
}

// lateStatus is the status of answers that are Late.
const lateStatus = http.StatusRequestTimeout

// isLate reports whether an answer was meant for a connection on which no request came, and has crossed with a request
// (package transport).
func isLate(res *http.Response) bool {
	b, ok := res.Body.(interface{ Late() bool })
	return ok && res.StatusCode == lateStatus && b.Late()
}

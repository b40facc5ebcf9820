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

// policy is config.Retry made ready.
type policy struct {
	attempts int
	statuses []int
	unsent   bool // see config.Retry
}

func newPolicy(r config.Retry) policy {
	return policy{attempts: max(0, r.Attempts), statuses: slices.Clone(r.Statuses), unsent: r.Unsent}
}

// repeatable tells whether a request may be sent again after a backend may have acted
// on it: its method is idempotent (RFC 9110 section 9.2.2), or the client vouches for it.
func repeatable(req *http.Request) bool {
	return httpx.IsIdempotent(req.Method) || exchange.RequestHead(req).Get("Idempotency-Key") != ""
}

// afterError tells whether err leaves room for another attempt. Where it is sure that
// no backend acted on the request, every method has one.
func (p policy) afterError(ctx context.Context, req *http.Request, err error) bool {
	var send *exchange.SendError
	if !errors.As(err, &send) || ctx.Err() != nil {
		return false
	}
	if isFault(err) {
		return false
	}
	if send.Timeout && !send.Unprocessed() && !slices.Contains(p.statuses, http.StatusGatewayTimeout) {
		return false // who waited for all of the time should not wait for it again, unless the config says so
	}
	return send.Unprocessed() || !p.unsent && repeatable(req)
}

// mostPassed is how many endpoints a request passes over for nothing. It is bounded, as where something else keeps all
// connections from being made each request would want one to everybody.
const mostPassed = 10

// unreachable tells whether err is an endpoint that does not take a connection.
func unreachable(err error) bool {
	send, ok := errors.AsType[*exchange.SendError](err)
	return ok && send.Unreachable()
}

// passesOver tells whether err is an endpoint that does not take a connection, or one that has closed a kept one before
// anything was sent on it.
func passesOver(err error) bool {
	send, ok := errors.AsType[*exchange.SendError](err)
	return unreachable(err) || ok && send.Reused && send.Sent == exchange.SentNothing
}

// listed tells whether a status is one of those that are tried again.
func (p *policy) listed(status int) bool { return slices.Contains(p.statuses, status) }

// afterAnswer tells whether a response counts as a failure that may be tried again.
func (p policy) afterAnswer(ctx context.Context, req *http.Request, res *http.Response) bool {
	return (p.listed(res.StatusCode) || isLate(res)) && !p.unsent && repeatable(req) && ctx.Err() == nil
}

// lateStatus is the one of answers that are Late.
const lateStatus = http.StatusRequestTimeout

// isLate tells of an answer that it was meant for a connection on which no request came, and
// has met one (package transport).
func isLate(res *http.Response) bool {
	b, ok := res.Body.(interface{ Late() bool })
	return ok && res.StatusCode == lateStatus && b.Late()
}

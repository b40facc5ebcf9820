package service

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
)

// An endpoint that has just failed is given some time before it is tried again.
const (
	firstPause = 25 * time.Millisecond
	longPause  = 250 * time.Millisecond
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
func (p policy) afterError(req *http.Request, err error) bool {
	var send *exchange.SendError
	if !errors.As(err, &send) || req.Context().Err() != nil {
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

// afterStatus tells whether a response counts as a failure that may be tried again.
func (p policy) afterStatus(req *http.Request, status int) bool {
	return slices.Contains(p.statuses, status) && !p.unsent && repeatable(req) && req.Context().Err() == nil
}

// pause waits before an endpoint is tried again; n counts its tries, from 1.
func pause(ctx context.Context, n int) error {
	d := min(firstPause<<min(n-1, 10), longPause)
	timer := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // chance decides, not a secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

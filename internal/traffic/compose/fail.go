package compose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

var (
	errTime    = errors.New("it took longer than its timeout")
	errNotText = errors.New("its body is not valid UTF-8")
	errPassed  = errors.New("the response of another step is the answer")
)

// statusError is a response whose status is a failure of the step.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("it answered %d", e.status) }

// panicError is a panic in a call.
type panicError struct{ cause any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.cause) }

// ownError is an error that the composition itself has caused, whatever its kind.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

// ofClient reports whether the client made a step impossible, by a path, query, value or body that cannot be used.
func ofClient(err error) bool {
	var own *ownError
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && !errors.As(err, &own) && f.Status == http.StatusBadRequest &&
		slices.Contains([]string{fault.AmbiguousPath.Code, fault.MalformedRequest.Code, fault.BadParameter.Code}, f.Code)
}

// failure returns what the client is told about a step that has failed. A backend's own problem is passed on, but never
// a problem that blames the client for what the composition has sent.
func (r *run) failure(s *step, err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(&r.ctx) // the client has ended it, or its time is over
	}
	if ofClient(err) {
		return err
	}
	internal := fault.Internal("step %s of %s", s.name, r.name)
	var own *ownError
	var panicked *panicError
	var send *exchange.SendError
	f, isFault := errors.AsType[*fault.Fault](err)
	switch {
	case errors.As(err, &panicked):
		return fault.Unexpected.New("", internal, fault.Cause(err))
	case errors.Is(err, errTime):
		return fault.BackendTimeout.New("", internal, fault.Cause(fmt.Errorf("%w, %v", err, s.timeout)))
	case isFault && !errors.As(err, &own) && tellable(f):
		return f.New(f.Detail, internal, fault.RetryAfter(f.RetryAfter), fault.Cause(err))
	case errors.As(err, &send):
		return send.Fault(internal)
	default:
		return fault.CompositionFailed.New("", internal, fault.Cause(err))
	}
}

// tellable reports whether a problem of a step's backend may be told to the client: a problem of the backend, not one
// about a request that the client has not made.
func tellable(f *fault.Fault) bool {
	return f.Status >= http.StatusInternalServerError || f.Status == http.StatusTooManyRequests
}

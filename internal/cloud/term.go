package cloud

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// errTimeout is the cause of a call's cancellation when its time is over.
var errTimeout = errors.New("the function did not answer in time")

// mostHeld is how many places in pools a call can hold at once.
const mostHeld = 2

// Term is the time limit of one call, and what the call holds until its end. The zero value has not begun. End may be
// called at any time and from any goroutine; all other methods are for the goroutine that makes the call.
type Term struct {
	limit  time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer
	held   [mostHeld]*Pool
	holds  int
	ended  atomic.Bool
}

// Begin begins the term. The context that it returns ends when the limit is over before Met is called, with the term,
// or with ctx. End must be called.
func (t *Term) Begin(ctx context.Context, limit time.Duration) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	t.limit, t.cancel = limit, cancel
	t.timer = time.AfterFunc(limit, func() { cancel(errTimeout) })
	return ctx
}

// Hold notes that the call has a place in a pool, which End releases. A call holds at most two: in the function's own
// pool, and in that of the place it was sent to.
func (t *Term) Hold(p *Pool) {
	t.held[t.holds] = p
	t.holds++
}

// Met says that an answer has arrived, after which the limit no longer applies. It returns an error if the limit was
// over first.
func (t *Term) Met() error {
	if t.ended.Load() || t.timer.Stop() {
		return nil
	}
	t.cancel(errTimeout) // its timer is about to do so
	return errTimeout
}

// End ends the term. Only the first call has an effect.
func (t *Term) End() {
	if t.ended.Swap(true) {
		return
	}
	t.timer.Stop()
	t.cancel(nil)
	for _, p := range t.held[:t.holds] {
		p.Release()
	}
}

// Explain returns the error that the client gets for a call that has failed with err. ctx is the context that Begin has
// made from the client's context. The error is the cause with which the client's context has ended, or a timeout if the
// limit is over, or else err. A timeout does not replace err if err is a fault already, unless that fault only says
// what the call was still waiting for. Platform and name are as operators know them.
func (t *Term) Explain(client, ctx context.Context, err error, platform, name string) error {
	f, isFault := errors.AsType[*fault.Fault](err)
	waiting := isFault && (f.Code == fault.CredentialsMissing.Code || f.Code == fault.FunctionQueueTime.Code)
	switch {
	case client.Err() != nil:
		return context.Cause(client)
	case errors.Is(context.Cause(ctx), errTimeout) && (!isFault || waiting):
		return fault.FunctionTimeout.New("", fault.Internal("no answer of %s within %v", name, t.limit))
	case isFault:
		return err
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		return send.Fault(fault.Internal("%s, for the function %s", platform, name))
	}
	return fault.Unexpected.New("", fault.Cause(err))
}

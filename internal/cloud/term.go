package cloud

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// errTimeout is the cause with which a call is given up.
var errTimeout = errors.New("the function did not answer in time")

// mostHeld is how many places a call has at once.
const mostHeld = 2

// Term is the time that one call has, and what it holds until its end. The zero value has
// not begun. End may be called at any time, by anybody; all else is for who makes the call.
type Term struct {
	limit  time.Duration
	cancel context.CancelCauseFunc
	timer  *time.Timer
	held   [mostHeld]*Pool
	holds  int
	ended  atomic.Bool
}

// Begin begins it: the context ends when the limit is over before Met, with the term, or with
// ctx. End must be called.
func (t *Term) Begin(ctx context.Context, limit time.Duration) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	t.limit, t.cancel = limit, cancel
	t.timer = time.AfterFunc(limit, func() { cancel(errTimeout) })
	return ctx
}

// Hold notes that the call has a place in a pool, which its end gives back: in its own, and in
// that of where it has gone.
func (t *Term) Hold(p *Pool) {
	t.held[t.holds] = p
	t.holds++
}

// Met tells that an answer is there, after which the limit counts no more. The error is that of
// a limit that was over first.
func (t *Term) Met() error {
	if t.ended.Load() || t.timer.Stop() {
		return nil
	}
	t.cancel(errTimeout) // it is about to be
	return errTimeout
}

// End ends it. It does so once.
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

// Explain is what the client is told of err, with which a call has failed whose context ctx was
// given by Begin for the client's: the client's own end as it is, the limit, unless somebody has
// answered before, or err. Platform and name are as operators know them.
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

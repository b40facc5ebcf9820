package compose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
)

// undoTime bounds all calls together that take steps of one request back, for which its client waits.
const undoTime = time.Minute

// undo makes the call ready that takes a step back. It is a step of its own, which waits for no other step: when it is
// called, everything that it reads is complete.
func (b *builder) undo(made *step, s *config.Step) error {
	if s.Undo == nil {
		return nil
	}
	made.undo, made.undoNeedsIt = new(step), s.UndoReadsItself()
	if err := b.step(made.undo, s.Undo); err != nil {
		return err
	}
	made.undo.retry = s.Undo.Tries() // unlike a step's own retry: it may be repeated whatever its method
	made.undo.unwritten = config.UndoStatus
	return nil
}

// act is a call that may have changed something, and can be taken back.
type act struct {
	at, element int
	result      expr.StepResult
	unknown     error // why it is unknown whether it was carried out; nil: it was
}

// acted records a call that has ended, if there is something to take back.
func (r *run) acted(c *call) {
	err := c.err
	if err == nil && c.passes && c.result.Status >= http.StatusBadRequest {
		err = &statusError{c.result.Status} // as if it had not been passed on
	}
	if c.step.undo == nil || err != nil && surelyNot(err) {
		return
	}
	r.acts = append(r.acts, act{c.at, c.element, c.result, err})
}

// surelyNot reports whether a call that has failed has certainly changed nothing: it was not sent, or it was refused. A
// failure of the server may have come after the change.
func surelyNot(err error) bool {
	if status, ok := errors.AsType[*statusError](err); ok {
		return status.status < http.StatusInternalServerError
	}
	send, ok := errors.AsType[*exchange.SendError](err)
	return ok && send.Unprocessed() || ofClient(err)
}

// undo takes back what was done, one call after the other, the latest first, even if the client is gone. It does not
// change the answer. What cannot be taken back is logged, because a person has to look after it.
func (r *run) undo() {
	if len(r.acts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeoutCause(r.lasting, undoTime, errUndoTime)
	defer cancel()
	for _, a := range slices.Backward(r.acts) {
		r.undoing = &a
		r.report(&a, r.takeBack(ctx, &a))
	}
}

var (
	errUndoTime = fmt.Errorf("all that was to be undone took longer than %s", undoTime)
	errUnknown  = errors.New("it may have been carried out, and what it gave is not known")
)

// takeBack makes the call that takes a back.
func (r *run) takeBack(ctx context.Context, a *act) error {
	s := &r.steps[a.at]
	switch {
	case a.unknown != nil && s.undoNeedsIt:
		return fmt.Errorf("%w: %w", errUnknown, a.unknown)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	r.at(a.at, a.element)
	c, err := s.undo.prepare(r)
	if err != nil {
		return err
	}
	c.within.Under(ctx)
	end := r.traceUndo(c, s.name)
	c.perform()
	end(c.err)
	r.exchange.Join(&c.exchange, s.name+"/undo")
	return c.err
}

// report logs the result of an undo.
func (r *run) report(a *act, err error) {
	s := &r.steps[a.at]
	fields := []any{"composition", r.name, "step", s.name, "request_id", r.exchange.RequestID()}
	if a.element != noElement {
		fields = append(fields, "element", a.element)
	}
	if err != nil {
		r.log.Error("a step cannot be undone; what it changed stays", append(fields, "error", err)...)
		return
	}
	r.log.Info("a step was undone, for the composition failed after it", fields...)
}

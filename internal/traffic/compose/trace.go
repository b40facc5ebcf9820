package compose

import (
	"github.com/weir-gateway/weir/internal/base/exchange"
)

// span is a step's part of a trace while the step is under way. Its calls are reported to Trace.
type span struct {
	exchange.Trace

	end func(exchange.Settled)
}

// traced begins the span of a step, if there is a trace.
func (r *run) traced(i int) {
	if trace := r.exchange.Trace; trace != nil {
		below, end := trace.Step(r.steps[i].name, r.name)
		r.states[i].span = &span{below, end}
	}
}

// tells makes a call part of the span of its step.
func (s *span) tells(c *call) {
	if s != nil {
		c.exchange.Trace = s.Trace
	}
}

// untrace ends the span of a step that still has one.
func (st *state) untrace(outcome string, err error) {
	if st.span == nil {
		return
	}
	settled := exchange.Settled{Outcome: outcome, Err: err, Cached: st.given}
	if st.fan != nil {
		settled.Elements = len(st.fan.items)
	}
	st.span.end(settled)
	st.span = nil
}

// untraceAll ends the spans of steps that were never settled.
func (r *run) untraceAll() {
	if r.exchange.Trace == nil {
		return
	}
	for i := range r.states {
		outcome := exchange.StepCancelled
		if r.passed != nil && r.passed.at == i {
			outcome = exchange.StepPassed
		}
		r.states[i].untrace(outcome, nil)
	}
}

// outcome returns what a trace is told about a step that is settled.
func (st *state) outcome() string {
	switch {
	case st.skipped:
		return exchange.StepSkipped
	case st.missed != nil:
		return exchange.StepElse
	}
	return exchange.StepOK
}

// traceUndo begins the span of a call that takes a step back.
func (r *run) traceUndo(c *call, name string) (end func(error)) {
	if r.exchange.Trace == nil {
		return func(error) {}
	}
	below, settled := r.exchange.Trace.Step(name+"/undo", r.name)
	c.exchange.Trace = below
	return func(err error) {
		outcome := exchange.StepOK
		if err != nil {
			outcome = exchange.StepFailed
		}
		settled(exchange.Settled{Outcome: outcome, Err: err})
	}
}

package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/cancel"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
)

// run is one request on its way through the graph. A goroutine uses it while holding mu. Calls that are under way read
// only the fields above mu, and subtract from left.
type run struct {
	*Composition

	r        *http.Request
	exchange *exchange.Exchange
	handed   []exchange.Field // what every step gets of the request: its id, its trace, and its Via, by which a loop ends
	hand     [mostHanded]exchange.Field
	body     any             // the client's body, decoded
	ctx      cancel.Context  // the lifetime of all calls, which ends with the run
	lasting  context.Context //nolint:containedctx // of those that are let finish, so that it is known what to undo; nil where nothing is undone
	left     atomic.Int64    // bytes that bodies may still have: of responses, of their stand-ins, of requests under way

	mu     sync.Mutex
	in     expr.Input
	states []state
	ready  []int         // steps that no longer wait for another step
	begun  []*call       // calls that are yet to be made
	open   int           // calls that have not ended
	idle   chan struct{} // closed when open reaches 0; nil: nothing waits for that

	// Setting either of these ends the run.
	err    error
	passed *call // the call whose response is the answer

	stream *stream // the answer's body, if it is streamed

	acts    []act // what may have to be taken back, in the order in which it was done
	undoing *act  // the act that is being taken back
}

// state is the progress of a step.
type state struct {
	waits   int // the number of steps that it waits for
	done    bool
	result  expr.StepResult
	started time.Time
	took    time.Duration
	skipped bool
	given   bool          // by the cache, at least in part
	missed  error         // the last failure for which its else stands in; nil: none
	span    *span         // in the trace, until the step is settled; nil: there is none
	fan     *fan          // with each
	room    *bytes.Buffer // holds the body of result; nil: the body is elsewhere
}

// fan is a step that is called for each element of a list.
type fan struct {
	items []any
	// bodies are those that wait for the body of an earlier element. All others are in list already, so that no body is
	// held twice.
	bodies map[int]any
	joined int // number of elements in list
	list   jsonx.ListBuilder
	next   int // the element to call next
	open   int // calls under way
}

// got takes the body of an element.
func (f *fan) got(element int, body any) {
	f.bodies[element] = body
	for ; ; f.joined++ {
		body, there := f.bodies[f.joined]
		if !there {
			return
		}
		delete(f.bodies, f.joined)
		value, _ := body.(jsonx.Value) // no body becomes null
		f.list.Add(value)
	}
}

// begin makes the run of r, whose body was read already.
func (c *Composition) begin(r *http.Request, body any) *run {
	n := &run{
		Composition: c, r: r, exchange: exchange.Of(r), body: body,
		states: make([]state, len(c.steps)), ready: make([]int, 0, len(c.steps)), begun: make([]*call, 0, len(c.steps)),
	}
	n.left.Store(c.bodyBytes)
	n.ctx.Under(r.Context())
	if c.undoes {
		n.lasting = context.WithoutCancel(r.Context())
	}
	n.in = expr.Input{Request: r, Steps: n.stepResult}
	if c.readsRequest {
		n.in.RequestBody = func() (any, error) { return n.body, nil }
	}
	n.exchange.RequestID() // from here on it has one, also for steps that run at the same time
	n.exchange.Attempts = slices.Grow(n.exchange.Attempts, len(c.steps))
	n.handed = n.hand[:0]
	head := exchange.RequestHead(r)
	for _, name := range [mostHanded]string{"X-Request-Id", "Traceparent", "Tracestate", "Via"} {
		if value := head.Get(name); value != "" {
			n.handed = append(n.handed, exchange.Field{Name: name, Value: value})
		}
	}
	for i := range c.steps {
		if n.states[i].waits = c.steps[i].needs; n.states[i].waits == 0 {
			n.ready = append(n.ready, i)
		}
	}
	return n
}

// mostHanded is the most fields that begin puts into handed.
const mostHanded = 4

// stepResult returns what expressions find under steps.
func (r *run) stepResult(name string) (expr.StepResult, bool) {
	if r.undoing != nil && r.steps[r.undoing.at].name == name {
		return r.undoing.result, true
	}
	for i := range r.steps {
		if r.steps[i].name == name {
			return r.states[i].result, r.states[i].done
		}
	}
	return expr.StepResult{}, false
}

// all runs every step. When it returns, no call is under way.
func (r *run) all() {
	r.work(r.next(nil))
	r.rest()
	r.ctx.Cancel(nil)
	r.untraceAll()
}

// work makes a call, and then further calls as next returns them, until there is none left for it.
func (r *run) work(c *call) {
	for c != nil {
		c.perform()
		c = r.next(c)
	}
}

// next handles the end of a call (nil when the run begins), and starts the steps that no longer wait. Of the calls to
// be made for them, the caller gets the first, so that most compositions need one goroutine less than they make calls
// at once. Each of the others gets a goroutine.
func (r *run) next(ended *call) (mine *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(ended)
	for i, c := range r.begun {
		if i == 0 {
			mine = c
		} else {
			go r.work(c)
		}
	}
	r.begun = r.begun[:0]
	if r.open == 0 && r.idle != nil {
		close(r.idle)
	}
	return mine
}

// take handles the end of a call, and begins those that follow it. A panic here comes from an expression. It ends the
// run; without that, nothing would end the calls that all waits for.
func (r *run) take(ended *call) {
	defer func() {
		if cause := recover(); cause != nil {
			r.log.Error("panic in a composition", "composition", r.name, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			r.fail(fault.Unexpected.New("", fault.Internal("%s", r.name), fault.Cause(&panicError{cause})))
		}
	}()
	if ended != nil {
		r.open--
		r.exchange.Join(&ended.exchange, ended.step.name)
		r.ended(ended)
	}
	r.advance()
}

// rest waits until no call is under way.
func (r *run) rest() {
	r.mu.Lock()
	if r.open == 0 {
		r.mu.Unlock()
		return
	}
	r.idle = make(chan struct{})
	r.mu.Unlock()
	<-r.idle
}

// over reports whether the answer is decided, whatever else comes.
func (r *run) over() bool { return r.err != nil || r.passed != nil }

// fail ends the run: the calls under way are cancelled.
func (r *run) fail(err error) {
	if !r.over() {
		r.err = err
		r.ctx.Cancel(err)
	}
}

// fails ends the run with the failure of a step, unless the step failed only because the run has ended.
func (r *run) fails(i int, err error) {
	outcome := exchange.StepFailed
	if r.ctx.Err() != nil {
		outcome = exchange.StepCancelled
	}
	r.states[i].untrace(outcome, err)
	r.fail(r.failure(&r.steps[i], err))
}

// advance starts the steps that no longer wait.
func (r *run) advance() {
	for len(r.ready) > 0 && !r.over() {
		i := r.ready[0]
		r.ready = r.ready[1:]
		r.start(i)
	}
}

// start begins a step: it is skipped, called, or called for each element.
func (r *run) start(i int) {
	s, st := &r.steps[i], &r.states[i]
	st.started = time.Now()
	r.traced(i)
	if s.when != nil {
		holds, err := s.when.Bool(&r.in)
		if err != nil {
			r.failed(i, err)
			return
		}
		if !holds {
			r.skip(i)
			return
		}
	}
	if s.each == nil {
		r.launch(i, noElement)
		return
	}
	list, err := s.each.Value(&r.in)
	if err != nil {
		r.failed(i, err)
		return
	}
	items, err := elements(list)
	if err != nil {
		r.failed(i, err)
		return
	}
	st.fan = &fan{items: items, bodies: map[int]any{}}
	r.fanOut(i)
}

// elements returns the elements of a list in the form in which an expression gives it.
func elements(list any) ([]any, error) {
	var items []any
	switch list := list.(type) {
	case []any:
		items = list
	case jsonx.Value:
		if list.Kind() != jsonx.List {
			return nil, fmt.Errorf("each must be a list, this is %s", list.Kind())
		}
		if list.Len() > config.MaxElements {
			return nil, tooMany(list.Len())
		}
		items = make([]any, 0, list.Len())
		for e := range list.Elements() {
			items = append(items, e)
		}
	default:
		return nil, fmt.Errorf("each must be a list")
	}
	if len(items) > config.MaxElements {
		return nil, tooMany(len(items))
	}
	return items, nil
}

func tooMany(n int) error {
	return fmt.Errorf("each has %d elements, and at most %d are called for", n, config.MaxElements)
}

// noElement is the element of a step without each.
const noElement = -1

// launch makes one call; the step is settled when the call ends.
func (r *run) launch(i, element int) {
	s := &r.steps[i]
	r.at(i, element)
	c, err := s.prepare(r)
	if err != nil {
		r.unsent(i, err)
		r.missed(i, element, err)
		return
	}
	c.at, c.element = i, element
	r.states[i].span.tells(c)
	if s.cache != nil && s.cache.give(c) {
		r.given(c)
		return
	}
	if r.left.Add(-int64(len(c.body))) < 0 {
		r.fails(i, errTogether)
		return
	}
	switch {
	case s.undo != nil:
		c.within.Under(r.lasting)
	case i == r.streams:
		c.outlive(r)
	default:
		c.within.Under(&r.ctx)
	}
	r.open++
	if element != noElement {
		r.states[i].fan.open++
	}
	r.begun = append(r.begun, c)
}

// given handles a call that need not be made, because the cache gave its result.
func (r *run) given(c *call) {
	if err := c.charge(); err != nil {
		r.fails(c.at, err)
		return
	}
	r.exchange.Tried(exchange.Attempt{Step: c.step.name, Endpoint: c.whom(), Status: c.result.Status})
	r.states[c.at].given = true
	r.got(c.at, c.element, c.result)
}

// at sets the element that expressions find as item.
func (r *run) at(i, element int) {
	r.in.Item = nil
	if element != noElement {
		r.in.Item = r.states[i].fan.items[element]
	}
}

// fanOut makes those calls of a step with each that may be made now.
func (r *run) fanOut(i int) {
	f := r.states[i].fan
	for f.open < r.steps[i].parallel && f.next < len(f.items) && !r.over() {
		f.next++
		r.launch(i, f.next-1)
	}
	if f.open > 0 || f.next < len(f.items) || r.over() {
		return
	}
	var body any
	if r.steps[i].decodes {
		body = f.list.Value()
	}
	r.settle(i, expr.StepResult{Body: body})
}

// ended handles the end of a call.
func (r *run) ended(c *call) {
	r.left.Add(int64(len(c.body)))
	if c.element != noElement {
		r.states[c.at].fan.open--
	}
	r.acted(c)
	switch {
	case r.over():
		if c.stream != nil {
			_ = c.stream.Close() // it is no longer wanted
		}
		return
	case c.err != nil:
		r.missed(c.at, c.element, c.err)
	case c.passes:
		r.passed = c
		r.ctx.Cancel(errPassed)
		return
	default:
		if c.stream != nil {
			r.takeOver(c)
		}
		r.states[c.at].given = r.states[c.at].given || c.given
		r.states[c.at].room = c.room
		r.got(c.at, c.element, c.result)
	}
	if c.element != noElement {
		r.fanOut(c.at)
	}
}

// got takes the result of a call, or what stands in for it.
func (r *run) got(i, element int, result expr.StepResult) {
	if element == noElement {
		r.settle(i, result)
		return
	}
	r.states[i].fan.got(element, result.Body)
}

// missed handles a call that has failed.
func (r *run) missed(i, element int, err error) {
	s := &r.steps[i]
	if s.otherwise == nil || r.ctx.Err() != nil || ofClient(err) || errors.Is(err, errTogether) {
		r.fails(i, err)
		return
	}
	r.standIn(i, err)
	r.at(i, element)
	if body, ok := r.otherwise(i); ok {
		r.got(i, element, expr.StepResult{Body: body})
	}
}

// otherwise evaluates the else of a step; it returns false if that has ended the run.
func (r *run) otherwise(i int) (any, bool) {
	body, err := r.steps[i].otherwise.Value(&r.in)
	if err == nil && r.left.Add(-int64(len(body.Raw()))) < 0 {
		err = errTogether
	}
	if err != nil {
		r.fails(i, fmt.Errorf("else: %w", err))
	}
	return body, err == nil
}

// unsent records a failure for which no backend was asked.
func (r *run) unsent(i int, err error) {
	r.exchange.Tried(exchange.Attempt{Step: r.steps[i].name, Err: err})
}

// failed handles a step that has failed before any call.
func (r *run) failed(i int, err error) {
	s := &r.steps[i]
	r.unsent(i, err)
	if s.each == nil {
		r.missed(i, noElement, err)
		return
	}
	if s.otherwise == nil || ofClient(err) {
		r.fails(i, err)
		return
	}
	r.standIn(i, err) // else is for elements, and there are none
	r.settle(i, expr.StepResult{Body: []any{}})
}

// standIn notes that a failure is not told to the client.
func (r *run) standIn(i int, err error) {
	r.states[i].missed = err
	r.log.DebugContext(&r.ctx, "a step failed, and its else stands for it",
		"composition", r.name, "step", r.steps[i].name, "request_id", r.exchange.RequestID(), "error", err)
}

// skip settles a step whose when is false.
func (r *run) skip(i int) {
	s := &r.steps[i]
	r.states[i].skipped = true
	var body any
	switch {
	case s.each != nil:
		body = []any{}
	case s.otherwise != nil:
		value, ok := r.otherwise(i)
		if !ok {
			return
		}
		body = value
	}
	r.settle(i, expr.StepResult{Body: body})
}

// settle makes the result of a step available to the steps that wait for it.
func (r *run) settle(i int, result expr.StepResult) {
	st := &r.states[i]
	st.done, st.result, st.took = true, result, time.Since(st.started)
	st.untrace(st.outcome(), st.missed)
	for _, d := range r.steps[i].dependents {
		if r.states[d].waits--; r.states[d].waits == 0 {
			r.ready = append(r.ready, d)
		}
	}
}

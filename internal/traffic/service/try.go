package service

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// view is a service with the settings of a route.
type view struct {
	service *Service
	retry   policy
	head    time.Duration
}

// call is one RoundTrip: a request and its attempts.
type call struct {
	*view

	req      *http.Request
	ctx      context.Context    //nolint:containedctx // of req, whoever has borrowed that
	exchange *exchange.Exchange // nil outside of one
	// now is the pool's clock. Reading it costs as much as choosing an endpoint, so it is read when something that
	// takes time begins or ends, and passed on to everything that happens at the same moment.
	now  int64
	body *replay // nil if the request has none, or can give it again
	// tried holds addresses: an endpoint that was gone and is back in the next list is still the one that has just
	// failed.
	tried []string
	// proves is an ejected endpoint that the next attempt may prove; nil: none.
	proves *endpoint

	hash  uint64 // of the key, once keyed
	leads string // the endpoint name that the client is to be told; "": the client knows it

	attempt *attempt     // the last one
	content *attemptBody // of it, with body

	passed int32 // how many of the tried endpoints were passed over; see passesOver
	paid   int32 // further tries that count
	free   bool  // the last try was passed over: the next counts only at an endpoint that was tried

	keyed, hasKey bool

	open    bool            // the last attempt is under way
	outcome balance.Outcome // of the last attempt, as far as it is known
	counted bool            // by the breaker, which must be told the outcome
	trial   trial           // with counted
}

// RoundTrip sends req to an endpoint, and to another endpoint if that failed and it is safe to do so. The request's
// body is closed in every case.
func (v *view) RoundTrip(req *http.Request) (*http.Response, error) {
	var c call
	c.of(v, req)
	if err := c.enters(); err != nil {
		return nil, c.closing(err)
	}
	res, err := c.run()
	if err != nil {
		return nil, c.closing(err)
	}
	return res, nil
}

// of begins a call.
func (c *call) of(v *view, req *http.Request) {
	c.view, c.req, c.ctx, c.now = v, req, exchange.MakerContext(req), v.service.pool.Now()
	if c.exchange = exchange.From(c.ctx); c.exchange != nil {
		c.exchange.Backend = v.service.name
	}
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		c.hold()
	}
}

// enters counts a request, and admits it unless the breaker of the service is open.
func (c *call) enters() error {
	c.service.budget.request(c.now)
	if c.service.balance.Load().Breaker.Opens() {
		return c.admit()
	}
	return nil
}

// closing closes the request's body if no attempt has done so.
func (c *call) closing(err error) error {
	if c.body != nil {
		c.body.close()
	}
	return err
}

// NamesBackend marks that the exchange is told the name of the service (variant.Named).
func (*view) NamesBackend() {}

// hold makes the request's body replayable for further attempts.
func (c *call) hold() {
	c.body = newReplay(c.req.Body, c.replayLimit(), !c.retry.unsent && repeatable(c.req))
	c.body.trailers = exchange.RequestTrailer(c.req).Names() // the body is unread; at its end they get values
}

func (v *view) replayLimit() int {
	if v.retry.attempts == 0 {
		return 0
	}
	return replayBytes
}

// run makes attempts until one is good enough or no further one may follow.
func (c *call) run() (*http.Response, error) {
	defer c.leave()  // also where an attempt panics
	var failed error // the error of the previous try
	for {
		e, err := c.after(failed)
		if err != nil {
			return nil, err
		}
		res, err := c.try(e)
		if err == nil && !c.repeats(res.StatusCode) || !c.again(res, err) {
			return c.last(res, err)
		}
		c.giveUp(e, res)
		failed = err
	}
}

// repeats reports whether an answer with that status may be rejected in favour of another attempt.
func (c *call) repeats(status int) bool { return status == lateStatus || c.retry.listed(status) }

// giveUp ends an attempt that is followed by another one. Its answer, if any, is discarded.
func (c *call) giveUp(e *endpoint, res *http.Response) {
	if res != nil {
		exchange.Discard(res)
	}
	c.tried = append(c.tried, e.Address)
	c.now = c.service.pool.Now()
}

// last returns the result of the last attempt.
func (c *call) last(res *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, c.explain(err)
	}
	if c.content != nil {
		c.content.keep()
	}
	if c.leads != "" {
		c.stick()
	}
	if c.counted || c.attempt.proves {
		c.attempt.takesOver(c)
	}
	return res, nil
}

// leave ends an attempt that has panicked. It tells the breaker the outcome of the request, unless the attempt does so
// at its end.
func (c *call) leave() {
	if c.open || c.counted {
		c.leaves()
	}
}

func (c *call) leaves() {
	if c.open {
		c.attempt.abandon()
	}
	if c.counted {
		c.conclude()
	}
}

// again reports whether there is another attempt after one that ended with res, whose status repeats, or with err.
func (c *call) again(res *http.Response, err error) bool {
	switch {
	case c.retry.attempts == 0 || c.body != nil && !c.body.replayable():
		return false
	case err != nil && !c.retry.afterError(c.ctx, c.req, err), err == nil && !c.retry.afterAnswer(c.ctx, c.req, res):
		return false
	}
	if c.free = c.passed < mostPassed && err != nil && passesOver(err); c.free {
		c.passed++
		return true
	}
	return c.pays()
}

// pays takes a further try out of the limits of the request and of its service, and reports whether it is allowed.
func (c *call) pays() bool {
	if int(c.paid) >= c.retry.attempts || !c.service.spends() {
		return false
	}
	c.paid++
	return true
}

// after chooses the endpoint to ask; failed is the error of the try before. An endpoint that was already tried is given
// some time first, or less if another endpoint becomes available meanwhile.
func (c *call) after(failed error) (*endpoint, error) {
	before := c.service.set.Load()
	e, err := c.next(before)
	if err != nil || len(c.tried) == 0 {
		return e, err
	}
	n := count(c.tried, e.Address)
	if n == 0 {
		return e, nil
	}
	c.service.pool.Done(&e.state.load)
	if refused(failed) || c.free && !c.pays() { // no pause helps a refused address; a repeated try counts
		return nil, c.explain(failed)
	}
	return c.pause(before, n)
}

// pause waits before an endpoint that has failed n times is asked again, or until there is an endpoint that was not
// tried.
func (c *call) pause(now *set, n int) (*endpoint, error) {
	timer := time.NewTimer(exchange.PauseAfter(n))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return c.nextNow()
		case <-c.ctx.Done():
			return nil, context.Cause(c.ctx)
		case <-now.replaced:
			if now = c.service.set.Load(); now.hasOther(c.tried) {
				return c.nextNow()
			}
		}
	}
}

// hasOther reports whether an endpoint that was not tried may be asked.
func (s *set) hasOther(tried []string) bool {
	return slices.ContainsFunc(s.picker.asked, func(e *endpoint) bool { return !slices.Contains(tried, e.Address) })
}

// refused reports whether err means that an address is outside the backend's bounds.
func refused(err error) bool {
	send, ok := errors.AsType[*exchange.SendError](err)
	return ok && send.Refused
}

func count(tried []string, address string) int {
	n := 0
	for _, t := range tried {
		if t == address {
			n++
		}
	}
	return n
}

// try sends the request once to e, at which pick has counted it, and records what happened.
func (c *call) try(e *endpoint) (*http.Response, error) {
	a := c.begin(e)
	var ended func(exchange.Attempt)
	if c.exchange != nil && c.exchange.Trace != nil {
		ended = c.trace(a.out, e)
	}
	res, err := c.service.transport.RoundTrip(a.out)
	c.now = c.service.pool.Now()
	if err != nil || !a.headSeen() {
		return nil, c.failed(e, res, err, ended)
	}
	c.record(e, res.StatusCode, nil, ended)
	whole := a.follow(res)
	if isPlain(res) && a.sentAfter() >= 0 {
		c.outcome = a.answered(res.StatusCode, c.now, whole)
	} else {
		c.outcome = a.answer(res, nil, c.now)
	}
	c.open = false
	return res, nil
}

// failed ends an attempt that failed with err, or whose response res came too late.
func (c *call) failed(e *endpoint, res *http.Response, err error, ended func(exchange.Attempt)) error {
	if err != nil {
		err = c.attempt.failed(err, e.Address)
	} else {
		err = tooLate(res, e.Address)
	}
	c.record(e, 0, err, ended)
	c.outcome = c.attempt.answer(nil, err, c.now)
	c.open = false
	if c.content != nil {
		c.content.closed.Store(true)
	}
	return err
}

// tooLate gives up an answer that came too late; its context is cancelled.
func tooLate(res *http.Response, address string) error {
	_ = res.Body.Close()
	return &exchange.SendError{Endpoint: address, Sent: exchange.SentAll, Timeout: true, Err: errHeadTimeout}
}

// begin makes the attempt at e, with its request.
func (c *call) begin(e *endpoint) *attempt {
	a := newAttempt(c.ctx, c.head)
	a.service, a.state, a.body = c.service, e.state, c.body
	a.start, a.proves = c.now, c.proves == e
	c.proves, c.outcome = nil, balance.Untold
	c.attempt, c.open = a, true
	if a.borrowed = c.borrows(); !a.borrowed {
		c.copyTo(a)
	}
	a.out.URL.Host = e.host
	if c.body != nil {
		c.carryBody(a)
		return a
	}
	a.sentAtOnce()
	return a
}

// borrows makes the first attempt send the call's own request, and reports whether it does: nothing in the request would
// have to differ but the host of its URL, and nothing else reads it meanwhile.
func (c *call) borrows() bool {
	a := c.attempt
	if len(c.tried) > 0 || c.body != nil || a.limit == 0 || c.req.Host == "" || c.service.balance.Load().Cookie != nil || !exchange.Borrow(&a.bound, c.req) {
		return false
	}
	a.out = c.req
	return true
}

// copyTo gives an attempt a request of its own.
func (c *call) copyTo(a *attempt) {
	if len(c.tried) > 0 {
		_ = c.ctx.Done() // so that a goroutine left over from an earlier attempt finds no other request in its context
	}
	a.out = a.ownRequest(c.ctx, c.req)
	if cookie := c.service.balance.Load().Cookie; cookie != nil {
		cookie.hide(a.out)
	}
	if c.body == nil && len(c.tried) > 0 && c.req.GetBody != nil {
		a.out.Body, _ = c.req.GetBody() // from memory, which does not fail
	}
}

// carryBody gives an attempt a body of its own.
func (c *call) carryBody(a *attempt) {
	a.sentLater()
	c.content = &attemptBody{replay: c.body, sent: a.sent}
	if names := c.body.trailers; len(names) > 0 {
		c.content.trailers = ownTrailers(a.out, c.req, names)
	}
	a.out.Body = c.content
}

// record records an attempt that has just ended.
func (c *call) record(e *endpoint, status int, err error, ended func(exchange.Attempt)) {
	took := time.Duration(c.now - c.attempt.start)
	c.service.meter.Tried(status, err, took, len(c.tried) > 0)
	if c.exchange == nil {
		return
	}
	c.exchange.Tried(exchange.Attempt{Endpoint: e.Address, Status: status, Err: err, Took: took})
	if ended != nil {
		ended(c.exchange.Attempts[len(c.exchange.Attempts)-1])
	}
}

// trace begins the span of one attempt, if there is a trace. The attempt's request then has a head of its own, because
// the request of the attempt before may still be on its way to an endpoint.
func (c *call) trace(out *http.Request, e *endpoint) (ended func(exchange.Attempt)) {
	return c.exchange.Trace.Call(exchange.Call{
		Method: out.Method, Backend: c.service.name, Address: e.Address, URL: "http://" + e.Address + out.URL.EscapedPath(),
		Again: len(c.tried), Head: exchange.OwnHead(out),
	})
}

// ownTrailers gives an attempt trailers of its own, and returns a function that fills them in once req has its
// trailers. The trailers of req are written by the goroutine that reads the end of the body, perhaps on behalf of an
// attempt that is over.
func ownTrailers(out, req *http.Request, names []string) (fill func()) {
	exchange.AnnounceTrailers(out, names)
	return func() {
		trailer := exchange.RequestTrailer(out)
		for _, name := range names {
			trailer.Del(name)
		}
		exchange.CopyAll(trailer, exchange.RequestTrailer(req))
	}
}

// explain turns the error of the last attempt into what the client is told. If the client's own context has ended, or
// that of a caller waiting for it, its cause is passed on unchanged.
func (c *call) explain(err error) error {
	if c.ctx.Err() != nil && !c.body.wasSevered() {
		return context.Cause(c.ctx)
	}
	if c.body != nil {
		if failure := c.body.failed(); failure != nil {
			return failure
		}
	}
	var send *exchange.SendError
	if isFault(err) || !errors.As(err, &send) {
		return err
	}
	if send.Refused {
		c.service.warnRefused(send)
	}
	return send.Fault(fault.Internal("service %s", c.service.name))
}

func isFault(err error) bool {
	var f *fault.Fault
	return errors.As(err, &f)
}

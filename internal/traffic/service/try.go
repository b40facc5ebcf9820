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
	exchange *exchange.Exchange // nil outside of one
	// now is the pool's clock, of which each reading costs as much as a choice among endpoints: read when something begins
	// or ends that takes time, and passed on for what happens at the same moment.
	now      int64
	body     *replay  // nil where the request has none, or can give it again
	trailers []string // their names, with body
	// tried are addresses: an endpoint that was gone and is back in the next list is
	// still the one that has just failed.
	tried  []string
	passed int  // how many of these were passed over; see passesOver
	paid   int  // further tries that count
	free   bool // the last one was, so that the next try counts only where it is at one that was tried
	// proves is an ejected one that the next attempt may prove; nil: none.
	proves *endpoint

	hash          uint64 // of the key, once keyed
	keyed, hasKey bool
	leads         string // the name of the endpoint that the client is to be told; "": it knows

	counted bool            // by the breaker, which waits to be told of the outcome
	trial   trial           // with counted
	outcome balance.Outcome // of the last attempt, as far as it is known
}

// RoundTrip sends req to an endpoint, and to another one where that failed and it
// is safe. The request's body is closed in every case.
func (v *view) RoundTrip(req *http.Request) (*http.Response, error) {
	s := v.service
	c := call{view: v, req: req, exchange: exchange.From(req.Context()), now: s.pool.Now()}
	if c.exchange != nil {
		c.exchange.Backend = s.name
	}
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		c.hold()
	}
	s.budget.request(c.now)
	if c.body == nil && !s.balance.Load().Breaker.Opens() {
		return c.run()
	}
	res, err := c.guarded()
	if err != nil && c.body != nil {
		c.body.close()
	}
	return res, err
}

// NamesBackend says that the exchange is told of the service (variant.Named).
func (*view) NamesBackend() {}

// hold has the request's body held for further attempts.
func (c *call) hold() {
	c.trailers = exchange.RequestTrailer(c.req).Names() // nobody reads the body yet, with whose end they are given values
	c.body = newReplay(c.req.Body, c.replayLimit(), !c.retry.unsent && repeatable(c.req))
}

// guarded makes the attempts that the breaker lets through, where there is one.
func (c *call) guarded() (*http.Response, error) {
	if !c.service.balance.Load().Breaker.Opens() {
		return c.run()
	}
	if err := c.admit(c.now); err != nil {
		return nil, err
	}
	defer c.conclude() // also where an attempt panics
	return c.run()
}

func (v *view) replayLimit() int {
	if v.retry.attempts == 0 {
		return 0
	}
	return replayBytes
}

// run makes attempts until one is good enough or none may follow.
func (c *call) run() (*http.Response, error) {
	var failed error // the try before
	for {
		e, err := c.after(failed)
		if err != nil {
			return nil, err
		}
		a, res, body, err := c.try(e)
		switch again := c.again(res, err); {
		case again && err == nil:
			exchange.Discard(res)
		case again:
		case err != nil:
			return nil, c.explain(err)
		default:
			if body != nil {
				body.keep()
			}
			c.stick()
			a.takesOver(c)
			return res, nil
		}
		c.tried, failed = append(c.tried, e.Address), err
		c.now = c.service.pool.Now()
	}
}

// again tells whether there is another attempt after one that came to res or err.
func (c *call) again(res *http.Response, err error) bool {
	switch {
	case err == nil && !c.retry.looksFailed(res):
		return false
	case c.retry.attempts == 0 || c.body != nil && !c.body.replayable():
		return false
	case err != nil && !c.retry.afterError(c.req, err), err == nil && !c.retry.afterAnswer(c.req):
		return false
	}
	if c.free = c.passed < mostPassed && err != nil && passesOver(err); c.free {
		c.passed++
		return true
	}
	return c.pays()
}

// pays takes a further try out of those of the request and of its service, and tells whether that is allowed.
func (c *call) pays() bool {
	if c.paid >= c.retry.attempts || !c.service.spends() {
		return false
	}
	c.paid++
	return true
}

// after chooses whom to ask, where failed is the error of the try before. Whoever was tried gets some time first,
// or less where there is somebody else meanwhile.
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
	if refused(failed) || c.free && !c.pays() { // no pause mends the one, and nobody is left for the other
		return nil, c.explain(failed)
	}
	return c.pause(before, n)
}

// pause waits before an endpoint is asked once more that has failed n times, or until there is one that was not tried.
func (c *call) pause(now *set, n int) (*endpoint, error) {
	timer := time.NewTimer(exchange.PauseAfter(n))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return c.nextNow()
		case <-c.req.Context().Done():
			return nil, context.Cause(c.req.Context())
		case <-now.replaced:
			if now = c.service.set.Load(); now.hasOther(c.tried) {
				return c.nextNow()
			}
		}
	}
}

// hasOther tells whether somebody may be asked who was not tried.
func (s *set) hasOther(tried []string) bool {
	return slices.ContainsFunc(s.picker.asked, func(e *endpoint) bool { return !slices.Contains(tried, e.Address) })
}

// refused tells whether err is an address out of the backend's bounds.
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

// try sends the request to e once, where pick has counted it in, and writes down what happened.
func (c *call) try(e *endpoint) (*attempt, *http.Response, *attemptBody, error) {
	a := c.begin(e)
	returned := false
	defer func() {
		if !returned {
			a.abandon()
		}
	}()
	out, body := c.outbound(a, e)
	var ended func(exchange.Attempt)
	if c.exchange != nil && c.exchange.Trace != nil {
		ended = c.trace(out, e)
	}
	res, err := c.service.transport.RoundTrip(out)
	c.now = c.service.pool.Now()
	if err != nil {
		err = a.failed(err, e.Address)
	} else if !a.headSeen() {
		res, err = nil, tooLate(res, e.Address)
	}
	c.record(a, e, res, err, ended)
	c.outcome = a.answer(res, err, c.now)
	returned = true
	if err != nil {
		if body != nil {
			body.closed.Store(true)
		}
		return a, nil, body, err
	}
	a.follow(res)
	return a, res, body, nil
}

// tooLate gives up an answer that came too late, as its context is cancelled.
func tooLate(res *http.Response, address string) error {
	_ = res.Body.Close()
	return &exchange.SendError{Endpoint: address, Sent: exchange.SentAll, Timeout: true, Err: errHeadTimeout}
}

// begin makes the attempt at e.
func (c *call) begin(e *endpoint) *attempt {
	a := &attempt{service: c.service, state: e.state, req: c.req, body: c.body, start: c.now, limit: c.head, proves: c.proves == e}
	c.proves, c.outcome = nil, balance.Untold
	return a
}

// record writes an attempt down, which has ended now.
func (c *call) record(a *attempt, e *endpoint, res *http.Response, err error, ended func(exchange.Attempt)) {
	tried := exchange.Attempt{Endpoint: e.Address, Err: err, Took: time.Duration(c.now - a.start)}
	if res != nil {
		tried.Status = res.StatusCode
	}
	c.service.meter.Tried(&tried, len(c.tried) > 0)
	if ended != nil {
		ended(tried)
	}
	if c.exchange != nil {
		c.exchange.Tried(tried)
	}
}

// trace begins the span of one attempt, where there is a trace. Its request then
// has a head of its own: the one before may still be on its way to an endpoint.
func (c *call) trace(out *http.Request, e *endpoint) (ended func(exchange.Attempt)) {
	return c.exchange.Trace.Call(exchange.Call{
		Method: out.Method, Backend: c.service.name, Address: e.Address, URL: "http://" + e.Address + out.URL.EscapedPath(),
		Again: len(c.tried), Head: exchange.OwnHead(out),
	})
}

// outbound makes the request of one attempt.
func (c *call) outbound(a *attempt, e *endpoint) (*http.Request, *attemptBody) {
	a.out = *c.req.WithContext(a.bind(c.req.Context()))
	out := &a.out
	a.url = *c.req.URL
	a.url.Host = e.host
	out.URL = &a.url
	c.service.balance.Load().Cookie.hide(out)
	if c.body == nil {
		if len(c.tried) > 0 && out.GetBody != nil {
			out.Body, _ = out.GetBody() // from memory, which does not fail
		}
		a.sentAtOnce()
		return out, nil
	}
	body := &attemptBody{replay: c.body, sent: a.sent}
	if len(c.trailers) > 0 {
		body.trailers = ownTrailers(out, c.req, c.trailers)
	}
	out.Body = body
	return out, body
}

// ownTrailers gives an attempt trailers of its own, and a function that fills them in when req has its own: those are
// written by whoever reads the end of the body, perhaps for an attempt that is over.
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

// explain turns the error of the last attempt into what the client is told. The
// client's own end, and that of whoever waits for it, is passed on as it is.
func (c *call) explain(err error) error {
	if c.req.Context().Err() != nil && !c.body.wasSevered() {
		return context.Cause(c.req.Context())
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

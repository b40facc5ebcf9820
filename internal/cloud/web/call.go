package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

const (
	// mostTries bounds how often a request is sent; each region has one try at least.
	mostTries = 3
	// patience is how long a request waits here when the platform says that it should be
	// sent again later. Where it says a longer time, the client is told.
	patience = 2 * time.Second
)

// errTimeout is the cause with which a call is given up.
var errTimeout = errors.New("the function did not answer in time")

// call is one request with its attempts.
type call struct {
	*Function

	r       *http.Request
	path    string // of the request, as it is sent behind the site's own
	body    *source
	tried   int
	seen    uint // a bit for each site that was tried in this round
	renewed bool
	end     ending
}

// ending is what has to be given back when the answer has ended. It is run once.
type ending struct {
	done   atomic.Bool
	cancel context.CancelCauseFunc
	timer  *time.Timer
	own    *Function
	body   *source
	site   *Site
}

func (e *ending) run() {
	if e.done.Swap(true) {
		return
	}
	e.timer.Stop()
	e.cancel(nil)
	if e.own != nil {
		e.own.own.Release()
	}
	if e.site != nil {
		e.site.Calls.Release()
	}
	if e.body != nil {
		e.body.close()
	}
}

// Pass sends r to the function, at an escaped path behind the function's own, and gives
// its answer. It keeps the rules of package exchange for backends.
func (f *Function) Pass(r *http.Request, path string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	c := &call{Function: f, r: r, path: path}
	limit := time.Duration(f.timeout.Load())
	c.end.cancel, c.end.timer = cancel, time.AfterFunc(limit, func() { cancel(errTimeout) })
	if r.Body != nil && r.Body != http.NoBody {
		c.body = &source{ReadCloser: r.Body}
		c.end.body = c.body
	}
	res, err := c.run(ctx)
	if err == nil && !c.end.timer.Stop() && errors.Is(context.Cause(ctx), errTimeout) {
		_ = res.Body.Close() // it came a moment too late
		err = errTimeout
	}
	if err != nil {
		err = c.explain(ctx, err, limit)
		f.Life.Refused(err)
		c.end.run()
		return nil, err
	}
	c.follow(res)
	return res, nil
}

// follow has the call end with the answer's body.
func (c *call) follow(res *http.Response) {
	if b, ok := res.Body.(interface{ OnEnd(f func(how error)) }); ok {
		b.OnEnd(func(error) { c.end.run() })
		return
	}
	res.Body = &endingBody{res.Body, c.end.run}
}

// endingBody is for a body that cannot tell when it ends.
type endingBody struct {
	io.ReadCloser

	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close() //nolint:wrapcheck // it is only passed on
}

// source is the client's body, of which no attempt but the first one that reads gets
// anything. It is closed when the call has ended.
type source struct {
	io.ReadCloser

	begun  atomic.Bool
	closed atomic.Bool
}

func (s *source) Read(p []byte) (int, error) {
	s.begun.Store(true)
	return s.ReadCloser.Read(p) //nolint:wrapcheck // it is only passed on
}

// Close is an attempt's, after which another one may follow.
func (*source) Close() error { return nil }

func (s *source) close() {
	if !s.closed.Swap(true) {
		_ = s.ReadCloser.Close() // the call is over, whatever it says
	}
}

// replayable tells whether another attempt could send the body from its start.
func (c *call) replayable() bool {
	return c.body == nil || c.r.GetBody != nil || !c.body.begun.Load()
}

func (c *call) run(ctx context.Context) (*http.Response, error) {
	if err := c.own.Acquire(ctx); err != nil {
		return nil, err //nolint:wrapcheck // a fault or the cause of the context's end
	}
	c.end.own = c.Function
	c.prune()
	for {
		at := c.next()
		if err := at.Calls.Acquire(ctx); err != nil {
			return nil, err //nolint:wrapcheck // a fault or the cause of the context's end
		}
		res, o, ok := c.try(ctx, at)
		if ok {
			c.end.site = at
			at.rest.Well()
			c.retries.Served()
			return res, nil
		}
		at.Calls.Release()
		if o.ill {
			at.rest.Ill()
		}
		switch again := c.again(ctx, at, o); {
		case !again && o.instead != nil:
			return o.instead, nil
		case !again:
			return nil, o.err
		case o.instead != nil:
			exchange.Discard(o.instead)
		}
	}
}

// prune takes away the fields that the platform believes.
func (c *call) prune() {
	if c.Drop == nil {
		return
	}
	exchange.DelFields(exchange.RequestHead(c.r), func(name string) bool { return c.Drop(fold(name)) })
}

var folding = strings.NewReplacer("_", "-", ".", "-")

// fold is a field's name as the most lenient function reads it.
func fold(name string) string { return folding.Replace(strings.ToLower(name)) }

// next gives the site to try: the first one that was not yet, but those that rest last.
func (c *call) next() *Site {
	if c.seen == 1<<len(c.Sites)-1 {
		c.seen = 0
	}
	chosen := -1
	for i, s := range c.Sites {
		if c.seen&(1<<i) != 0 {
			continue
		}
		if chosen < 0 {
			chosen = i
		}
		if !s.rest.Resting() {
			chosen = i
			break
		}
	}
	c.seen |= 1 << chosen
	c.tried++
	return c.Sites[chosen]
}

// again tells whether the request may and should be sent once more, and waits for the
// moment.
func (c *call) again(ctx context.Context, at *Site, o outcome) bool {
	if ctx.Err() != nil || !c.replayable() {
		return false
	}
	if o.renew {
		first := !c.renewed
		c.renewed = true
		for i, s := range c.Sites {
			if first && s == at {
				c.seen &^= 1 << i
			}
		}
		return first
	}
	elsewhere := c.seen != 1<<len(c.Sites)-1
	switch {
	case !o.again, c.tried >= max(mostTries, len(c.Sites)), o.taken && !httpx.IsIdempotent(c.r.Method):
		return false
	case !elsewhere && o.after > patience, !c.retries.Spend():
		return false
	case elsewhere:
		return true
	case o.after > 0:
		return sleep(ctx, o.after)
	}
	return exchange.Pause(ctx, c.tried) == nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try sends the request once; ok where the answer is passed on.
func (c *call) try(ctx context.Context, at *Site) (res *http.Response, o outcome, ok bool) {
	out, err := c.outbound(ctx, at)
	if err != nil {
		return nil, outcome{err: fault.Unexpected.New("", fault.Cause(err))}, false
	}
	var proof Proof
	if at.Prove != nil {
		if proof, err = at.Prove(ctx, exchange.RequestHead(out)); err != nil {
			return nil, outcome{err: err, again: len(c.Sites) > 1}, false
		}
	}
	ended := c.trace(out, at)
	begin := time.Now()
	res, err = at.Send.RoundTrip(out)
	attempt := exchange.Attempt{Endpoint: at.URL.Host, Err: err, Took: time.Since(begin)}
	if err != nil {
		o = unsent(err)
	} else {
		attempt.Status = res.StatusCode
		o, ok = judged(c.judge(ctx, res, proof), res)
		c.Life.Lent(false)
	}
	exchange.Of(c.r).Tried(attempt)
	c.Attempts.Tried(attempt, c.tried > 1)
	ended(attempt)
	return res, o, ok
}

// judge asks for another proof where this one was not accepted.
func (c *call) judge(ctx context.Context, res *http.Response, proof Proof) Verdict {
	v := c.Judge(res, proof)
	if v.Renew && proof.Refused != nil {
		v.Renew = proof.Refused(ctx)
	}
	return v
}

// outbound makes the request of one attempt, whose head is its own: the one before may
// still be on its way.
func (c *call) outbound(ctx context.Context, at *Site) (*http.Request, error) {
	out := c.r.WithContext(ctx)
	exchange.OwnHead(out)
	target := *c.r.URL
	target.Scheme, target.Host = at.URL.Scheme, at.URL.Host
	target.RawPath = join(at.URL.EscapedPath(), c.path)
	var err error
	if target.Path, err = url.PathUnescape(target.RawPath); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what is wrong
	}
	out.URL, out.Host, out.RequestURI = &target, at.Host, ""
	switch {
	case c.body == nil:
	case c.tried > 1 && c.r.GetBody != nil:
		out.Body, err = c.r.GetBody()
	default:
		out.Body = c.body
	}
	return out, err //nolint:wrapcheck // from memory, which does not fail
}

// join puts a request's path behind the function's own.
func join(before, path string) string {
	before = strings.TrimSuffix(before, "/")
	if path == "" && before == "" {
		return "/"
	}
	return before + path
}

// trace begins the span of an attempt.
func (c *call) trace(out *http.Request, at *Site) (ended func(exchange.Attempt)) {
	x := exchange.Of(c.r)
	if x.Trace == nil {
		return func(exchange.Attempt) {}
	}
	return x.Trace.Call(exchange.Call{
		Method: out.Method, Backend: c.Name, Address: at.URL.Host, URL: at.URL.Scheme + "://" + at.URL.Host + out.URL.EscapedPath(),
		Again: c.tried - 1, Head: exchange.RequestHead(out),
	})
}

// explain is what the client is told: its own end as it is, the time-out, or err.
func (c *call) explain(ctx context.Context, err error, limit time.Duration) error {
	f, isFault := errors.AsType[*fault.Fault](err)
	waiting := isFault && (f.Code == fault.CredentialsMissing.Code || f.Code == fault.FunctionQueueTime.Code)
	switch {
	case c.r.Context().Err() != nil:
		return context.Cause(c.r.Context())
	case errors.Is(context.Cause(ctx), errTimeout) && (!isFault || waiting):
		return fault.FunctionTimeout.New("", fault.Internal("no answer of %s within %v", c.Name, limit))
	case isFault:
		return err
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		return send.Fault(fault.Internal("%s, for the function %s", c.Platform, c.Name))
	}
	return fault.Unexpected.New("", fault.Cause(err))
}

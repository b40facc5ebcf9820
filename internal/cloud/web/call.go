package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

// call is one request with its attempts.
type call struct {
	*Function

	r     *http.Request
	path  string // the request's path, which is sent after the site's own
	body  *source
	round cloud.Round
	term  cloud.Term
}

// end releases what the call holds, once.
func (c *call) end() {
	c.term.End()
	if c.body != nil {
		c.body.close()
	}
}

// Pass sends r to the function, at an escaped path that is appended to the function's own, and returns its answer. It
// keeps the rules of package exchange for backends.
func (f *Function) Pass(r *http.Request, path string) (*http.Response, error) {
	c := &call{Function: f, r: r, path: path}
	ctx := c.term.Begin(r.Context(), time.Duration(f.timeout.Load()))
	if r.Body != nil && r.Body != http.NoBody {
		c.body = &source{ReadCloser: r.Body}
	}
	res, err := c.run(ctx)
	if err == nil {
		if err = c.term.Met(); err != nil {
			_ = res.Body.Close() // it came a moment too late
		}
	}
	if err != nil {
		err = c.term.Explain(r.Context(), ctx, err, c.Platform, c.Name)
		f.Life.Refused(err)
		c.end()
		return nil, err //nolint:wrapcheck // a fault, or the cause of the client's end
	}
	c.follow(res)
	return res, nil
}

// follow makes the call end with the answer's body.
func (c *call) follow(res *http.Response) {
	if b, ok := res.Body.(interface{ OnEnd(e exchange.Ending) }); ok {
		b.OnEnd(exchange.EndingFunc(func(error) { c.end() }))
		return
	}
	res.Body = &endingBody{res.Body, c.end}
}

// endingBody wraps a body that cannot report its end.
type endingBody struct {
	io.ReadCloser

	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close() //nolint:wrapcheck // it is only passed on
}

// source is the client's body. Only the first attempt that reads it gets anything. It is closed when the call has
// ended.
type source struct {
	io.ReadCloser

	begun  atomic.Bool
	closed atomic.Bool
}

func (s *source) Read(p []byte) (int, error) {
	s.begun.Store(true)
	return s.ReadCloser.Read(p) //nolint:wrapcheck // it is only passed on
}

// Close is called by an attempt. It does nothing, because another attempt may follow.
func (*source) Close() error { return nil }

func (s *source) close() {
	if !s.closed.Swap(true) {
		_ = s.ReadCloser.Close() // the call is over, so an error does not matter
	}
}

// replayable reports whether another attempt could send the body from its start.
func (c *call) replayable() bool {
	return c.body == nil || c.r.GetBody != nil || !c.body.begun.Load()
}

func (c *call) run(ctx context.Context) (*http.Response, error) {
	if err := c.own.Acquire(ctx); err != nil {
		return nil, err //nolint:wrapcheck // a fault or the cause of the context's end
	}
	c.term.Hold(c.own)
	c.prune()
	for {
		at := c.next()
		if err := at.Calls.Acquire(ctx); err != nil {
			return nil, err //nolint:wrapcheck // a fault or the cause of the context's end
		}
		res, o, ok := c.try(ctx, at)
		if ok {
			c.term.Hold(at.Calls)
			at.rest.Well()
			c.retries.Served()
			return res, nil
		}
		at.Calls.Release()
		if o.Ill {
			at.rest.Ill()
		}
		switch again := c.replayable() && c.round.Again(ctx, c.r.Method, o.Failure, c.retries); {
		case !again && o.instead != nil:
			return o.instead, nil
		case !again:
			return nil, o.Err
		case o.instead != nil:
			exchange.Discard(o.instead)
		}
	}
}

// prune removes the header fields that the platform would trust.
func (c *call) prune() {
	if c.Drop == nil {
		return
	}
	exchange.DelFields(exchange.RequestHead(c.r), func(name string) bool { return c.Drop(fold(name)) })
}

var folding = strings.NewReplacer("_", "-", ".", "-")

// fold returns a header field's name in the form in which the most lenient function reads it.
func fold(name string) string { return folding.Replace(strings.ToLower(name)) }

// next returns the site to try.
func (c *call) next() *Site {
	return c.Sites[c.round.Next(len(c.Sites), func(i int) bool { return c.Sites[i].rest.Resting() })]
}

// try sends the request once. ok says that the answer can be passed on.
func (c *call) try(ctx context.Context, at *Site) (res *http.Response, o outcome, ok bool) {
	out, err := c.outbound(ctx, at)
	if err != nil {
		return nil, failed(fault.Unexpected.New("", fault.Cause(err)), false), false
	}
	var proof Proof
	if at.Prove != nil {
		if proof, err = at.Prove(ctx, exchange.RequestHead(out)); err != nil {
			return nil, failed(err, len(c.Sites) > 1), false
		}
	}
	ended := c.trace(out, at)
	begin := time.Now()
	res, err = at.Send.RoundTrip(out)
	attempt := exchange.Attempt{Endpoint: at.URL.Host, Err: err, Took: time.Since(begin)}
	if err != nil {
		o = outcome{Failure: cloud.Unsent(err)}
	} else {
		attempt.Status = res.StatusCode
		o, ok = judged(c.judge(ctx, res, proof), res)
		c.Life.Lent(false)
	}
	exchange.Of(c.r).Tried(attempt)
	c.Attempts.Tried(attempt.Status, attempt.Err, attempt.Took, c.round.Tries() > 1)
	ended(attempt)
	return res, o, ok
}

// judge judges an answer, and fetches another proof if this one was not accepted.
func (c *call) judge(ctx context.Context, res *http.Response, proof Proof) Verdict {
	v := c.Judge(res, proof)
	if v.Renew && proof.Refused != nil {
		v.Renew = proof.Refused(ctx)
	}
	return v
}

// outbound makes the request of one attempt. It has a head of its own, because the previous attempt's request may still
// be on its way.
func (c *call) outbound(ctx context.Context, at *Site) (*http.Request, error) {
	out := c.r.WithContext(ctx)
	exchange.OwnHead(out)
	err := Aim(out, at.URL, at.Host, c.path)
	if err != nil {
		return nil, err
	}
	switch {
	case c.body == nil:
	case c.round.Tries() > 1 && c.r.GetBody != nil:
		out.Body, err = c.r.GetBody()
	default:
		out.Body = c.body
	}
	return out, err //nolint:wrapcheck // from memory, which does not fail
}

// Aim turns r into a request to a function at a URL, with host as its Host and an escaped path that is appended to the
// function's own.
func Aim(r *http.Request, at *url.URL, host, path string) (err error) {
	target := *r.URL
	target.Scheme, target.Host = at.Scheme, at.Host
	target.RawPath = join(at.EscapedPath(), path)
	if target.Path, err = url.PathUnescape(target.RawPath); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	r.URL, r.Host, r.RequestURI = &target, host, ""
	return nil
}

// join appends a request's path to the function's own.
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
		Again: c.round.Tries() - 1, Head: exchange.RequestHead(out),
	})
}

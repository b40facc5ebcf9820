package lambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/function"
)

// call is one RoundTrip: a request with its attempts.
type call struct {
	*view

	r       *http.Request
	bounds  *bounds
	held    cloud.Part // of the room that all share
	payload []byte     // of the event
	id      string     // the same for each attempt, by which AWS's own tools know them
	tried   int        // attempts made
	sites   uint       // a bit for each site that was tried in this round
	renewed bool       // credentials were
	used    cloud.Held[sdk.Credentials]
	log     string      // the tail of the function's
	cold    atomic.Bool // a streamed answer came of an instance that was new
	end     ending
}

// ending is what has to be given back when the call has ended. It is run once.
type ending struct {
	done   atomic.Bool
	cancel context.CancelCauseFunc
	timer  *time.Timer
	own    *backend
	site   *site
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
		e.site.calls.Release()
	}
}

// errTimeout is the cause with which an invocation is given up.
var errTimeout = errors.New("the function did not answer in time")

// run invokes, and tries again where that is safe.
func (c *call) run() (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(c.r.Context())
	c.end.cancel = cancel
	c.end.timer = time.AfterFunc(c.bounds.timeout, func() { cancel(errTimeout) })
	c.held = c.platform.room.Part()
	res, err := c.invoke(ctx)
	if err != nil {
		c.held.Shrink(0)
		c.end.run()
		return nil, c.explain(ctx, err)
	}
	return res, nil
}

func (c *call) invoke(ctx context.Context) (*http.Response, error) {
	var err error
	if c.payload, err = c.event(ctx); err != nil {
		return nil, err
	}
	if err := c.own.Acquire(ctx); err != nil {
		return nil, err //nolint:wrapcheck // a fault or the cause of the context's end
	}
	c.end.own = c.backend
	c.id = function.NewID()
	for {
		s := c.next()
		res, failed := c.try(ctx, s)
		if failed == nil {
			s.rest.Well()
			c.retries.Served()
			return res, nil
		}
		if failed.ill {
			s.rest.Ill()
		}
		if !c.again(ctx, s, failed) {
			return nil, failed.err
		}
	}
}

// next gives the site to try: the first one that was not yet, but those that rest last.
func (c *call) next() *site {
	all := c.backend.sites
	if c.sites == 1<<len(all)-1 {
		c.sites = 0
	}
	chosen := -1
	for i, s := range all {
		if c.sites&(1<<i) != 0 {
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
	c.sites |= 1 << chosen
	c.tried++
	return all[chosen]
}

const (
	// mostTries bounds how often a request is sent; each region has one try at least.
	mostTries = 3
	// patience is how long a request waits here when the platform says that it should be
	// sent again later. Where it says a longer time, the client is told.
	patience = 2 * time.Second
)

// again tells whether the request may and should be sent once more, and waits for the
// moment. s is where it failed.
func (c *call) again(ctx context.Context, s *site, f *failed) bool {
	if f.renew { // costs nothing where it was not taken, and helps once
		first := !c.renewed
		c.renewed = true
		if !first || !s.credentials.Refused(ctx, c.used) {
			return false
		}
		c.sites &^= c.bit(s)
		return true
	}
	if !f.retry || ctx.Err() != nil || c.tried >= max(mostTries, len(c.backend.sites)) {
		return false
	}
	if f.taken && !httpx.IsIdempotent(c.r.Method) {
		return false
	}
	elsewhere := c.sites != 1<<len(c.backend.sites)-1
	if !elsewhere && f.after > patience || !c.retries.Spend() {
		return false
	}
	if elsewhere {
		return true
	}
	if f.after > 0 {
		return sleep(ctx, f.after)
	}
	return exchange.Pause(ctx, c.tried) == nil
}

func (c *call) bit(s *site) uint {
	for i, one := range c.backend.sites {
		if one == s {
			return 1 << i
		}
	}
	return 0
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

// explain is what the client is told: its own end as it is, the function's time-out, or err.
func (c *call) explain(ctx context.Context, err error) error {
	switch {
	case c.r.Context().Err() != nil:
		return context.Cause(c.r.Context())
	case errors.Is(context.Cause(ctx), errTimeout) && !answered(err):
		return fault.FunctionTimeout.New("", fault.Internal("no answer of %s within %v", c.name, c.bounds.timeout))
	}
	send, ok := errors.AsType[*exchange.SendError](err)
	if !ok || isFault(err) {
		return err
	}
	return send.Fault(fault.Internal("AWS Lambda, for the function %s", c.name))
}

// answered tells whether err is what the function or its platform has said.
func answered(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code != fault.CredentialsMissing.Code && f.Code != fault.FunctionQueueTime.Code
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Fault](err)
	return ok
}

// try sends the event once and reads what comes back.
func (c *call) try(ctx context.Context, s *site) (*http.Response, *failed) {
	if err := s.calls.Acquire(ctx); err != nil {
		return nil, &failed{err: err, retry: len(c.backend.sites) > 1}
	}
	res, f := c.send(ctx, s)
	if f != nil {
		s.calls.Release()
		return nil, f
	}
	if c.mode == Stream {
		c.end.site = s
		return c.stream(ctx, res)
	}
	s.calls.Release()
	return c.answer(ctx, res)
}

// send sends the event, and gives a response that tells that it was taken, or why not.
func (c *call) send(ctx context.Context, s *site) (*http.Response, *failed) {
	held, err := s.credentials.Get(ctx)
	if err != nil {
		return nil, &failed{err: noCredentials(ctx, err), retry: len(c.backend.sites) > 1}
	}
	c.used = held
	req := c.request(ctx, s)
	if err := c.platform.signer.Sign(ctx, req, c.payload, held.Value, s.region); err != nil {
		return nil, &failed{err: fault.Unexpected.New("", fault.Cause(err))}
	}
	ended := c.trace(req, s)
	begin := time.Now()
	res, err := s.transport.RoundTrip(req)
	attempt := exchange.Attempt{Endpoint: s.url.Host, Err: err, Took: time.Since(begin)}
	var f *failed
	if err != nil {
		f = unsent(err)
	} else {
		attempt.Status = res.StatusCode
		if f = c.refused(res, s); f != nil {
			attempt.Err = f.err
		}
	}
	if f == nil {
		s.calls.Served()
		c.log = tail(res)
		attempt.Cold = coldStart(c.log)
		if c.mode != Stream { // whose end tells
			c.life.Lent(attempt.Cold > 0)
		}
	}
	exchange.Of(c.r).Tried(attempt)
	c.attempts.Tried(attempt, c.tried > 1)
	ended(attempt)
	return res, f
}

// request makes the request of one attempt.
func (c *call) request(ctx context.Context, s *site) *http.Request {
	req := exchange.NewRequest(ctx, nil)
	req.Method, req.URL, req.Host = http.MethodPost, s.at(c.qualifier), s.host
	req.ContentLength = int64(len(c.payload))
	req.Body = io.NopCloser(bytes.NewReader(c.payload))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.payload)), nil }
	fields := make([]exchange.Field, 0, mostFields)
	fields = append(fields, exchange.Field{Name: "Content-Type", Value: jsonType}, exchange.Field{Name: "User-Agent", Value: "weir"})
	switch c.mode {
	case Async:
		fields = append(fields, exchange.Field{Name: "X-Amz-Invocation-Type", Value: "Event"}, exchange.Field{Name: "Amz-Sdk-Invocation-Id", Value: c.id})
	case DryRun:
		fields = append(fields, exchange.Field{Name: "X-Amz-Invocation-Type", Value: "DryRun"})
	}
	if c.bounds.log {
		fields = append(fields, exchange.Field{Name: "X-Amz-Log-Type", Value: "Tail"})
	}
	exchange.SetFields(exchange.RequestHead(req), fields...)
	return req
}

const (
	mostFields = 4
	jsonType   = "application/json"
	// xRay is the field in which AWS tells a function of its trace; it is not signed.
	xRay = "X-Amzn-Trace-Id"
)

// trace begins the span of an attempt.
func (c *call) trace(req *http.Request, s *site) (ended func(exchange.Attempt)) {
	x := exchange.Of(c.r)
	if x.Trace == nil {
		return func(exchange.Attempt) {}
	}
	head := exchange.RequestHead(req)
	return x.Trace.Call(exchange.Call{
		Method: req.Method, Backend: "lambda:" + c.name, Address: s.url.Host, URL: s.url.String(), Again: c.tried - 1,
		Head: exchange.NewHead(req), XRay: func(value string) { head.Set(xRay, value) },
	})
}

// tail is the end of the function's log in a response's head, "" where there is none.
func tail(res *http.Response) string {
	text, err := base64.StdEncoding.DecodeString(exchange.ResponseHead(res).Get("X-Amz-Log-Result"))
	if err != nil {
		return ""
	}
	return string(text)
}

// coldStart is how long the instance took to start, by the REPORT line of its log; 0 where
// it was there already, or nothing tells.
func coldStart(log string) time.Duration {
	_, behind, _ := strings.Cut(log, "Init Duration: ")
	number, _, found := strings.Cut(behind, " ms")
	ms, err := strconv.ParseFloat(number, 64)
	if !found || err != nil || ms < 0 || ms > float64(mostTimeout.Milliseconds()) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

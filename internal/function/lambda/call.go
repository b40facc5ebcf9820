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
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/function"
)

// call is one RoundTrip: a request with its attempts.
type call struct {
	*view

	r       *http.Request
	bounds  *bounds
	held    room.Part // of the room that all functions share
	payload []byte    // of the event
	id      string    // the same for each attempt; AWS's own tools use it to recognise retries
	round   cloud.Round
	term    cloud.Term
	used    cloud.Held[sdk.Credentials]
	log     string      // of the function's log
	cold    atomic.Bool // a streamed answer came from a new instance
}

// run invokes the function, and tries again where that is safe.
func (c *call) run() (*http.Response, error) {
	ctx := c.term.Begin(c.r.Context(), c.bounds.timeout)
	c.held = c.platform.room.Part(exchange.Of(c.r).Client.Subscriber(), c.name)
	res, err := c.invoke(ctx)
	if err != nil {
		c.held.Shrink(0)
		err = c.term.Explain(c.r.Context(), ctx, err, "AWS Lambda", c.name)
		c.term.End()
		return nil, err //nolint:wrapcheck // a fault, or the cause of the client's end
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
	c.term.Hold(c.own)
	c.id = function.NewID()
	for {
		s := c.next()
		res, failed := c.try(ctx, s)
		if failed == nil {
			s.rest.Well()
			c.retries.Served()
			return res, nil
		}
		if failed.Ill {
			s.rest.Ill()
		}
		if !c.again(ctx, s, *failed) {
			return nil, failed.Err
		}
	}
}

// next returns the site to try.
func (c *call) next() *site {
	all := c.sites
	return all[c.round.Next(len(all), func(i int) bool { return all[i].rest.Resting() })]
}

// again reports whether the request may and should be sent again, and waits until it is time to do so. s is the site
// where it failed.
func (c *call) again(ctx context.Context, s *site, f cloud.Failure) bool {
	if f.Renew {
		f.Renew = !c.round.Renewed() && s.credentials.Refused(ctx, c.used)
	}
	return c.round.Again(ctx, c.r.Method, f, c.retries)
}

func isFault(err error) bool {
	_, ok := errors.AsType[*fault.Fault](err)
	return ok
}

// try sends the event once and reads the answer.
func (c *call) try(ctx context.Context, s *site) (*http.Response, *cloud.Failure) {
	if err := s.calls.Acquire(ctx); err != nil {
		return nil, &cloud.Failure{Err: err, Again: len(c.sites) > 1}
	}
	res, f := c.send(ctx, s)
	if f != nil {
		s.calls.Release()
		return nil, f
	}
	if c.mode == Stream {
		c.term.Hold(s.calls)
		return c.stream(ctx, res)
	}
	s.calls.Release()
	return c.answer(ctx, res)
}

// send sends the event, and returns either a response that says that the event was accepted, or the reason why it was
// not.
func (c *call) send(ctx context.Context, s *site) (*http.Response, *cloud.Failure) {
	held, err := s.credentials.Get(ctx)
	if err != nil {
		return nil, &cloud.Failure{Err: cloud.Unproved(ctx, err), Again: len(c.sites) > 1}
	}
	c.used = held
	req := c.request(ctx, s)
	if err := c.platform.signer.Sign(ctx, req, c.payload, held.Value, s.region); err != nil {
		return nil, &cloud.Failure{Err: fault.Unexpected.New("", fault.Cause(err))}
	}
	ended := c.trace(req, s)
	begin := time.Now()
	res, err := s.transport.RoundTrip(req)
	attempt := exchange.Attempt{Endpoint: s.url.Host, Err: err, Took: time.Since(begin)}
	var f *cloud.Failure
	if err != nil {
		unsent := cloud.Unsent(err)
		f = &unsent
	} else {
		attempt.Status = res.StatusCode
		if f = c.refused(res, s); f != nil {
			attempt.Err = f.Err
		}
	}
	if f == nil {
		s.calls.Served()
		c.log = tail(res)
		attempt.Cold = coldStart(c.log)
		if c.mode != Stream { // its end tells whether the start was cold
			c.life.Lent(attempt.Cold > 0)
		}
	}
	exchange.Of(c.r).Tried(attempt)
	c.attempts.Tried(attempt.Status, attempt.Err, attempt.Took, c.round.Tries() > 1)
	ended(attempt)
	return res, f
}

// request builds the request of one attempt.
func (c *call) request(ctx context.Context, s *site) *http.Request {
	req := exchange.NewRequest(ctx, nil)
	s.aim(req, c.qualifier)
	req.ContentLength = int64(len(c.payload))
	req.Body = io.NopCloser(bytes.NewReader(c.payload))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.payload)), nil }
	fields := make([]exchange.Field, 0, mostFields)
	fields = append(fields, exchange.Field{Name: "Content-Type", Value: jsonType}, exchange.Field{Name: "User-Agent", Value: "weir"})
	if c.mode == Async {
		fields = append(fields, exchange.Field{Name: "Amz-Sdk-Invocation-Id", Value: c.id})
	}
	exchange.SetFields(exchange.RequestHead(req), append(fields, c.bounds.asks...)...)
	return req
}

// asks returns the header fields that say how the function is invoked.
func (c *Config) asks() (fields []exchange.Field) {
	switch c.Mode {
	case Async:
		fields = append(fields, exchange.Field{Name: "X-Amz-Invocation-Type", Value: "Event"})
	case DryRun:
		fields = append(fields, exchange.Field{Name: "X-Amz-Invocation-Type", Value: "DryRun"})
	}
	if c.Log && c.Mode != Async && c.Mode != DryRun {
		fields = append(fields, exchange.Field{Name: "X-Amz-Log-Type", Value: "Tail"})
	}
	return fields
}

const (
	mostFields = 4
	jsonType   = "application/json"
	// xRay is the header field in which AWS passes trace context to a function; it is not signed.
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
		Method: req.Method, Backend: "lambda:" + c.name, Address: s.url.Host, URL: s.url.String(), Again: c.round.Tries() - 1,
		Head: exchange.NewHead(req), XRay: func(value string) { head.Set(xRay, value) },
	})
}

// tail returns the end of the function's log from a response's head, "" if there is none.
func tail(res *http.Response) string {
	text, err := base64.StdEncoding.DecodeString(exchange.ResponseHead(res).Get("X-Amz-Log-Result"))
	if err != nil {
		return ""
	}
	return string(text)
}

// coldStart returns how long the instance took to start, by the REPORT line of its log; 0 if the instance existed
// already, or if nothing says so.
func coldStart(log string) time.Duration {
	_, behind, _ := strings.Cut(log, "Init Duration: ")
	number, _, found := strings.Cut(behind, " ms")
	ms, err := strconv.ParseFloat(number, 64)
	if !found || err != nil || ms < 0 || ms > float64(mostTimeout.Milliseconds()) {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

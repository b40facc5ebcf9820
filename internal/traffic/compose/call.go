package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/cancel"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config"
)

// call is one request of a step and its result. The goroutine that holds the run makes it; perform owns it while it is
// under way; after that it belongs to the run again.
type call struct {
	run      *run
	within   exchange.InnerContext // its lifetime and time limit
	limit    cancel.Limit
	step     *step
	at       int // the step's index
	element  int // noElement for a step without each
	exchange exchange.Exchange

	path, query string
	headers     []exchange.Field
	body        []byte // nil: none
	key         string // in its step's cache

	result expr.StepResult
	keep   func()        // lets it outlast the run; nil: it never does
	end    func()        // ends its life; nil: it ends with the run
	stream *stream       // its body, if that is the answer
	room   *bytes.Buffer // holds its body; nil: the body is elsewhere
	head   exchange.Head // of a response that passes
	raw    []byte        // the body of a response that passes
	err    error

	renews, expired bool // what is kept is not wanted, or is too old
	given           bool // by the cache, or by another call that sent the same
	passes          bool // the response is the client's answer
}

// perform makes the call.
func (c *call) perform() {
	defer func() {
		if cause := recover(); cause != nil {
			c.run.log.Error("panic in a step", "composition", c.run.name, "step", c.step.name, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			c.err = &panicError{cause}
		}
		if c.stream == nil { // a stream goes on
			c.over()
		}
	}()
	begin := time.Now()
	if c.step.timeout > 0 {
		c.limit = cancel.Limit{Until: begin.Add(c.step.timeout), Cause: errTime}
		c.within.Within(&c.limit)
	}
	c.err = c.ask(&c.within)
	if c.err != nil && c.within.Err() != nil && errors.Is(context.Cause(&c.within), errTime) {
		c.err = errTime
	}
	if !c.recorded() {
		c.exchange.Tried(exchange.Attempt{Endpoint: c.whom(), Status: c.result.Status, Err: c.err, Took: time.Since(begin)})
	}
}

// whom names what has answered.
func (c *call) whom() string {
	if c.given {
		return "cache"
	}
	return c.step.backend.Host
}

// ask makes the call, unless the cache or another call gives the result.
func (c *call) ask(ctx context.Context) error {
	if c.step.cache != nil {
		return c.step.cache.once(ctx, c)
	}
	return c.tries(ctx)
}

// recorded reports whether the attempts that the backend has recorded say everything. Not every backend makes attempts,
// and none knows what was wrong with a body.
func (c *call) recorded() bool {
	list := c.exchange.Attempts
	if len(list) == 0 {
		return false
	}
	if c.err == nil || list[len(list)-1].Err != nil {
		return true
	}
	_, status := errors.AsType[*statusError](c.err)
	return status
}

// tries makes attempts until one is good enough or no further one may follow.
func (c *call) tries(ctx context.Context) error {
	for n := 0; ; n++ {
		again, err := c.try(ctx, n < c.step.retry.Attempts)
		if !again {
			return err
		}
		if stopped := exchange.Pause(ctx, n+1); stopped != nil {
			return stopped
		}
	}
}

// try makes one attempt. If more may follow, it reports whether one should.
func (c *call) try(ctx context.Context, more bool) (again bool, err error) {
	out := c.request(ctx)
	res, err := c.step.backend.RoundTrip(&out.Request)
	if err != nil {
		return more && ctx.Err() == nil, err
	}
	if more && slices.Contains(c.step.retry.Statuses, res.StatusCode) && ctx.Err() == nil {
		exchange.Discard(res)
		return true, nil
	}
	defer func() {
		if c.stream == nil {
			c.giveUp(res, out)
		}
	}()
	switch c.step.meaning(res.StatusCode) {
	case config.StatusPass:
		c.passes, c.head = true, exchange.ResponseHead(res)
		c.result.Status = res.StatusCode
		c.raw, err = c.read(res)
		return false, err
	case config.StatusOK:
		c.result.Status, c.result.Head = res.StatusCode, exchange.ResponseHead(res)
		if err := c.asStream(res); err != nil || c.stream != nil {
			return false, err
		}
		return false, c.take(res)
	default:
		exchange.Discard(res)
		return false, &statusError{res.StatusCode}
	}
}

// request builds the request to send, only from the step's own parts.
func (c *call) request(ctx context.Context) *exchange.Loan {
	loan := exchange.Lend(ctx, c.run.r, exchange.RequestHead(c.run.r))
	loan.URL = url.URL{RawQuery: c.query}
	out := &loan.Request
	out.Method, out.URL = c.step.method, &loan.URL
	template.Set(out.URL, c.path)
	c.fill(out)
	if c.body != nil {
		body := func() io.ReadCloser { return io.NopCloser(bytes.NewReader(c.body)) }
		out.Body, out.ContentLength = body(), int64(len(c.body))
		out.GetBody = func() (io.ReadCloser, error) { return body(), nil } // for a service's own retries
	}
	return loan
}

// giveUp ends the use of a response that was read or is not wanted. It also returns the memory of its request if
// nothing else holds that.
func (c *call) giveUp(res *http.Response, request *exchange.Loan) {
	_ = res.Body.Close() // nothing more depends on the error
	if c.passes || c.step.readsHead || c.step.cache != nil {
		return // its head is still used
	}
	c.result.Head = nil
	if exchange.Release(res) && c.body == nil {
		request.GiveBack()
	}
}

// take reads as much of a response as the composition needs.
func (c *call) take(res *http.Response) error {
	if !c.step.decodes && !c.step.keepsText || c.step.method == http.MethodHead {
		exchange.Discard(res)
		return nil
	}
	buf := takeBuffer()
	defer func() {
		if c.room != buf {
			giveBack(buf)
		}
	}()
	if err := c.readInto(buf, res); err != nil {
		return err
	}
	if c.step.keepsText {
		if !utf8.Valid(buf.Bytes()) {
			return errNotText
		}
		c.result.Text = buf.String()
	}
	if c.step.decodes && buf.Len() > 0 { // an empty body is null
		return c.decode(buf)
	}
	return nil
}

// decode makes the content of buf the body of the result. The body stays in buf if it is only put into other bodies,
// which are made before the run ends.
func (c *call) decode(buf *bytes.Buffer) (err error) {
	options := jsonx.Options{MaxBytes: int(c.step.bodyBytes), Whole: !c.step.looksInto}
	if c.step.looksInto || c.step.cache != nil || c.element != noElement {
		c.result.Body, err = jsonx.Parse(buf.Bytes(), options)
	} else if c.result.Body, err = jsonx.Check(buf.Bytes(), options); err == nil {
		c.room = buf
	}
	if err != nil {
		c.result.Body = nil
		return fmt.Errorf("its body: %w", err)
	}
	return nil
}

// read reads a whole body.
func (c *call) read(res *http.Response) ([]byte, error) {
	var buf bytes.Buffer
	if err := c.readInto(&buf, res); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func (c *call) readInto(buf *bytes.Buffer, res *http.Response) error {
	if res.ContentLength > c.step.bodyBytes {
		return c.tooLarge()
	}
	body, length, err := exchange.Decoded(exchange.ResponseHead(res), res.Body, res.ContentLength, c.step.bodyBytes)
	if err != nil {
		return fmt.Errorf("its body: %w", err)
	}
	if length > 0 {
		buf.Grow(int(length) + bytes.MinRead)
	}
	_, err = buf.ReadFrom(&bounded{Reader: body, call: c, left: c.step.bodyBytes})
	if errors.Is(err, exchange.ErrTooLong) {
		return c.tooLarge()
	}
	return err
}

func (c *call) tooLarge() error {
	return fmt.Errorf("its body has more than max_body, %d bytes", c.step.bodyBytes)
}

var errTogether = errors.New("the bodies of all steps together have more than the composition's max_body")

// bounded is a response's body within its own bound and the bound of all bodies together.
type bounded struct {
	io.Reader

	call *call
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.call.tooLarge()
	}
	if b.call.run.left.Add(-int64(n)) < 0 {
		return 0, errTogether
	}
	return n, err
}

// buffers hold bodies until they are decoded or no longer needed.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBytes is the largest buffer that is kept for another use.
const keptBytes = 256 << 10

func takeBuffer() *bytes.Buffer {
	buf, _ := buffers.Get().(*bytes.Buffer)
	return buf
}

func giveBack(buf *bytes.Buffer) {
	if buf.Cap() <= keptBytes {
		buf.Reset()
		buffers.Put(buf)
	}
}

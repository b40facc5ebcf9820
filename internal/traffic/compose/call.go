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

// call is one request of a step and what came of it. Who holds the run makes it, perform
// has it while it is under way, and then it is the run's again.
type call struct {
	run      *run
	within   exchange.InnerContext // its life and time
	limit    cancel.Limit
	step     *step
	at       int // the step's place
	element  int // noElement without each
	exchange exchange.Exchange

	path, query string
	headers     []exchange.Field
	body        []byte // nil: none
	key         string // of its step's cache

	result expr.StepResult
	keep   func()        // lets it outlast the run; nil: it never does
	end    func()        // ends its life; nil: that is the run's
	stream *stream       // its body where that is the answer
	room   *bytes.Buffer // in which its body lies; nil: elsewhere
	head   exchange.Head // of a response that passes
	raw    []byte        // its body
	err    error

	renews, expired bool // what is kept is not wanted, or too old
	given           bool // by the cache, or another call that sent the same
	passes          bool // the response is the client's answer
}

// perform makes the call.
func (c *call) perform() {
	defer func() {
		if cause := recover(); cause != nil {
			c.run.log.Error("panic in a step", "composition", c.run.name, "step", c.step.name, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			c.err = &panicError{cause}
		}
		if c.stream == nil { // else it goes on
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

// whom names who has answered.
func (c *call) whom() string {
	if c.given {
		return "cache"
	}
	return c.step.backend.Host
}

// ask makes the call, where nobody has made it before.
func (c *call) ask(ctx context.Context) error {
	if c.step.cache != nil {
		return c.step.cache.once(ctx, c)
	}
	return c.tries(ctx)
}

// recorded tells whether the attempts of the backend say all there is to say: not
// every backend makes any, and none knows what was wrong with a body.
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

// tries makes attempts until one is good enough or none may follow.
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

// try makes one attempt. Where more may follow it tells whether one should.
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

// request makes what is sent, out of nothing but the step's own parts.
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
		out.GetBody = func() (io.ReadCloser, error) { return body(), nil } // for the service's own tries
	}
	return loan
}

// giveUp ends the use of a response that was read, or that nobody wants, and of its request where nobody else has that.
func (c *call) giveUp(res *http.Response, request *exchange.Loan) {
	_ = res.Body.Close() // nobody is told any more
	if c.passes || c.step.readsHead || c.step.cache != nil {
		return // its head is used still
	}
	c.result.Head = nil
	if exchange.Release(res) && c.body == nil {
		request.GiveBack()
	}
}

// take reads as much of a response as somebody asks for.
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
	if c.step.decodes && buf.Len() > 0 { // no content is null
		return c.decode(buf)
	}
	return nil
}

// decode makes what is in buf the body of the result. It stays there where it is only put
// into other bodies, which are made before the run ends.
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

// read gives a whole body.
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

// bounded is a response's body within its own bound and that of all together.
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

// buffers hold bodies until they are decoded, or are gone.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBytes is the largest buffer that waits for its next use.
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

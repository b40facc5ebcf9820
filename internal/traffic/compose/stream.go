package compose

import (
	"bytes"
	"context"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
)

// peekBytes is how much of a body of unknown length is read first. A smaller body is held like every other body, and is
// known to be JSON before anything is sent.
const peekBytes = 16 << 10

// streamed returns the step whose body is the answer and is read by nothing else, so that it need not be held; -1:
// there is none. A step with an else is held, because it must be known whether the else stands in. A step with a body
// bound of its own is held, and so is everything if there may be something to undo.
func (c *Composition) streamed(b *builder, answer *config.Tree) int {
	if c.undoes || answer == nil || answer.Kind != config.TreeExpr {
		return -1
	}
	name, ok := wholeBody(answer.Expr.Source)
	if !ok {
		return -1
	}
	at := slices.IndexFunc(c.steps, func(s step) bool { return s.name == name })
	times := 0
	for _, read := range b.wholes {
		if read == name {
			times++
		}
	}
	s := &c.steps[at]
	if times > 1 || s.looksInto || s.keepsText || s.each != nil || s.otherwise != nil || s.cache != nil || s.bodyBytes != config.DefaultStepBody || s.method == http.MethodHead {
		return -1
	}
	return at
}

// stream is a body that is passed on as it comes. Closing it ends its call.
type stream struct {
	io.Reader

	body   io.Closer
	length int64  // -1: unknown
	end    func() // ends its call; nil: the call ends by itself
}

// Close implements io.Closer.
func (s *stream) Close() error {
	err := s.body.Close()
	if s.end != nil {
		s.end()
	}
	return err //nolint:wrapcheck // it is only handed through
}

// outlive gives the call a life of its own, which ends with the run's until keep is called.
func (c *call) outlive(r *run) {
	ctx, end := context.WithCancelCause(r.r.Context())
	keep := context.AfterFunc(&r.ctx, func() { end(context.Cause(&r.ctx)) })
	c.within.Under(ctx)
	c.keep, c.end = func() { keep() }, func() { end(nil) }
}

// over ends the call's life and its time limit.
func (c *call) over() {
	c.within.Cancel(nil)
	if c.end != nil {
		c.end()
	}
}

// asStream makes the response a stream if it can be passed on as one.
func (c *call) asStream(res *http.Response) error {
	if c.keep == nil {
		return nil
	}
	head := exchange.ResponseHead(res)
	media, _, _ := mime.ParseMediaType(head.Get("Content-Type"))
	switch {
	case media != jsonType && !strings.HasSuffix(media, "+json") || exchange.Coded(head):
		return nil
	case res.ContentLength > peekBytes:
		c.stream = &stream{Reader: res.Body, body: res.Body, length: res.ContentLength, end: c.over}
		return nil
	case res.ContentLength >= 0:
		return nil
	}
	var first bytes.Buffer
	n, err := first.ReadFrom(io.LimitReader(res.Body, peekBytes+1))
	if err != nil {
		return err //nolint:wrapcheck // the body's own
	}
	if n > peekBytes {
		c.stream = &stream{Reader: io.MultiReader(&first, res.Body), body: res.Body, length: -1, end: c.over}
		return nil
	}
	res.Body = &stream{Reader: &first, body: res.Body}
	return nil
}

// takeOver makes the body of a call the body of the answer, and lets it outlast the run.
func (r *run) takeOver(c *call) {
	c.keep()
	r.stream = c.stream
}

// drop ends a stream that has not become an answer, and returns the buffers that hold bodies.
func (r *run) drop() {
	for i := range r.states {
		if room := r.states[i].room; room != nil {
			giveBack(room)
			r.states[i].room = nil
		}
	}
	if r.stream != nil {
		_ = r.stream.Close() // it is not wanted
	}
}

// passOn gives the answer the streamed body.
func (r *run) passOn(res *http.Response) {
	head := exchange.ResponseHead(res)
	switch {
	case r.stream.length >= 0 && !bodiless(res.StatusCode):
		head.Set("Content-Length", strconv.FormatInt(r.stream.length, 10))
	default:
		head.Del("Content-Length")
	}
	res.ContentLength = r.stream.length
	if r.r.Method == http.MethodHead || bodiless(res.StatusCode) {
		r.drop()
	} else {
		res.Body = r.stream
	}
	r.stream = nil
}

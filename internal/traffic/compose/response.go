package compose

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
)

const jsonType = "application/json"

// result is a config.Return made ready.
type result struct {
	status  int           // used if there is no program
	program *expr.Program // nil: status is used
	headers []expr.Field
	body    *expr.Document // nil: none
}

func (b *builder) result(made *result, r *config.Return) (err error) {
	if made.status = r.Status; made.status == 0 {
		made.status = http.StatusOK
	}
	if made.program, err = b.program(r.StatusExpr, expr.Int, stepScope); err != nil {
		return err
	}
	if made.headers, err = b.fields(r.Headers, stepScope, httpx.IsFieldValue); err != nil {
		return err
	}
	made.body, err = b.tree(r.Body, stepScope)
	return err
}

// response makes the answer. If a part of it cannot be computed, that is a failure like that of a step, because the
// results of the steps do not fit.
func (r *run) response() (*http.Response, error) {
	r.in.Item = nil
	status, err := r.status()
	if err != nil {
		return nil, r.unfit(err)
	}
	fields, err := head(r.result.headers, &r.in)
	if err != nil {
		return nil, r.unfit(err)
	}
	if r.stream != nil {
		res := r.answer(status, fields, nil)
		r.passOn(res)
		return res, nil
	}
	tree := r.result.body
	if tree == nil || bodiless(status) {
		return r.answer(status, fields, nil), nil
	}
	body := takeBuffer()
	body.Grow(usualBytes + tree.Size(&r.in))
	text, err := tree.Append(body.AvailableBuffer(), &r.in)
	if err != nil {
		giveBack(body)
		return nil, r.unfit(err)
	}
	_, _ = body.Write(text) // it lies there already, unless it is longer than estimated
	return r.answer(status, fields, body), nil
}

// usualBytes is enough for a small answer.
const usualBytes = 512

func (r *run) status() (int, error) {
	if r.result.program == nil {
		return r.result.status, nil
	}
	n, err := r.result.program.Int(&r.in)
	if err == nil && (n < 200 || n > 599) {
		err = fmt.Errorf("the status %d is no final one", n)
	}
	return int(n), err
}

// unfit returns what the client is told if the answer cannot be made.
func (r *run) unfit(err error) error {
	if ofClient(err) {
		return err
	}
	return fault.CompositionFailed.New("", fault.Internal("return of %s", r.name), fault.Cause(err))
}

// bodiless reports whether responses with this status never have content (RFC 9110 section 6.4.1).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// answer makes a response with JSON. An answer to HEAD has the length that GET's would have, and no body (RFC 9110
// section 9.3.2).
func (r *run) answer(status int, fields []exchange.Field, body *bytes.Buffer) *http.Response {
	var own []exchange.Field
	if body != nil || r.stream != nil && !bodiless(status) {
		own = []exchange.Field{{Name: "Content-Type", Value: jsonType}}
	}
	res := exchange.NewResponse(r.r, status, own...)
	to := exchange.ResponseHead(res)
	if r.timing {
		to.Set("Server-Timing", r.timings())
	}
	setAll(to, fields)
	if body != nil {
		fill(res, r.r.Method, body.Len(), &madeBody{buf: body, kept: r.undoes})
	} else {
		fill(res, r.r.Method, 0, http.NoBody)
	}
	return res
}

// fill gives a response its body of that length, or closes the body if none is sent.
func fill(res *http.Response, method string, length int, body io.ReadCloser) {
	res.ContentLength = int64(length)
	if !bodiless(res.StatusCode) {
		exchange.ResponseHead(res).Set("Content-Length", strconv.Itoa(length))
	}
	if length > 0 && method != http.MethodHead {
		res.Body = body
	} else {
		_ = body.Close() // it is in memory
	}
}

// madeBody is a body in a buffer that is reused once the body is closed.
type madeBody struct {
	mu  sync.Mutex    // a body may be closed while it is read
	buf *bytes.Buffer // nil once it is closed
	// kept says that a call may have outlasted the request, and still hold the values of its context.
	kept bool
}

func (b *madeBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.buf.Read(p)
}

func (b *madeBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf != nil {
		giveBack(b.buf)
		b.buf = nil
	}
	return nil
}

// Release reports whether nothing holds the request either that the composition has answered (exchange.Release): every
// call has ended, and none was given the request. Calls of steps that can be undone do not end with the request's
// context, so they may still read its values.
func (b *madeBody) Release() (request bool) { return !b.kept }

// passedFields are the header fields of a step's response that go to the client with it. They say what the body is, and
// what the status asks of the client.
func passedFields() []string {
	return []string{"Content-Type", "Content-Language", "Location", "Retry-After", "Www-Authenticate", "Allow"}
}

// pass makes the response of a step the answer.
func (r *run) pass() *http.Response {
	c := r.passed
	res := exchange.NewResponse(r.r, c.result.Status)
	to := exchange.ResponseHead(res)
	for _, name := range passedFields() {
		for _, value := range c.head.Values(name) {
			to.Add(name, value)
		}
	}
	body := c.raw
	if bodiless(c.result.Status) {
		body = nil
	}
	fill(res, r.r.Method, len(body), io.NopCloser(bytes.NewReader(body)))
	return res
}

// timings returns a Server-Timing field (W3C Server Timing): how long each step took, in milliseconds. Skipped steps
// are left out.
func (r *run) timings() string {
	var b []byte
	for i := range r.steps {
		if !r.states[i].done || r.states[i].skipped {
			continue
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(b, r.steps[i].name...)
		if r.states[i].given {
			b = append(b, ";desc=cache"...)
		}
		b = append(b, ";dur="...)
		b = strconv.AppendFloat(b, float64(r.states[i].took)/float64(time.Millisecond), 'f', 1, 64)
	}
	return string(b)
}

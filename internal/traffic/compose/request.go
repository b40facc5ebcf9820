package compose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// MaxRequestBytes is the largest body of a client that expressions can read.
const MaxRequestBytes = 1 << 20

// RoundTrip answers r with the results of the steps. If anything reads the client's body, it is read whole before the
// first step starts, so that a request that does not arrive completely changes nothing anywhere.
func (c *Composition) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := c.requestBody(r)
	if r.Body != nil {
		_ = r.Body.Close() // it was read, or nothing reads it
	}
	if err != nil {
		return nil, err
	}
	run := c.begin(r, body)
	defer run.drop()
	run.all()
	res, err := run.outcome()
	if err != nil || run.passed != nil && res.StatusCode >= http.StatusBadRequest {
		run.undo()
	}
	return res, err
}

// outcome returns the answer of a run in which no call is under way.
func (r *run) outcome() (*http.Response, error) {
	switch {
	case r.err != nil:
		return nil, r.err
	case r.passed != nil:
		return r.pass(), nil
	case r.r.Context().Err() != nil:
		return nil, context.Cause(r.r.Context())
	}
	return r.response()
}

// requestBody reads and decodes the client's body; it returns nil if the body is empty.
func (c *Composition) requestBody(r *http.Request) (any, error) {
	if !c.readsRequest || r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if f := unreadable(r); f != nil {
		return nil, f
	}
	text, err := exchange.ReadDecoded(r, MaxRequestBytes)
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return nil, tooLarge()
	case err != nil:
		return nil, fmt.Errorf("read the request's body: %w", err)
	case len(text) == 0:
		return nil, nil
	}
	// With duplicate members, one step could read another value than the one that a second step sends on.
	value, err := jsonx.Parse(text, jsonx.Options{MaxBytes: MaxRequestBytes, Unique: true})
	if err != nil {
		syntax, _ := errors.AsType[*jsonx.SyntaxError](err)
		return nil, fault.MalformedBody.New(fmt.Sprintf("The body is not JSON: %s at byte %d.", syntax.Text, syntax.Offset))
	}
	return value, nil
}

func tooLarge() *fault.Fault {
	return fault.BodyTooLarge.New(fmt.Sprintf("The body may have at most %d bytes.", MaxRequestBytes))
}

// unreadable returns a fault if the head says that the body cannot be read.
func unreadable(r *http.Request) *fault.Fault {
	head := exchange.RequestHead(r)
	media, _, _ := strings.Cut(strings.ToLower(head.Get("Content-Type")), ";")
	media = strings.TrimSpace(media)
	switch {
	case r.ContentLength > MaxRequestBytes:
		return tooLarge()
	case media != "" && media != jsonType && !strings.HasSuffix(media, "+json"):
		return fault.UnsupportedMedia.New("Send application/json.", fault.WithField("Accept", jsonType))
	}
	return nil
}

package respond

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// answer is a Config ready to run.
type answer struct {
	status  int
	header  http.Header // copied for each response
	body    string
	program *expr.Program // gives the body where it is not nil
}

func (a *answer) note() string {
	s := strconv.Itoa(a.status)
	if text := http.StatusText(a.status); text != "" {
		s += " " + text
	}
	return s
}

// adapt answers in the backend's place; next is never called.
func (a *answer) adapt(http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close() // nobody reads it
		}
		header, body := a.header.Clone(), a.body
		if a.program != nil {
			var err error
			if body, err = a.compute(r, header); err != nil {
				return nil, failed(err)
			}
		}
		return response(r, a.status, header, body), nil
	})
}

// failed is what is answered where the body cannot be computed.
func failed(err error) *fault.Fault {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told // what the client did wrong, as an ambiguous query
	}
	return fault.Unexpected.New("", fault.Internal("the body of respond"), fault.Cause(err))
}

// compute evaluates the body: a text is sent as it is, anything else as JSON.
func (a *answer) compute(r *http.Request, header http.Header) (string, error) {
	value, err := a.program.Value(&expr.Input{Request: r})
	if err != nil {
		return "", fmt.Errorf("evaluate: %w", err)
	}
	text, isText := value.(string)
	kind := plainText
	if !isText {
		encoded, err := jsonx.Append(nil, value)
		if err != nil {
			return "", fmt.Errorf("encode: %w", err)
		}
		text, kind = string(encoded), jsonType
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", kind)
	}
	return text, nil
}

// response makes a response whose body is in memory. One to HEAD has the length
// that GET's would have, and no body (RFC 9110 section 9.3.2).
func response(r *http.Request, status int, header http.Header, body string) *http.Response {
	res := &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Request: r, ContentLength: int64(len(body)), Body: http.NoBody,
	}
	if !bodiless(status) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if body != "" && r.Method != http.MethodHead {
		res.Body = io.NopCloser(strings.NewReader(body))
	}
	return res
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

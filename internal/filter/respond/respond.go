package respond

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// answer is a Config ready to run.
type answer struct {
	status  int
	fields  []exchange.Field // without Content-Length
	typed   bool             // Content-Type is among them
	body    string
	program *expr.Program // computes the body, unless nil
}

func (a *answer) note() string {
	s := strconv.Itoa(a.status)
	if text := http.StatusText(a.status); text != "" {
		s += " " + text
	}
	return s
}

// adapt answers in place of the backend; next is never called.
func (a *answer) adapt(http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close() // it is not needed
		}
		if a.program == nil {
			return a.response(r, a.body), nil
		}
		body, kind, err := a.compute(r)
		if err != nil {
			return nil, failed(err)
		}
		res := a.response(r, body)
		if !a.typed {
			exchange.ResponseHead(res).Set(contentType, kind)
		}
		return res, nil
	})
}

// failed is the answer if the body cannot be computed.
func failed(err error) *fault.Fault {
	if told, ok := errors.AsType[*fault.Fault](err); ok {
		return told // the client's mistake, such as an ambiguous query
	}
	return fault.Unexpected.New("", fault.Internal("the body of respond"), fault.Cause(err))
}

// compute evaluates the body and returns it with its Content-Type: a string is sent as it is, anything else as JSON.
func (a *answer) compute(r *http.Request) (body, kind string, err error) {
	value, err := a.program.Value(&expr.Input{Request: r})
	if err != nil {
		return "", "", fmt.Errorf("evaluate: %w", err)
	}
	if text, ok := value.(string); ok {
		return text, plainText, nil
	}
	encoded, err := jsonx.Append(nil, value)
	if err != nil {
		return "", "", fmt.Errorf("encode: %w", err)
	}
	return string(encoded), jsonType, nil
}

// response makes a response whose body is in memory. A response to HEAD has the Content-Length that GET would have, and
// no body (RFC 9110 section 9.3.2).
func (a *answer) response(r *http.Request, body string) *http.Response {
	res := exchange.NewResponse(r, a.status, a.fields...)
	res.ContentLength = int64(len(body))
	if !bodiless(a.status) {
		exchange.ResponseHead(res).Set("Content-Length", strconv.Itoa(len(body)))
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

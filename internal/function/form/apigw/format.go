package apigw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Format is one of the forms in which AWS gives requests to functions and accepts their answers.
type Format string

// The formats.
const (
	V2       Format = "v2"        // payload format version 2.0 of HTTP APIs, and of function URLs
	V1       Format = "v1"        // payload format version 1.0 of REST APIs
	ALB      Format = "alb"       // of a load balancer, with one value for each name
	ALBMulti Format = "alb-multi" // of a load balancer whose target group has multi-value headers
	Raw      Format = "raw"       // the bodies themselves, which are JSON
)

// Formats lists them.
func Formats() []Format { return []Format{V2, V1, ALB, ALBMulti, Raw} }

// Known reports whether the format exists.
func (f Format) Known() bool { return slices.Contains(Formats(), f) }

// Encode returns the event for a request that belongs to an exchange. body is the request's whole body; Raw passes it
// unchanged.
func (f Format) Encode(r *http.Request, body []byte) ([]byte, error) {
	x := exchange.Of(r)
	if x.Event != "" {
		return body, nil
	}
	switch f {
	case Raw:
		return rawEvent(body), nil
	case V1:
		return encode(newEventV1(r, x, body), len(body))
	case ALB, ALBMulti:
		return encode(newEventALB(r, body, f == ALBMulti), len(body))
	default:
		return Encode(r, body), nil
	}
}

// rawEvent returns the body, or an empty object in place of an empty body, as Lambda does.
func rawEvent(body []byte) []byte {
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("{}")
	}
	return body
}

func encode(event any, bodyBytes int) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(bodyBytes + bodyBytes/3 + eventHeadBytes) // room for base64, which is what most large bodies are
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Decode turns a function's whole payload into the response to r. In version 2.0, JSON without a statusCode is the body
// itself: status 200, application/json.
func (f Format) Decode(r *http.Request, payload []byte) (*http.Response, error) {
	if f != Raw && bytes.Contains(payload[:min(len(payload), maxPrelude)], preludeEnd) { // streamed to a caller that did not ask for a stream: JSON has no NUL
		return DecodeStream(r, io.NopCloser(bytes.NewReader(payload)))
	}
	if isEvent(r) {
		return decodeEvent(r, payload)
	}
	switch f {
	case Raw:
		return inferred(r, bytes.TrimSpace(payload)), nil
	case V2:
		return Decode(r, payload)
	default:
		return strict(r, payload)
	}
}

// strict decodes a payload that must be an answer with a status.
func strict(r *http.Request, payload []byte) (*http.Response, error) {
	a, err := parse(payload, true)
	if err != nil {
		return nil, err
	}
	if a.status == nil {
		return nil, errors.New("the function's answer has no statusCode")
	}
	return a.response(r)
}

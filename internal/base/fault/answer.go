package fault

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// problem is the body of RFC 9457 section 3, with the request's id as an extension member.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Code      string `json:"code"`
	RequestID string `json:"request_id,omitempty"`
	Operator  string `json:"operator,omitempty"`
	// Problems is an extension member too.
	Problems []string `json:"problems,omitempty"`
}

// Context is what an answer contains beyond the fault itself, and who receives it.
type Context struct {
	RequestID string // "" if there is none
	// Verbose adds details that are otherwise for operators only; for development.
	Verbose bool
	// GRPC is set for clients that speak gRPC. They understand only a trailers-only response: status 200 and
	// grpc-status in the head.
	GRPC bool
	// Late means that the time is up that a gRPC client gave its call. A fault with a status from 500 on is then
	// reported as an exceeded deadline.
	Late bool
}

// Field is one line of a head.
type Field struct{ Name, Value string }

// Answer is what a client gets in place of a response. Package exchange writes it.
type Answer struct {
	Status int
	Fields []Field // in order; lines with the same name are adjacent
	Body   []byte  // also set for HEAD, whose response leaves it out
}

// Answer returns the response for f: application/problem+json, or what gRPC requires.
func (f *Fault) Answer(c Context) Answer {
	if c.GRPC {
		return Answer{Status: http.StatusOK, Fields: append(f.ownFields(),
			Field{"Content-Type", "application/grpc"},
			Field{"Grpc-Status", strconv.Itoa(grpcStatus(f.Status, c.Late))},
			Field{"Grpc-Message", grpcMessage(f)})}
	}
	p := problem{Type: f.URI(), Title: f.Title, Status: f.Status, Detail: f.Detail, Code: f.Code, RequestID: c.RequestID, Problems: f.Problems}
	if c.Verbose {
		p.Operator = f.Operator()
	}
	body := p.encode()
	return Answer{Status: f.Status, Body: body, Fields: append(f.ownFields(),
		Field{"Content-Type", "application/problem+json"},
		Field{"Content-Length", strconv.Itoa(len(body))},
		Field{"Cache-Control", "no-store"},
		Field{"X-Content-Type-Options", "nosniff"})}
}

// ownFields returns the header fields of this fault, with capacity for the fields of every answer.
func (f *Fault) ownFields() []Field {
	const common = 5
	fields := append(make([]Field, 0, len(f.Fields)+common), f.Fields...)
	if f.RetryAfter > 0 {
		fields = append(fields, Field{"Retry-After", strconv.Itoa(retrySeconds(f.RetryAfter))})
	}
	return fields
}

// encode returns the JSON text. Its media type keeps browsers from reading it as HTML, so '<' and '&' stay readable.
func (p problem) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(p) // strings, ints and lists of them always encode
	return b.Bytes()
}

func retrySeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// grpcStatus maps an HTTP status to a gRPC code, as gRPC's
// "HTTP to gRPC Status Code Mapping" does for responses without one.
func grpcStatus(status int, late bool) int {
	if late && status >= http.StatusInternalServerError {
		return 4 // DEADLINE_EXCEEDED
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge:
		return 13 // INTERNAL
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // UNAVAILABLE
	case http.StatusRequestEntityTooLarge:
		return 8 // RESOURCE_EXHAUSTED
	default:
		return 2 // UNKNOWN
	}
}

// grpcMessage percent-encodes everything outside printable ASCII, as the gRPC protocol requires.
func grpcMessage(f *Fault) string {
	text := f.Code + ": " + f.Title
	if f.Detail != "" {
		text = f.Code + ": " + f.Detail
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(c)+0x100, 16)[1:]))
		}
	}
	return b.String()
}

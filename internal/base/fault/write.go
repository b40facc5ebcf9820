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
}

// Context is what a response says of a fault beyond the fault itself.
type Context struct {
	RequestID string // "" where there is none
	// Verbose adds what is for operators only; for development.
	Verbose bool
}

// Write answers r with f: application/problem+json, or for a gRPC request a
// trailers-only response (status 200 and grpc-status in the head), because
// gRPC clients understand nothing else.
// It must be called before anything was written to w.
func Write(w http.ResponseWriter, r *http.Request, f *Fault, c Context) {
	h := w.Header()
	for name, values := range f.Header {
		h[name] = append([]string(nil), values...)
	}
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(retrySeconds(f.RetryAfter)))
	}
	if IsGRPC(r) {
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(grpcStatus(f.Status)))
		h.Set("Grpc-Message", grpcMessage(f))
		w.WriteHeader(http.StatusOK)
		return
	}
	p := problem{Type: f.URI(), Title: f.Title, Status: f.Status, Detail: f.Detail, Code: f.Code, RequestID: c.RequestID}
	if c.Verbose {
		p.Operator = f.Operator()
	}
	body := p.encode()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone, and there is nobody else to tell
	}
}

// encode gives the JSON text. Its type keeps browsers from reading it as HTML, so
// '<' and '&' stay readable.
func (p problem) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(p) // strings and ints always encode
	return b.Bytes()
}

func retrySeconds(d time.Duration) int {
	return max(1, int(math.Ceil(d.Seconds())))
}

// IsGRPC tells whether r is a gRPC call (gRPC over HTTP/2, "Requests": the
// content type begins with application/grpc, but is not gRPC-Web).
func IsGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && r.ProtoMajor == 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcStatus maps an HTTP status to a gRPC code, as gRPC's
// "HTTP to gRPC Status Code Mapping" does for responses without one.
func grpcStatus(status int) int {
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

// grpcMessage percent-encodes everything outside printable ASCII, as the gRPC protocol asks.
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

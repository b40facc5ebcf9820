package exchange

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Refuse answers r with f where no exchange was opened. It must be called before
// anything was written to w. Within an exchange Writer.Fail does it.
func Refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	answer(w, headOf(w), r, f, fault.Context{})
}

// answer writes what f is answered with; head is w's.
func answer(w http.ResponseWriter, head Head, r *http.Request, f *fault.Fault, c fault.Context) {
	c.GRPC = isGRPC(r)
	a := f.Answer(c)
	SetFields(head, a.Fields...)
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead && len(a.Body) > 0 {
		_, _ = w.Write(a.Body) // the client may be gone, and there is nobody else to tell
	}
}

// isGRPC tells whether r is a gRPC call (gRPC over HTTP/2, "Requests": the
// content type begins with application/grpc, but is not gRPC-Web).
func isGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(RequestHead(r).Get("Content-Type"), "application/grpc")
	return ok && r.ProtoMajor == 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcUnits are the units of a call's time (gRPC over HTTP/2, "Timeout").
var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// late tells whether a gRPC call that has taken so long has had all the time that its client
// gave it. A backend that ends it then says only that it has ended it.
func late(r *http.Request, took time.Duration) bool {
	const digits = 8 // more may not be written
	text := RequestHead(r).Get("Grpc-Timeout")
	if text == "" || len(text) > digits+1 {
		return false
	}
	given, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, known := grpcUnits[text[len(text)-1]]
	return err == nil && known && uint64(took/unit) >= given
}

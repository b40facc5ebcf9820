package exchange

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// IsGRPC reports whether a request or response with this head, over HTTP/major, belongs to a gRPC call (gRPC over
// HTTP/2, "Requests"): its content type is application/grpc, which `+proto` or parameters may follow. gRPC-Web has
// another one.
func IsGRPC(major int, head Head) bool {
	if major != 2 {
		return false
	}
	rest, ok := strings.CutPrefix(head.Get("Content-Type"), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcUnits are the units of a call's timeout (gRPC over HTTP/2, "Timeout").
var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// late reports whether a gRPC call that took that long has used all the time that its client gave it. A backend that
// ends the call then only says that it has ended it.
func late(r *http.Request, took time.Duration) bool {
	const digits = 8 // more are not allowed
	text := RequestHead(r).Get("Grpc-Timeout")
	if text == "" || len(text) > digits+1 {
		return false
	}
	given, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, known := grpcUnits[text[len(text)-1]]
	return err == nil && known && uint64(took/unit) >= given
}

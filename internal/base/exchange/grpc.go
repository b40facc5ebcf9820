package exchange

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// IsGRPC reports whether a request or response with this head, over HTTP/major, belongs to a gRPC call (gRPC over
// HTTP/2, "Requests"): its content type is application/grpc, optionally followed by `+proto` or parameters. gRPC-Web
// has a different content type.
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

// late reports whether a gRPC call that took this long has used up the time that its client gave it. If the backend
// ends the call then, all that it tells is that it has ended it.
func late(r *http.Request, took time.Duration) bool {
	const digits = 8 // the maximum that the protocol allows
	text := RequestHead(r).Get("Grpc-Timeout")
	if text == "" || len(text) > digits+1 {
		return false
	}
	given, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, known := grpcUnits[text[len(text)-1]]
	return err == nil && known && uint64(took/unit) >= given
}

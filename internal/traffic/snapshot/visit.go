package snapshot

import (
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

// visit is an exchange together with what counts and logs it when it has ended. It uses no done hook, so that this
// costs no allocation. It lies on the stack of the goroutine that serves the request.
type visit struct {
	*exchange.Exchange

	use     *use  // of its snapshot; a long stream must not hold the snapshot itself
	nth     int64 // its number among the requests under way
	writer  *exchange.Writer
	request *http.Request
	meter   *telemetry.Route
	counted *telemetry.Route // in which it is counted as under way
}

// leave counts the request out.
func (v *visit) leave() {
	v.use.gateway.under.leave()
	v.use.leave()
}

// begin begins the exchange. Its route is not known yet.
func (v *visit) begin(w http.ResponseWriter, r *http.Request) {
	v.meter = v.use.gateway.options.Unmatched
	v.writer, v.request = exchange.Begin(w, r, v.Exchange)
}

// isAlone reports whether nothing that sees the exchange, filters of its route included, might keep any part of it.
func (v *visit) isAlone(target *Route) bool {
	return target.Alone && v.use.tracer == nil && v.use.gateway.options.Visited == nil
}

// end ends the exchange; abort is as in exchange.Writer.Finish.
func (v *visit) end(abort error) {
	outcome := v.writer.Finish(abort)
	v.meter.Count(v.request.Method, v.Exchange, outcome)
	use := v.use
	if use.tracer != nil {
		use.tracer.End(v.request, v.Exchange, outcome)
	}
	if use.log != nil {
		use.log.Write(v.request, v.writer.Head(), v.Exchange, outcome)
	}
	if visited := use.gateway.options.Visited; visited != nil {
		visited(v.request, v.Exchange, outcome)
	}
}

// finish is deferred, and ends the exchange.
func (v *visit) finish() {
	v.counted.End()
	if cause := recover(); cause != nil {
		v.broken(cause)
		return
	}
	v.end(nil)
}

// broken ends the exchange after a panic: a handler's own abort goes on to the server, and a bug is answered with 500
// and its stack is logged.
func (v *visit) broken(cause any) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http compares it
		v.end(http.ErrAbortHandler)
		panic(http.ErrAbortHandler)
	}
	v.use.gateway.options.Log.Error("panic in a handler", "request_id", v.RequestID(), "route", v.Route, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	err := fault.Unexpected.New("", fault.Internal("panic: %v", cause))
	defer v.end(err)
	v.writer.Fail(err) // panics with http.ErrAbortHandler if the head was already sent
}

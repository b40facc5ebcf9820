package tracing

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// The header fields of W3C Trace Context.
const (
	traceparent = "Traceparent"
	tracestate  = "Tracestate"
)

// carrier adapts a head for the propagator. More than one traceparent counts as none (W3C Trace Context section
// 3.2.2.5: an unparsable one begins a new trace).
type carrier struct{ exchange.Head }

func (c carrier) Get(name string) string {
	values := c.Values(name)
	if len(values) > 1 && name == "traceparent" {
		return ""
	}
	return strings.Join(values, ",") // several tracestate lists are one
}

func (c carrier) Keys() []string { return []string{traceparent, tracestate} }

// extract returns ctx with the trace that head continues, if any.
func extract(ctx context.Context, head exchange.Head) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier{head})
}

// inject writes span into head, replacing what the client sent.
func inject(head exchange.Head, span trace.SpanContext) {
	head.Set(traceparent, "00-"+span.TraceID().String()+"-"+span.SpanID().String()+"-"+span.TraceFlags().String())
	if state := span.TraceState().String(); state != "" {
		head.Set(tracestate, state)
	} else {
		head.Del(tracestate)
	}
}

// xray is span as AWS writes it in X-Amzn-Trace-Id and _X_AMZN_TRACE_ID.
func xray(span trace.SpanContext) string {
	const epoch = 8 // hexadecimal digits, which X-Ray takes for a time
	id, sampled := span.TraceID().String(), "0"
	if span.IsSampled() {
		sampled = "1"
	}
	return "Root=1-" + id[:epoch] + "-" + id[epoch:] + ";Parent=" + span.SpanID().String() + ";Sampled=" + sampled
}

// ids generates the ids of traces and spans. A trace that begins here gets the request's id if that is a valid trace
// id, so that logs and traces are found by the same id.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	if x := exchange.From(ctx); x != nil {
		if own := x.RequestID(); len(own) == hex.EncodedLen(len(id)) {
			if parsed, err := trace.TraceIDFromHex(own); err == nil {
				return parsed, newSpanID()
			}
		}
	}
	for !id.IsValid() {
		fill(id[:8])
		fill(id[8:])
	}
	return id, newSpanID()
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

func newSpanID() (id trace.SpanID) {
	for !id.IsValid() {
		fill(id[:])
	}
	return id
}

// fill writes eight random bytes.
func fill(b []byte) {
	n := rand.Uint64() //nolint:gosec // ids need to be unique, not secret
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
}

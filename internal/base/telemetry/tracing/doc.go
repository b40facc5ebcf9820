// Package tracing makes the gateway's part of distributed traces: a server span for each request, a span for each step
// of a composition, and a client span for each attempt at a backend. It reads and writes W3C Trace Context, and sends
// spans to a collector by OTLP over HTTP.
//
// Spans, sampling, batches and their limits come from OpenTelemetry's SDK, with the OTEL_ variables that it knows.
// Weir's own are the decision whose sampling flag is believed (sampler.go) and the sending (client.go): the SDK's own
// HTTP exporter brings all of gRPC into the program.
//
//   - tracing.go: the Tracer, from a request's begin to its end.
//   - settings.go: where settings come from.
//   - span.go: the contents of spans, by OpenTelemetry's conventions for HTTP.
//   - context.go: traceparent and tracestate, and their form for AWS X-Ray.
package tracing

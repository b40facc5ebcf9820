// Package tracing makes the gateway's part of distributed traces: a server span for
// each request, one for each step of a composition, a client span for each attempt at a backend, W3C Trace Context in
// and out, sent to a collector by OTLP over HTTP.
//
// Spans, sampling, batches and their limits are OpenTelemetry's SDK, with the
// OTEL_ variables that it knows. Ours are the decision whose word on sampling counts
// (sampler.go) and the sending (client.go): the SDK's own HTTP exporter brings all of
// gRPC into the program.
//
//   - tracing.go: the Tracer, from a request's begin to its end.
//   - settings.go: where settings come from.
//   - span.go: what spans say, by OpenTelemetry's conventions for HTTP.
//   - context.go: traceparent and tracestate, and their form for AWS X-Ray.
package tracing

// Package accesslog writes one line for each request that was answered.
//
// A line is built on the request's own goroutine, in a reused buffer, and handed to a sink, whose goroutine writes many
// lines at once. The sink is bounded: if the reader of the log does not keep up, lines are dropped and counted, because
// a slow disk must not slow a client. Nothing that a client sent can break a line or a terminal, and header fields that
// carry credentials are never written (see masked).
//
//   - accesslog.go: which requests are logged, and the path of a line.
//   - field.go: what can be logged about a request.
//   - line.go: lines of fields; text.go, json.go: how these are written; common.go: the older formats.
//   - sink.go: the buffer between requests and the output; file.go: an output that may be rotated.
package accesslog

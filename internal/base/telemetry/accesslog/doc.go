// Package accesslog writes one line for each request that was answered.
//
// A line is made on the request's own goroutine, into a buffer that is used again,
// and handed to a sink, whose goroutine writes many lines at once. The sink is bounded:
// where the reader of the log does not keep up, lines are dropped and counted, for
// a slow disk must not slow a client. Nothing that a client sent can break a line or
// a terminal, and what carries credentials is never written (see masked).
//
//   - accesslog.go: which requests, and the road of a line.
//   - field.go: what can be told of a request.
//   - line.go: lines of fields; text.go, json.go: how these are written; common.go: the formats of old.
//   - sink.go: the buffer between requests and the output; file.go: an output that may be rotated.
package accesslog

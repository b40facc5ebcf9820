// Package http2 watches connections that speak HTTP/2 (RFC 9113), in front of
// the server that speaks it.
//
// A server of HTTP/2 does what the frames of its client tell it, and a client can
// keep one busy with frames that lead nowhere: requests that are reset at once,
// header blocks without end, pings, settings, empty pieces of content. Each of
// them is allowed now and then. The Meter reads nothing but the heads of frames,
// lets every one pass that may be work for nothing at a price, pays for useful
// work, and ends a connection that has spent more than it was given.
//
//   - scan.go: frames in a stream of bytes.
//   - budget.go: what frames cost and what useful work pays.
//   - meter.go: the connection that counts.
//   - clock.go: its deadlines.
//   - reason.go: why a connection was ended.
package http2

// Package http2 watches connections that speak HTTP/2 (RFC 9113), in front of the server that handles them.
//
// An HTTP/2 server does what its client's frames tell it to do, and a client can keep a server busy with frames that
// achieve nothing: requests that are reset at once, header blocks without end, pings, settings, empty pieces of
// content. Each of them is allowed now and then. The Meter reads only the heads of frames, and counts the fields in
// header blocks. It charges a price for every frame that may cause useless work, credits useful work, and ends a
// connection that has spent more than it was given.
//
//   - scan.go: frames in a stream of bytes.
//   - budget.go: what frames cost and what useful work pays.
//   - meter.go: the connection that counts.
//   - clock.go: its deadlines.
//   - reason.go: why a connection was ended.
package http2

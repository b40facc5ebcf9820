// Package websocket is a server's side of WebSocket connections (RFC 6455) that end in this
// process: the handshake, messages with their limits, and what stands between.
//
//   - handshake.go: whether a request asks for one, and what is answered.
//   - read.go: frames become messages.
//   - write.go: messages become frames.
package websocket

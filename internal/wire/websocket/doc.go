// Package websocket is a server's side of WebSocket connections (RFC 6455) that end in this process: the handshake,
// messages with their limits, and the control frames between them.
//
//   - handshake.go: whether a request asks for a WebSocket, and how it is answered.
//   - read.go: turns frames into messages.
//   - write.go: turns messages into frames.
package websocket

// Package listen holds what clients connect to: sockets, TLS handshakes, the HTTP server, and the bounds on all of
// them.
//
// A Server owns one listening socket. Each accepted connection is counted, names its client if a proxy announces it,
// completes its TLS handshake in a goroutine of its own, and is then handed to net/http's server: HTTP/1.x behind an
// http1.Sieve, which refuses what net/http would forgive; HTTP/2 behind an http2.Meter, which ends connections that
// lead nowhere, with the Sieve's rules applied to its requests.
//
// Both stand above TLS. net/http terminates TLS itself on a *tls.Conn, and serves HTTP/2 without TLS on any other
// connection that begins with its preface, unless the connection has a ConnectionState method. The choice is therefore
// made here, by what ALPN agreed on: h2 is handed on without that method, and Request.TLS is set in handler.go;
// everything else is an http1.TLSSieve, which has the method. Without TLS the Sieve finds the preface, and the Meter
// stands below it.
//
// How long a client may take, and where that is enforced:
//
//   - accept.go: one deadline from accept to the first request.
//   - http1, http2: each head; content over HTTP/1.x.
//   - streams.go: content over HTTP/2, both ways.
//   - stall.go: how slowly a client may take what is sent to it.
//   - rest.go: idle connections of HTTP/1.x; net/http those of HTTP/2.
package listen

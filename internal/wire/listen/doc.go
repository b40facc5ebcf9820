// Package listen holds what clients connect to: sockets, TLS handshakes, the
// HTTP server, and the bounds on all of them.
//
// A Server owns one listening socket. Each accepted connection is counted,
// finishes its TLS handshake in a goroutine of its own, and is then handed to
// net/http's server: HTTP/1.x behind an http1.Sieve, which refuses what net/http
// would forgive; HTTP/2 as it is, with the same rules applied to its requests.
//
// The Sieve stands above TLS. net/http serves HTTP/2 only on a *tls.Conn and
// fills Request.TLS for any connection that has a ConnectionState method, so
// the choice is made here, by what ALPN agreed on: h2 is handed on as the
// *tls.Conn, all else as an http1.TLSSieve.
package listen

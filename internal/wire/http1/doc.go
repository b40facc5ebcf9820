// Package http1 is the strict grammar of HTTP/1.x messages (RFC 9110, RFC 9112),
// the Sieve, a connection that lets nothing else through, and a Server and a
// Client that read and write them themselves.
//
// The grammar works on bytes, allocates nothing, and refuses instead of
// repairing: a message that two parsers could read in two ways has no reading
// here at all. Each rule is a Reason, and the table in reason.go is the list of
// them.
//
// The Sieve stands between an accepted connection and the HTTP/1.x server, for
// the standard one forgives more than a gateway may: bare line feeds,
// Content-Length beside Transfer-Encoding, targets without a leading slash. It
// holds each head until it is whole and was checked, then follows the body by
// the one framing that the head declares, so that the server never sees a byte
// that this package and it could understand differently.
//
// The Server serves the same requests without net/http's, from the socket to the
// handler:
//
//   - server.go: the server and what ends it.
//   - serve.go: a connection, from one head to the next.
//   - request.go, body.go: what a handler gets.
//   - response.go, append.go: what it answers.
//   - turn.go: what is used again; poison.go: how that is found out.
//   - park.go, porter*.go: who waits while nothing is asked.
//   - sweep.go, gone*.go: who has waited for too long, or has left.
//   - cohort.go: requests that are ready at the same time, which wait for each other, and when.
//
// The Client asks endpoints, as an http.RoundTripper:
//
//   - client.go: the client, and what it sends a second time.
//   - pool.go, link.go, peek*.go: kept connections, and whether they live.
//   - round.go: one request and its response.
//   - ask.go, feed.go: what is sent; what is sent beside.
//   - status.go, answer.go, answer_body.go, switch.go: what comes back.
//   - patrol.go: who has given up, and what is unused; room.go: what is used again.
package http1

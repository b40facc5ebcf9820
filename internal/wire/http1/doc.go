// Package http1 implements HTTP/1.x (RFC 9110, RFC 9112): a strict grammar of its messages, the Sieve, a connection
// that lets nothing else through, and a Server and a Client that read and write such messages themselves.
//
// The grammar works on bytes, allocates nothing, and refuses instead of repairing: a message that two parsers could
// read in two ways is rejected. Each rule is a Reason, and the table in reason.go lists them.
//
// The Sieve stands between an accepted connection and the HTTP/1.x server of net/http, because that server accepts more
// than a gateway may: bare line feeds, Content-Length beside Transfer-Encoding, targets without a leading slash. It
// holds each head until it is complete and checked. It then follows the body by the one framing that the head declares.
// The server therefore never sees a byte that it could interpret differently from this package.
//
// The Server serves the same requests without net/http's server, from the socket to the handler:
//
//   - server.go: the server, and how it ends.
//   - serve.go: a connection, from one head to the next.
//   - request.go, body.go: what a handler receives.
//   - response.go, append.go: what a handler sends.
//   - turn.go: the memory that is reused; package poison finds code that keeps it.
//   - park.go, porter*.go: how idle connections wait.
//   - sweep.go, gone*.go: connections that have waited too long, and clients that have left.
//   - cohort.go: when requests that are ready at the same time wait for each other.
//   - outbox_unix.go, posting.go: what they have ready to be sent, which one goroutine sends for all.
//
// The Client sends requests to endpoints, as an http.RoundTripper:
//
//   - client.go: the client, and which requests it sends a second time.
//   - pool.go, link.go, peek*.go: kept connections, and whether they are still alive.
//   - round.go: one request and its response.
//   - ask.go, feed.go: sending the head, and sending content in a goroutine of its own.
//   - status.go, answer.go, answer_body.go, switch.go: the response.
//   - patrol.go: requests whose contexts have ended, and unused connections; room.go: the memory that is reused.
package http1

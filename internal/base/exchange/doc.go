// Package exchange is the contract that stands on top of http.Handler and
// http.RoundTripper: what one request and its response carry through the
// gateway, and the rules that every filter, the proxy and every backend keep.
//
//  1. Heads. Header fields are read and changed through Head, got from
//     RequestHead and ResponseHead. Weir's own code never touches r.Header or
//     res.Header, so an engine may build those maps only for third-party code.
//  2. Response-head operations of guards (CORS, rate-limit fields, cookies) are
//     queued with Exchange.OnHead and applied once, when the head is written,
//     for errors of the gateway too. Nobody wraps the writer for that.
//  3. Done hooks (Exchange.OnDone) stand in for wrapped bodies: counts, breakers
//     and metrics learn of the end of an exchange without hiding an upgrade.
//  4. Errors of a backend are a *SendError where a connection was involved: it
//     says how much was sent, which is all that a retry may go by.
//  5. 1xx responses arrive through Exchange.Informational; an upgrade is a Tunnel.
//  6. Lifetime. Strings may be kept; an *Exchange, Head, request or response may
//     not be kept after the handler returned. What goes on longer (a mirror, an
//     abandoned step) works on what Detach returns.
//  7. Deviations from http.RoundTripper's own rules. A backend here may change the
//     request it is given, its URL and head included, and closes the request's
//     body in every case, also on error; it may return a response whose body is
//     an io.ReadWriteCloser only for status 101. Errors are *fault.Fault,
//     *SendError or a context's error. A gRPC call's error is a trailers-only
//     response, not problem+json (fault.Write knows).
package exchange

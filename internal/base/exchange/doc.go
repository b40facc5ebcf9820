// Package exchange is the contract on top of http.Handler and http.RoundTripper: what one request and its response
// carry through the gateway, and the rules that every filter, the proxy and every backend follow.
//
//  1. Heads. Header fields are read and changed through Head, which RequestHead, ResponseHead and Writer.Head return,
//     and trailers through RequestTrailer, ResponseTrailer and Writer.AddTrailer. Messages are made by NewRequest and
//     NewResponse. Weir's own code never touches the maps below, so that an engine may keep heads as they arrived (see
//     Lines), and a map is filled only for third-party code (see Plain and Writer.Header). internal/house enforces
//     this.
//  2. Changes that guards make to the response head (CORS, rate-limit fields, cookies) are queued with Exchange.OnHead.
//     They are applied once, when the head is written, also for errors of the gateway. No code wraps the writer for
//     that.
//  3. Done hooks (Exchange.OnDone) replace wrapped bodies: counters, breakers and metrics learn of the end of an
//     exchange without hiding an upgrade.
//  4. Errors of a backend are a *SendError if a connection was involved. It says how much was sent, which is all that a
//     retry may be based on.
//  5. 1xx responses arrive through Exchange.Informational; an upgrade is a Tunnel.
//  6. Lifetime. Strings may be kept; an *Exchange, Head, request or response may not be kept after the handler
//     returned. Work that goes on longer (a mirror, an abandoned step) uses what Detach returns. A backend's response
//     and its request are reused as soon as the reader has given them up (see Release): code in between that keeps
//     either of them must put another body into the response. If a request to a backend was lent, the code that sends
//     it may borrow its context (see OutContext); the maker's own context is MakerContext.
//  7. Deviations from http.RoundTripper's own rules. A backend may change the request that it is given, including its
//     URL and head. It closes the request's body in every case, also on error. It may return a response whose body is
//     an io.ReadWriteCloser only for status 101. Errors are *fault.Fault, *SendError or a context's error. The error of
//     a gRPC call is a trailers-only response, not problem+json (Writer.Fail takes care of that).
//
// # Engines
//
// An engine reads requests and writes responses, or the other way round. net/http's engine needs none of the following.
// An engine that keeps the order and spelling of header fields:
//
//   - provides header maps that stand for Lines, in requests, responses, their trailers and its ResponseWriter, and may
//     reuse them once the handler has returned;
//   - writes and fills them through MapHead, because any of them may be a plain map;
//   - announces the trailers to come as fields of Trailer with empty values, and replaces them by those that arrived
//     when the body ends;
//   - writes an informational head when WriteHeader is called, and keeps none of it;
//   - treats fields whose names begin with http.TrailerPrefix and that are set after the body as trailers, as net/http
//     does.
//
// An engine may give its requests a RequestContext, which saves a copy of each request and has room for its exchange.
// The context may be reused for the next request if Leave allows it.
package exchange

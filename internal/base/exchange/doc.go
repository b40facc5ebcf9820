// Package exchange is the contract on top of http.Handler and http.RoundTripper:
// what one request and its response carry through the gateway, and the rules that
// every filter, the proxy and every backend keep.
//
//  1. Heads. Header fields are read and changed through Head, got from RequestHead,
//     ResponseHead and Writer.Head, trailers through RequestTrailer, ResponseTrailer
//     and Writer.AddTrailer; messages are made by NewRequest and NewResponse. Weir's
//     own code never touches the maps below, so that an engine may keep heads as
//     they came (see Lines) and a map is filled only for third-party code (see Plain
//     and Writer.Header). internal/house enforces this.
//  2. Response-head operations of guards (CORS, rate-limit fields, cookies) are
//     queued with Exchange.OnHead and applied once, when the head is written,
//     for errors of the gateway too. No code wraps the writer for that.
//  3. Done hooks (Exchange.OnDone) stand in for wrapped bodies: counts, breakers
//     and metrics learn of the end of an exchange without hiding an upgrade.
//  4. Errors of a backend are a *SendError if a connection was involved: it says
//     how much was sent, and a retry may depend on nothing else.
//  5. 1xx responses arrive through Exchange.Informational; an upgrade is a Tunnel.
//  6. Lifetime. Strings may be kept; an *Exchange, Head, request or response may
//     not be kept after the handler returned. Work that goes on longer (a mirror, an
//     abandoned step) uses what Detach returns. A backend's response and its request
//     are reused as soon as their reader has given them up (see Release): code in
//     between that keeps either puts another body in the response. The code that
//     sends a request that was lent may borrow its context (see OutContext); the
//     maker's own context is MakerContext.
//  7. Deviations from http.RoundTripper's own rules. A backend here may change the
//     request it is given, including its URL and head, and always closes the request's
//     body, also on error; it may return a response whose body is an
//     io.ReadWriteCloser only for status 101. Errors are *fault.Fault,
//     *SendError or a context's error. A gRPC call's error is a trailers-only
//     response, not problem+json (Writer.Fail takes care of this).
//
// # Engines
//
// An engine is what reads requests and writes responses, or the other way round.
// net/http's needs nothing of this. An engine that keeps the order and spelling of
// fields:
//
//   - provides header maps that stand for Lines, in requests, responses, their trailers
//     and its ResponseWriter, and may reuse them once the handler has returned;
//   - writes and fills them through MapHead, because any of them may be a plain map;
//   - announces the trailers to come as fields of Trailer with empty values, and
//     replaces them with what came when the body ends;
//   - writes an informational head when WriteHeader is called, and keeps none of it;
//   - takes the fields that begin with http.TrailerPrefix after the body, as
//     net/http does, for trailers.
//
// It may give its requests a RequestContext, which saves a copy of each request and has
// room for its exchange. The next request may reuse the RequestContext if Leave allows it.
package exchange

// Package exchange is the contract that stands on top of http.Handler and
// http.RoundTripper: what one request and its response carry through the
// gateway, and the rules that every filter, the proxy and every backend keep.
//
//  1. Heads. Header fields are read and changed through Head, got from RequestHead,
//     ResponseHead and Writer.Head, trailers through RequestTrailer, ResponseTrailer
//     and Writer.AddTrailer; messages are made by NewRequest and NewResponse. Weir's
//     own code never touches the maps below, so that an engine may keep heads as
//     they came (see Lines) and a map is filled only for third-party code (see Plain
//     and Writer.Header). internal/house holds it.
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
//     abandoned step) works on what Detach returns. A backend's response and its request
//     are used again as soon as their reader has given them up (see Release): whoever
//     stands between and keeps either puts another body in the response. Of a request that was lent, whoever sends it may
//     borrow the context (see OutContext): its maker's own is MakerContext.
//  7. Deviations from http.RoundTripper's own rules. A backend here may change the
//     request it is given, its URL and head included, and closes the request's
//     body in every case, also on error; it may return a response whose body is
//     an io.ReadWriteCloser only for status 101. Errors are *fault.Fault,
//     *SendError or a context's error. A gRPC call's error is a trailers-only
//     response, not problem+json (Writer.Fail knows).
//
// # Engines
//
// An engine is what reads requests and writes responses, or the other way round.
// net/http's needs nothing of this. One that keeps the order and spelling of fields:
//
//   - gives header maps that stand for Lines, in requests, responses, their trailers and
//     its ResponseWriter, and uses them again as it likes when the handler has returned;
//   - writes and fills them through MapHead, for any of them may be a plain map;
//   - announces the trailers to come as fields of Trailer with empty values, and
//     replaces them by what came when the body ends;
//   - writes an informational head when WriteHeader is called, and keeps none of it;
//   - takes the fields that begin with http.TrailerPrefix after the body, as
//     net/http does, for trailers.
//
// It may give its requests a RequestContext, which saves a copy of each, and has room for its exchange. That may be the next request's where Leave says so.
package exchange

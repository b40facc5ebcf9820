package tracing

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// methodOf returns the method for a span's name. A client's invented methods are left out.
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return "HTTP"
}

// routeOf returns a route's name without its methods, because a span's name begins with the method.
func routeOf(route string) string {
	methods, path, ok := strings.Cut(route, " ")
	if ok && methods == strings.ToUpper(methods) {
		return path
	}
	return route
}

// received returns a server span's attributes about the request (OpenTelemetry, Semantic conventions for HTTP spans).
// The query is left out: it may hold secrets.
func received(r *http.Request, x *exchange.Exchange) []attribute.KeyValue {
	method := methodOf(r.Method)
	list := []attribute.KeyValue{
		attribute.String("http.request.method", strings.Replace(method, "HTTP", "_OTHER", 1)),
		attribute.String("url.scheme", x.Client.Scheme),
		attribute.String("network.protocol.version", protocolVersion(r.ProtoMajor, r.ProtoMinor)),
		attribute.String("weir.request_id", x.RequestID()),
	}
	if method != r.Method {
		list = append(list, attribute.String("http.request.method_original", r.Method))
	}
	if x.Client.IP.IsValid() {
		list = append(list, attribute.String("client.address", x.Client.IP.String()))
	}
	if peer := x.Client.Peer; peer.IsValid() {
		list = append(list, attribute.String("network.peer.address", peer.Addr().String()), attribute.Int("network.peer.port", int(peer.Port())))
	}
	if agent := exchange.RequestHead(r).Get("User-Agent"); agent != "" {
		list = append(list, attribute.String("user_agent.original", agent))
	}
	return list
}

func protocolVersion(major, minor int) string {
	if major == 1 {
		return "1." + strconv.Itoa(minor)
	}
	return strconv.Itoa(major)
}

// answered returns a server span's attributes about the outcome.
func answered(x *exchange.Exchange, o exchange.Outcome) []attribute.KeyValue {
	list := []attribute.KeyValue{attribute.Int64("http.response.body.size", o.Written)}
	for _, text := range []struct{ key, value string }{
		{"server.address", x.Host}, {"url.path", x.Path}, {"http.route", routeOf(x.Route)},
		{"weir.route", x.Route}, {"weir.backend", x.Backend},
	} {
		if text.value != "" {
			list = append(list, attribute.String(text.key, text.value))
		}
	}
	if o.Status != 0 {
		list = append(list, attribute.Int("http.response.status_code", o.Status))
	}
	if x.Fault != nil {
		list = append(list, attribute.String("weir.problem", x.Fault.Code))
	}
	return list
}

// judge marks a server span as failed if the server is to blame.
func judge(span trace.Span, status int, f *fault.Fault) {
	switch {
	case status != 0 && status < http.StatusInternalServerError:
	case f != nil:
		span.SetStatus(codes.Error, f.Title)
		span.SetAttributes(attribute.String("error.type", f.Code))
	default:
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
	}
}

// called returns a client span's attributes about the call.
func called(c exchange.Call) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("http.request.method", c.Method), attribute.String("peer.service", c.Backend), attribute.String("weir.backend", c.Backend),
	}
	if host, port, err := net.SplitHostPort(c.Address); err == nil {
		list = append(list, attribute.String("server.address", host))
		if n, err := strconv.Atoi(port); err == nil {
			list = append(list, attribute.Int("server.port", n))
		}
	}
	if c.URL != "" {
		list = append(list, attribute.String("url.full", c.URL))
	}
	if c.Again > 0 {
		list = append(list, attribute.Int("http.request.resend_count", c.Again))
	}
	return list
}

// ended sets a client span's attributes and status from the outcome.
func ended(span trace.Span, a exchange.Attempt) {
	if a.Endpoint != "" {
		span.SetAttributes(attribute.String("weir.endpoint", a.Endpoint))
	}
	if a.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", a.Status))
	}
	switch {
	case a.Err != nil:
		span.SetStatus(codes.Error, a.Err.Error())
		span.SetAttributes(attribute.String("error.type", errorType(a.Err)))
	case a.Status >= http.StatusBadRequest: // for a client, 4xx is a failure too
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", strconv.Itoa(a.Status)))
	}
}

// settled sets the attributes and status of a step's span from its outcome. A failure for which a replacement was used
// does not fail the span.
func settled(span trace.Span, s exchange.Settled) {
	span.SetAttributes(attribute.String("weir.step.outcome", s.Outcome))
	if s.Cached {
		span.SetAttributes(attribute.Bool("weir.step.cached", true))
	}
	if s.Elements > 0 {
		span.SetAttributes(attribute.Int("weir.step.elements", s.Elements))
	}
	if s.Err == nil {
		return
	}
	span.SetAttributes(attribute.String("error.type", errorType(s.Err)), attribute.String("weir.step.error", s.Err.Error()))
	if s.Outcome == exchange.StepFailed {
		span.SetStatus(codes.Error, s.Err.Error())
	}
}

// errorType returns one of few values.
func errorType(err error) string {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		return send.Fault().Code
	}
	return "_OTHER"
}

package accesslog

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// value is what a field holds. kind says which of the other members is set.
type value struct {
	kind   kind
	text   string
	number int64
	addr   netip.Addr
}

type kind uint8

const (
	nothing kind = iota
	aText
	aNumber
	aDuration // number, in nanoseconds
	aTime     // number, in nanoseconds since 1970
	anAddress
)

func text(s string) value {
	if s == "" {
		return value{}
	}
	return value{kind: aText, text: s}
}

func number(n int64) value { return value{kind: aNumber, number: n} }

func address(ip netip.Addr) value {
	if !ip.IsValid() {
		return text("local")
	}
	return value{kind: anAddress, addr: ip}
}

// field is one property of a request that can be logged.
type field struct {
	name string
	help string
	of   func(e *event) value
}

// fields are all fields, in the default order of a line.
func fields() []field {
	return []field{
		{"time", "when the response ended", func(e *event) value { return value{kind: aTime, number: e.time.UnixNano()} }},
		{"level", "`INFO`, from status 500 on `WARN`", func(e *event) value { return text(e.level.String()) }},
		{"msg", "`request`, to tell these lines from others", func(*event) value { return text("request") }},
		{"method", "of the request", func(e *event) value { return text(e.r.Method) }},
		{"host", "in its normalised form", func(e *event) value { return text(e.x.Host) }},
		{"path", "in its normalised form, without the query", func(e *event) value { return text(e.x.Path) }},
		{"query", "as it came; it may hold secrets", func(e *event) value { return text(e.x.Query) }},
		{"protocol", "`HTTP/1.1`, `HTTP/2.0`", func(e *event) value { return text(e.r.Proto) }},
		{"status", "what was answered", func(e *event) value { return number(int64(e.outcome.Status)) }},
		{"took", "from the head of the request to the end of the response; seconds in JSON", func(e *event) value { return value{kind: aDuration, number: int64(e.outcome.Took)} }},
		{"bytes", "of the response's body", func(e *event) value { return number(e.outcome.Written) }},
		{"received", "bytes of the request's body", func(e *event) value { return number(e.x.Received) }},
		{"client", "the client's address; `local` on a Unix socket", func(e *event) value { return address(e.x.Client.IP) }},
		{"peer", "the address of the connection's other end: a proxy's, where there is one", func(e *event) value { return address(e.x.Client.Peer.Addr()) }},
		{"scheme", "`http` or `https`, as the client used it", func(e *event) value { return text(e.x.Client.Scheme) }},
		{"user", "the authenticated caller's subject", user},
		{"request_id", "the id that the backend and a problem's body have too", func(e *event) value { return text(e.x.RequestID()) }},
		{"trace_id", "the id of the [trace](#traces) that the request belongs to", traceID},
		{"listener", "where it came in", func(e *event) value { return text(e.x.Listener) }},
		{"route", "where there was one", func(e *event) value { return text(e.x.Route) }},
		{"backend", "where there was one", func(e *event) value { return text(e.x.Backend) }},
		{"endpoint", "the last endpoint or instance that was asked", endpoint},
		{"attempts", "how many tries there were", attempts},
		{"steps", "of a [composition](configuration.md#compositions) instead: each call by its step, with status, time and endpoint, and what was wrong with it", steps},
		{"job", "the id of the [job](configuration.md#async) that the request has become, or asks for", func(e *event) value { return text(e.x.Job) }},
		{"problem", "code of the problem that the gateway answered with", problem},
		{"detail", "what the client was told of it", detail},
		{"cause", "what it was, for operators: names, addresses, error texts; at most 1 KiB", cause},
		{"agent", "the `User-Agent`", func(e *event) value { return text(exchange.RequestHead(e.r).Get("User-Agent")) }},
		{"referer", "the `Referer`, without its query", func(e *event) value { return text(referer(e.r)) }},
	}
}

// unasked are the fields that a line has only if they are asked for.
func unasked() []string {
	return []string{"query", "protocol", "received", "peer", "scheme", "user", "listener", "agent", "referer"}
}

// FieldNames are the names of all fields.
func FieldNames() []string {
	var names []string
	for _, f := range fields() {
		names = append(names, f.name)
	}
	return names
}

// DefaultFields are the names of the fields that a line has by default.
func DefaultFields() []string {
	return slices.DeleteFunc(FieldNames(), func(name string) bool { return slices.Contains(unasked(), name) })
}

// FieldHelp returns the description of a field, "" if there is none of that name.
func FieldHelp(name string) string {
	for _, f := range fields() {
		if f.name == name {
			return f.help
		}
	}
	return ""
}

func user(e *event) value {
	if e.x.Identity == nil {
		return value{}
	}
	return text(e.x.Identity.Subject)
}

func traceID(e *event) value {
	if e.x.Trace == nil {
		return value{}
	}
	return text(e.x.Trace.ID())
}

func endpoint(e *event) value {
	if n := len(e.x.Attempts); n > 0 && e.x.Attempts[0].Step == "" {
		return text(e.x.Attempts[n-1].Endpoint)
	}
	return value{}
}

func attempts(e *event) value {
	if n := len(e.x.Attempts); n > 0 && e.x.Attempts[0].Step == "" {
		return number(int64(n))
	}
	return value{}
}

func steps(e *event) value {
	list := e.x.Attempts
	if len(list) == 0 || list[0].Step == "" {
		return value{}
	}
	texts := make([]string, 0, min(len(list), mostSteps+1))
	for i, a := range list {
		if i == mostSteps {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-mostSteps))
			break
		}
		texts = append(texts, stepText(a))
	}
	return text(strings.Join(texts, "; "))
}

// mostSteps is how many calls of a composition a line lists.
const mostSteps = 50

// stepText describes one call: "orders 200 12.3ms 10.0.0.1:8080", and what was wrong with it.
func stepText(a exchange.Attempt) string {
	text := a.Step
	if a.Status != 0 {
		text += " " + strconv.Itoa(a.Status)
	}
	text += " " + a.Took.Round(10*time.Microsecond).String()
	if a.Endpoint != "" {
		text += " " + a.Endpoint
	}
	if send, ok := errors.AsType[*exchange.SendError](a.Err); ok { // its text would repeat the endpoint
		return fmt.Sprintf("%s: %s (%s)", text, shortened(send.Err.Error()), send.Sent)
	}
	if a.Err != nil {
		text += ": " + shortened(a.Err.Error())
	}
	return text
}

func problem(e *event) value {
	if e.x.Fault == nil {
		return value{}
	}
	return text(e.x.Fault.Code)
}

func detail(e *event) value {
	if e.x.Fault == nil {
		return value{}
	}
	return text(e.x.Fault.Detail)
}

func cause(e *event) value {
	switch {
	case e.x.Fault != nil:
		return text(shortened(e.x.Fault.Operator()))
	case e.outcome.Err != nil:
		return text(shortened(e.outcome.Err.Error()))
	}
	return value{}
}

// longestCause is the maximum length of an error in a line, in bytes. Backends write part of it, such as an invalid
// status line, and they must not be able to fill a line for each request.
const longestCause = 1 << 10

func shortened(cause string) string {
	if len(cause) <= longestCause {
		return cause
	}
	return strings.ToValidUTF8(cause[:longestCause], "") + "..."
}

// referer leaves the query out, because it may contain a reset link or a search.
func referer(r *http.Request) string {
	whole := exchange.RequestHead(r).Get("Referer")
	if i := strings.IndexAny(whole, "?#"); i >= 0 {
		return whole[:i]
	}
	return whole
}

// masked reports whether a header field carries credentials. Its presence may be logged, but never its value.
func masked(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Api-Key", "Apikey", "X-Auth-Token",
		"X-Access-Token", "X-Csrf-Token", "X-Xsrf-Token", "X-Amz-Security-Token", "X-Goog-Api-Key", "X-Functions-Key",
		"Ocp-Apim-Subscription-Key", "X-Vault-Token":
		return true
	}
	return false
}

// Mask replaces a value that is not logged.
const Mask = "(masked)"

// headerField is a header field of the request or the response.
func headerField(prefix, name string, head func(*event) exchange.Head) field {
	canonical, hidden := http.CanonicalHeaderKey(name), masked(name)
	return field{name: prefix + strings.ToLower(name), of: func(e *event) value {
		h := head(e)
		if h == nil {
			return value{}
		}
		v := h.Get(canonical)
		if hidden && v != "" {
			v = Mask
		}
		return text(v)
	}}
}

// chosen are the fields of a line.
func chosen(o Options) []field {
	names := o.Fields
	if names == nil {
		names = DefaultFields()
	}
	var list []field
	all := fields()
	for _, name := range names {
		if i := slices.IndexFunc(all, func(f field) bool { return f.name == name }); i >= 0 {
			list = append(list, all[i])
		}
	}
	for _, name := range o.RequestHeaders {
		list = append(list, headerField("request.", name, func(e *event) exchange.Head { return exchange.RequestHead(e.r) }))
	}
	for _, name := range o.ResponseHeaders {
		list = append(list, headerField("response.", name, func(e *event) exchange.Head { return e.head }))
	}
	return list
}

// stamp is how times are written: with milliseconds and the zone.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func appendTime(b []byte, nanos int64) []byte { return time.Unix(0, nanos).AppendFormat(b, stamp) }

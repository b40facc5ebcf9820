package apigw

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// The kinds of events of a WebSocket, and the keys of the routes that API Gateway always has.
const (
	Connect    = "CONNECT"
	Message    = "MESSAGE"
	Disconnect = "DISCONNECT"

	ConnectKey    = "$connect"
	DisconnectKey = "$disconnect"
	DefaultKey    = "$default"
)

// Socket is a WebSocket connection as events describe it to functions.
type Socket struct {
	ID, Stage, Domain string
	Connected         time.Time
	Request           *http.Request // the request that opened it, of an exchange
}

// SocketEvent is an event of an API Gateway WebSocket API. Members that do not belong to its kind are omitted.
type SocketEvent struct {
	Headers         map[string]string   `json:"headers,omitempty"`
	MultiHeaders    map[string][]string `json:"multiValueHeaders,omitempty"`
	Query           map[string]string   `json:"queryStringParameters,omitempty"`
	MultiQuery      map[string][]string `json:"multiValueQueryStringParameters,omitempty"`
	RequestContext  SocketContext       `json:"requestContext"`
	Body            *string             `json:"body,omitempty"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
}

// SocketContext is what the gateway knows about the connection and the event.
type SocketContext struct {
	RouteKey          string         `json:"routeKey"`
	Authorizer        map[string]any `json:"authorizer,omitempty"`
	DisconnectStatus  int            `json:"disconnectStatusCode,omitempty"`
	DisconnectReason  *string        `json:"disconnectReason,omitempty"`
	MessageID         string         `json:"messageId,omitempty"`
	EventType         string         `json:"eventType"`
	ExtendedRequestID string         `json:"extendedRequestId"`
	RequestTime       string         `json:"requestTime"`
	Direction         string         `json:"messageDirection"`
	Stage             string         `json:"stage"`
	ConnectedAt       int64          `json:"connectedAt"` // milliseconds
	RequestTimeEpoch  int64          `json:"requestTimeEpoch"`
	Identity          SocketIdentity `json:"identity"`
	RequestID         string         `json:"requestId"`
	DomainName        string         `json:"domainName"`
	ConnectionID      string         `json:"connectionId"`
	APIID             string         `json:"apiId"`
}

// SocketIdentity is the client that is connected.
type SocketIdentity struct {
	UserAgent string `json:"userAgent,omitempty"`
	SourceIP  string `json:"sourceIp"`
}

// Begun returns the event of a client that asks for a connection.
func (s *Socket) Begun(id string, at time.Time) SocketEvent {
	e := s.event(ConnectKey, Connect, id, at)
	e.MultiHeaders = multiHeaders(s.Request, 0, func(name string) string { return name })
	e.Headers = last(e.MultiHeaders)
	e.MultiQuery = multiQuery(s.Request.URL.RawQuery, url.QueryUnescape)
	e.Query = last(e.MultiQuery)
	return e
}

// Said returns the event of a message. A binary payload that is not valid UTF-8 is sent as base64.
func (s *Socket) Said(key, id string, at time.Time, text bool, payload []byte) SocketEvent {
	e := s.event(key, Message, id, at)
	e.RequestContext.MessageID = id
	body := string(payload)
	if e.IsBase64Encoded = !text && !utf8.Valid(payload); e.IsBase64Encoded {
		body = base64.StdEncoding.EncodeToString(payload)
	}
	e.Body = &body
	return e
}

// Ended returns the event of a connection that has ended.
func (s *Socket) Ended(id string, at time.Time, status int, reason string) SocketEvent {
	e := s.event(DisconnectKey, Disconnect, id, at)
	e.Headers = map[string]string{"Host": s.Request.Host}
	e.MultiHeaders = map[string][]string{"Host": {s.Request.Host}}
	e.RequestContext.DisconnectStatus, e.RequestContext.DisconnectReason = status, &reason
	return e
}

func (s *Socket) event(key, kind, id string, at time.Time) SocketEvent {
	x := exchange.Of(s.Request)
	at = at.UTC()
	return SocketEvent{RequestContext: SocketContext{
		RouteKey: key, EventType: kind, ExtendedRequestID: id, RequestID: id, Direction: "IN",
		RequestTime: at.Format(accessLogStyle), RequestTimeEpoch: at.UnixMilli(), ConnectedAt: s.Connected.UnixMilli(),
		Stage: s.Stage, DomainName: s.Domain, ConnectionID: s.ID, APIID: localAPI, Authorizer: socketAuthorizer(x.Identity),
		Identity: SocketIdentity{UserAgent: strings.Join(exchange.RequestHead(s.Request).Values("User-Agent"), ","), SourceIP: sourceIP(x)},
	}}
}

// socketAuthorizer returns what an authorizer would report about the caller: the claims, as text, and the principal.
func socketAuthorizer(who *exchange.Identity) map[string]any {
	if who == nil {
		return nil
	}
	told := map[string]any{"principalId": who.Subject}
	if who.Claims != nil {
		for name, value := range who.Claims.All() {
			told[name] = claimText(value)
		}
	}
	return told
}

// EncodeSocket returns the event in the form in which functions get it.
func EncodeSocket(e SocketEvent) ([]byte, error) {
	size := 0
	if e.Body != nil {
		size = len(*e.Body)
	}
	return encode(e, size)
}

// isEvent reports whether r is an event already. The request may belong to no exchange.
func isEvent(r *http.Request) bool {
	x := exchange.From(r.Context())
	return x != nil && x.Event != ""
}

// decodeEvent returns the response to an event that was not a request. An answer without a statusCode, as from handlers
// that return nothing, is status 200 without a body. Only a connection needs an explicit status to be accepted.
func decodeEvent(r *http.Request, payload []byte) (*http.Response, error) {
	a, err := parse(payload, true)
	switch {
	case a == nil || a.status == nil:
	case err != nil:
		return nil, err
	default:
		return a.response(r)
	}
	if exchange.Of(r).Event == ConnectKey {
		return nil, fmt.Errorf("the answer to %s has no statusCode", ConnectKey)
	}
	res := exchange.NewResponse(r, http.StatusOK)
	reply.SetBody(res, nil)
	return res, nil
}

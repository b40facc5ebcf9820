package apigw

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// EventV1 is a request in payload format version 1.0. Members without a value are null.
type EventV1 struct {
	Version         string              `json:"version"`
	Resource        string              `json:"resource"`
	Path            string              `json:"path"`
	Method          string              `json:"httpMethod"`
	Headers         map[string]string   `json:"headers"` // the last value of each name
	MultiHeaders    map[string][]string `json:"multiValueHeaders"`
	Query           map[string]string   `json:"queryStringParameters"`
	MultiQuery      map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters  map[string]string   `json:"pathParameters"`
	StageVariables  map[string]string   `json:"stageVariables"`
	RequestContext  RequestContextV1    `json:"requestContext"`
	Body            *string             `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded"`
}

// RequestContextV1 is what the gateway knows besides the request.
type RequestContextV1 struct {
	AccountID         string        `json:"accountId"`
	APIID             string        `json:"apiId"`
	Authorizer        *AuthorizerV1 `json:"authorizer"`
	DomainName        string        `json:"domainName"`
	DomainPrefix      string        `json:"domainPrefix"`
	ExtendedRequestID string        `json:"extendedRequestId"`
	Method            string        `json:"httpMethod"`
	Identity          IdentityV1    `json:"identity"`
	Path              string        `json:"path"`
	Protocol          string        `json:"protocol"`
	RequestID         string        `json:"requestId"`
	RequestTime       string        `json:"requestTime"`
	RequestTimeEpoch  int64         `json:"requestTimeEpoch"` // milliseconds
	ResourceID        *string       `json:"resourceId"`
	ResourcePath      string        `json:"resourcePath"`
	Stage             string        `json:"stage"`
}

// IdentityV1 is the sender of the request. What AWS would know about its own users is null.
type IdentityV1 struct {
	AccessKey      *string `json:"accessKey"`
	AccountID      *string `json:"accountId"`
	Caller         *string `json:"caller"`
	CognitoID      *string `json:"cognitoIdentityId"`
	CognitoPool    *string `json:"cognitoIdentityPoolId"`
	CognitoType    *string `json:"cognitoAuthenticationType"`
	CognitoVia     *string `json:"cognitoAuthenticationProvider"`
	OrganisationID *string `json:"principalOrgId"`
	SourceIP       string  `json:"sourceIp"`
	User           *string `json:"user"`
	UserAgent      string  `json:"userAgent"`
	UserARN        *string `json:"userArn"`
}

// AuthorizerV1 is the caller's claims, all as text, and scopes.
type AuthorizerV1 struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"`
}

func newEventV1(r *http.Request, x *exchange.Exchange, body []byte) EventV1 {
	event := EventV1{
		Version: "1.0", Resource: resource(x.Route), Path: rawPath(r.URL), Method: r.Method,
		PathParameters: parameters(&x.Params),
	}
	event.MultiHeaders = multiHeaders(r, len(body), func(name string) string { return name })
	event.Headers = last(event.MultiHeaders)
	event.MultiQuery = multiQuery(r.URL.RawQuery, url.QueryUnescape)
	event.Query = last(event.MultiQuery)
	if len(body) > 0 {
		text, encoded := encodeBody(body, first(event.MultiHeaders, "Content-Type"), first(event.MultiHeaders, "Content-Encoding"))
		event.Body, event.IsBase64Encoded = &text, encoded
	}
	event.RequestContext = newContextV1(r, x, &event)
	return event
}

func newContextV1(r *http.Request, x *exchange.Exchange, event *EventV1) RequestContextV1 {
	prefix, _, _ := strings.Cut(x.Host, ".")
	start := x.Start.UTC()
	c := RequestContextV1{
		AccountID: localAccount, APIID: localAPI, DomainName: x.Host, DomainPrefix: prefix, ExtendedRequestID: x.RequestID(),
		Method: r.Method, Path: event.Path, Protocol: r.Proto, RequestID: x.RequestID(),
		RequestTime: start.Format(accessLogStyle), RequestTimeEpoch: start.UnixMilli(), ResourcePath: event.Resource, Stage: defaultStage,
		Identity: IdentityV1{SourceIP: sourceIP(x), UserAgent: first(event.MultiHeaders, "User-Agent")},
	}
	if x.Identity != nil && x.Identity.Claims != nil {
		all := x.Identity.Claims.All()
		claims := make(map[string]string, len(all))
		for name, value := range all {
			claims[name] = claimText(value)
		}
		c.Authorizer = &AuthorizerV1{Claims: claims, Scopes: x.Identity.Scopes}
	}
	return c
}

// parameters returns what the route's pattern has captured, nil if it captures nothing.
func parameters(params *exchange.Params) map[string]string {
	if params.Len() == 0 {
		return nil
	}
	values := make(map[string]string, params.Len())
	for i := range params.Len() {
		p := params.At(i)
		values[p.Name] = p.Value
	}
	return values
}

// encodeBody returns text as it is and anything else as base64.
func encodeBody(body []byte, contentType, coding string) (text string, encoded bool) {
	if len(body) == 0 {
		return "", false
	}
	if isText(contentType) && coding == "" && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// resource returns the path pattern of the route, if its name contains one.
func resource(route string) string {
	if key := routeKey(route); key != defaultStage {
		_, path, _ := strings.Cut(key, " ")
		return path
	}
	return "/{proxy+}"
}

// multiHeaders returns all values of each header field, cookies included, under names as spell writes them.
func multiHeaders(r *http.Request, bodyLength int, spell func(string) string) map[string][]string {
	head := exchange.RequestHead(r)
	fields := make(map[string][]string, head.Len()+2)
	for _, name := range head.Names() {
		switch strings.ToLower(name) {
		case "transfer-encoding", "content-length", "host": // the event contains the whole body
		default:
			fields[spell(name)] = head.Values(name)
		}
	}
	fields[spell("Host")] = []string{r.Host}
	if bodyLength > 0 {
		fields[spell("Content-Length")] = []string{strconv.Itoa(bodyLength)}
	}
	return fields
}

// multiQuery returns all values of each parameter in their order, nil if there is none. A pair that decode rejects is
// omitted.
func multiQuery(raw string, decode func(string) (string, error)) map[string][]string {
	if raw == "" {
		return nil
	}
	parameters := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := decode(name)
		value, errValue := decode(value)
		if pair == "" || errName != nil || errValue != nil {
			continue
		}
		parameters[name] = append(parameters[name], value)
	}
	return parameters
}

// last returns the last value of each name; nil for nil.
func last(values map[string][]string) map[string]string {
	if values == nil {
		return nil
	}
	list := make(map[string]string, len(values))
	for name, all := range values {
		list[name] = all[len(all)-1]
	}
	return list
}

// first returns the first value of a header field, however its name is spelled.
func first(fields map[string][]string, name string) string {
	if values, ok := fields[name]; ok {
		return values[0]
	}
	for other, values := range fields {
		if strings.EqualFold(other, name) {
			return values[0]
		}
	}
	return ""
}

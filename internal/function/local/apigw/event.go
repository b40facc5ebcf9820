package apigw

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Event is a request in payload format version 2.0. Empty optional fields are
// left out, never null.
type Event struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  RequestContext    `json:"requestContext"`
	PathParameters  map[string]string `json:"pathParameters,omitempty"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

// RequestContext is what the gateway knows beyond the request.
type RequestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	Authorizer   *Authorizer `json:"authorizer,omitempty"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         HTTP        `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"` // milliseconds
}

// HTTP is the request line and its sender.
type HTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// Authorizer tells who the gateway found to be calling.
type Authorizer struct {
	JWT JWT `json:"jwt"`
}

// JWT is the caller's claims, all as text, and scopes.
type JWT struct {
	Claims map[string]string `json:"claims"`
	Scopes []string          `json:"scopes"`
}

const (
	defaultStage   = "$default"
	localAccount   = "000000000000"
	localAPI       = "local"
	accessLogStyle = "02/Jan/2006:15:04:05 -0700"
)

// Encode makes the event of a request that belongs to an exchange. body is the
// request's whole body.
func Encode(r *http.Request, body []byte) ([]byte, error) {
	event := newEvent(r, exchange.Of(r), body)
	var out bytes.Buffer
	out.Grow(len(event.Body) + eventHeadBytes)
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// eventHeadBytes is about what an event takes without its body.
const eventHeadBytes = 2 << 10

func newEvent(r *http.Request, x *exchange.Exchange, body []byte) Event {
	event := Event{
		Version: "2.0", RouteKey: routeKey(x.Route), RawPath: rawPath(r.URL), RawQueryString: r.URL.RawQuery,
		Query: query(r.URL.RawQuery), PathParameters: pathParameters(&x.Params),
	}
	event.Headers, event.Cookies = headers(r, len(body))
	event.Body, event.IsBase64Encoded = encodeBody(body, event.Headers)
	event.RequestContext = newContext(r, x, event)
	return event
}

func newContext(r *http.Request, x *exchange.Exchange, event Event) RequestContext {
	prefix, _, _ := strings.Cut(x.Host, ".")
	start := x.Start.UTC()
	return RequestContext{
		AccountID: localAccount, APIID: localAPI, Authorizer: authorizer(x.Identity),
		DomainName: x.Host, DomainPrefix: prefix,
		HTTP: HTTP{
			Method: r.Method, Path: event.RawPath, Protocol: r.Proto,
			SourceIP: sourceIP(x), UserAgent: event.Headers["user-agent"],
		},
		RequestID: x.ID, RouteKey: event.RouteKey, Stage: defaultStage,
		Time: start.Format(accessLogStyle), TimeEpoch: start.UnixMilli(),
	}
}

func sourceIP(x *exchange.Exchange) string {
	if !x.Client.IP.IsValid() { // a client on a Unix socket
		return ""
	}
	return x.Client.IP.String()
}

func rawPath(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

// routeKey is the route's name where that reads "METHOD /path", which is how
// routes of files are named and what API Gateway calls a route key.
func routeKey(route string) string {
	method, path, ok := strings.Cut(route, " ")
	if !ok || !strings.HasPrefix(path, "/") || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return defaultStage
	}
	return route
}

// headers gives the fields by lower-case names, those of the same name joined
// by commas, and apart from them the cookies.
func headers(r *http.Request, bodyLength int) (fields map[string]string, cookies []string) {
	head := exchange.RequestHead(r)
	fields = make(map[string]string, head.Len()+2)
	for _, name := range head.Names() {
		if !strings.EqualFold(name, "Cookie") {
			fields[strings.ToLower(name)] = strings.Join(head.Values(name), ",")
		}
	}
	for _, value := range head.Values("Cookie") {
		cookies = appendCookies(cookies, value)
	}
	fields["host"] = r.Host
	delete(fields, "transfer-encoding") // the event holds the body whole
	delete(fields, "content-length")
	if bodyLength > 0 {
		fields["content-length"] = strconv.Itoa(bodyLength)
	}
	return fields, cookies
}

func appendCookies(cookies []string, field string) []string {
	for cookie := range strings.SplitSeq(field, ";") {
		if cookie = strings.TrimSpace(cookie); cookie != "" {
			cookies = append(cookies, cookie)
		}
	}
	return cookies
}

// query gives the decoded parameters, those of the same name joined by commas
// in their order. A pair that is not well encoded is left to rawQueryString.
func query(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	parameters := map[string]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if pair == "" || errName != nil || errValue != nil {
			continue
		}
		if before, twice := parameters[name]; twice {
			value = before + "," + value
		}
		parameters[name] = value
	}
	return parameters
}

func pathParameters(params *exchange.Params) map[string]string {
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

// encodeBody gives text as it is and all else as base64.
func encodeBody(body []byte, fields map[string]string) (text string, encoded bool) {
	if len(body) == 0 {
		return "", false
	}
	if isText(fields["content-type"]) && fields["content-encoding"] == "" && utf8.Valid(body) {
		return string(body), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// isText tells whether API Gateway passes bodies of this type as text.
func isText(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(media, "text/")
}

func authorizer(identity *exchange.Identity) *Authorizer {
	if identity == nil || identity.Claims == nil {
		return nil
	}
	all := identity.Claims.All()
	claims := make(map[string]string, len(all))
	for name, value := range all {
		claims[name] = claimText(value)
	}
	return &Authorizer{JWT{Claims: claims, Scopes: identity.Scopes}}
}

// claimText writes a claim as API Gateway does: texts as they are, a list as
// "[a b]", all else as JSON.
func claimText(claim any) string {
	switch v := claim.(type) {
	case string:
		return v
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = claimText(item)
		}
		return "[" + strings.Join(items, " ") + "]"
	default:
		text, err := json.Marshal(claim)
		if err != nil { // claims came from JSON
			return ""
		}
		return string(text)
	}
}

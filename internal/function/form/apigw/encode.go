package apigw

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Encode returns the JSON of an Event for a request that belongs to an exchange. body is the request's whole body; if
// the exchange says that the request is an event already, body is returned as that event. The JSON is written directly,
// field by field, because an event is built for every request and consists almost entirely of text that exists already.
func Encode(r *http.Request, body []byte) []byte {
	e := encoder{request: r, head: exchange.RequestHead(r), exchange: exchange.Of(r), body: body}
	if e.exchange.Event != "" {
		return body
	}
	e.out = make([]byte, 0, eventHeadBytes+base64.StdEncoding.EncodedLen(len(body)))
	e.event()
	return e.out
}

// eventHeadBytes is the approximate size of an event without its body.
const eventHeadBytes = 2 << 10

// encoder writes one event.
type encoder struct {
	request  *http.Request
	head     exchange.Head
	exchange *exchange.Exchange
	body     []byte
	out      []byte
}

// raw appends text that is JSON already.
func (e *encoder) raw(text string) { e.out = append(e.out, text...) }

// text appends what precedes a value, and then the value as a JSON string.
func (e *encoder) text(before, value string) {
	e.out = jsonx.AppendString(append(e.out, before...), value)
}

func (e *encoder) event() {
	r, key, path := e.request, routeKey(e.exchange.Route), rawPath(e.request.URL)
	e.text(`{"version":"2.0","routeKey":`, key)
	e.text(`,"rawPath":`, path)
	e.text(`,"rawQueryString":`, r.URL.RawQuery)
	e.cookies()
	e.headers()
	e.query()
	e.context(key, path)
	e.pathParameters()
	e.content()
	e.raw(`}`)
}

// cookies appends the cookies, which are not among the headers.
func (e *encoder) cookies() {
	before := `,"cookies":[`
	for _, field := range e.head.Values("Cookie") {
		for cookie := range strings.SplitSeq(field, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				e.text(before, cookie)
				before = ","
			}
		}
	}
	if before == "," {
		e.raw("]")
	}
}

// pair is a member of an object.
type pair struct{ name, value string }

// headers appends the header fields by lower-case names.
func (e *encoder) headers() {
	pairs := make([]pair, 0, e.head.Len()+2)
	pairs = append(pairs, pair{"host", e.request.Host})
	for name, value := range e.head.All() {
		switch name = strings.ToLower(name); name {
		case "cookie", "host": // stated elsewhere, or by the request
		case "transfer-encoding", "content-length": // the event contains the whole body
		default:
			pairs = append(pairs, pair{name, value})
		}
	}
	if len(e.body) > 0 {
		pairs = append(pairs, pair{"content-length", strconv.Itoa(len(e.body))})
	}
	e.object(`,"headers":`, pairs)
}

// query appends the decoded parameters. A pair that is not validly encoded appears only in rawQueryString.
func (e *encoder) query() {
	raw := e.request.URL.RawQuery
	if raw == "" {
		return
	}
	pairs := make([]pair, 0, 1+strings.Count(raw, "&"))
	for parameter := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if parameter != "" && errName == nil && errValue == nil {
			pairs = append(pairs, pair{name, value})
		}
	}
	if len(pairs) > 0 {
		e.object(`,"queryStringParameters":`, pairs)
	}
}

func (e *encoder) pathParameters() {
	params := &e.exchange.Params
	if params.Len() == 0 {
		return
	}
	pairs := make([]pair, params.Len())
	for i := range pairs {
		p := params.At(i)
		pairs[i] = pair{p.Name, p.Value}
	}
	e.object(`,"pathParameters":`, pairs)
}

// object appends pairs, sorted by name. Values of one name are joined by commas, in their order.
func (e *encoder) object(before string, pairs []pair) {
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	e.raw(before)
	e.raw("{")
	before = ""
	for len(pairs) > 0 {
		name, value, same := pairs[0].name, pairs[0].value, 1
		for ; same < len(pairs) && pairs[same].name == name; same++ {
			value += "," + pairs[same].value
		}
		e.text(before, name)
		e.text(":", value)
		before, pairs = ",", pairs[same:]
	}
	e.raw("}")
}

// context appends what the gateway knows besides the request.
func (e *encoder) context(key, path string) {
	r, x := e.request, e.exchange
	prefix, _, _ := strings.Cut(x.Host, ".")
	start := x.Start.UTC()
	e.raw(`,"requestContext":{"accountId":"` + localAccount + `","apiId":"` + localAPI + `"`)
	e.authorizer()
	e.text(`,"domainName":`, x.Host)
	e.text(`,"domainPrefix":`, prefix)
	e.text(`,"http":{"method":`, r.Method)
	e.text(`,"path":`, path)
	e.text(`,"protocol":`, r.Proto)
	e.text(`,"sourceIp":`, sourceIP(x))
	e.text(`,"userAgent":`, e.field("User-Agent"))
	e.text(`},"requestId":`, x.RequestID())
	e.text(`,"routeKey":`, key)
	e.raw(`,"stage":"` + defaultStage + `","time":"`)
	e.out = start.AppendFormat(e.out, accessLogStyle)
	e.raw(`","timeEpoch":`)
	e.out = strconv.AppendInt(e.out, start.UnixMilli(), 10)
	e.raw("}")
}

// field returns a header field's values, joined by commas.
func (e *encoder) field(name string) string { return strings.Join(e.head.Values(name), ",") }

// authorizer appends the caller's identity, if the gateway knows one.
func (e *encoder) authorizer() {
	identity := e.exchange.Identity
	if identity == nil || identity.Claims == nil {
		return
	}
	all := identity.Claims.All()
	pairs := make([]pair, 0, len(all))
	for name, value := range all {
		pairs = append(pairs, pair{name, claimText(value)})
	}
	e.object(`,"authorizer":{"jwt":{"claims":`, pairs)
	if identity.Scopes == nil {
		e.raw(`,"scopes":null}}`)
		return
	}
	e.raw(`,"scopes":[`)
	for i, scope := range identity.Scopes {
		if i > 0 {
			e.raw(",")
		}
		e.text("", scope)
	}
	e.raw("]}}")
}

// content appends the body: text as it is, anything else as base64.
func (e *encoder) content() {
	switch {
	case len(e.body) == 0:
		e.raw(`,"isBase64Encoded":false`)
	case isText(e.field("Content-Type")) && e.field("Content-Encoding") == "" && utf8.Valid(e.body):
		e.text(`,"body":`, string(e.body))
		e.raw(`,"isBase64Encoded":false`)
	default:
		e.raw(`,"body":"`)
		e.out = base64.StdEncoding.AppendEncode(e.out, e.body)
		e.raw(`","isBase64Encoded":true`)
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

// routeKey returns the route's name if it reads "METHOD /path", which is how routes in config files are named and what
// API Gateway calls a route key.
func routeKey(route string) string {
	method, path, ok := strings.Cut(route, " ")
	if !ok || !strings.HasPrefix(path, "/") || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return defaultStage
	}
	return route
}

// isText reports whether API Gateway passes bodies of this type as text.
func isText(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "application/json", "application/javascript", "application/xml":
		return true
	}
	return strings.HasPrefix(media, "text/")
}

// claimText writes a claim as API Gateway does: strings as they are, a list as "[a b]", anything else as JSON.
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

package apigw

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// naive makes an event the way it reads: an Event, of maps, for encoding/json.
func naive(r *http.Request, body []byte) Event {
	x, head := exchange.Of(r), exchange.RequestHead(r)
	prefix, _, _ := strings.Cut(x.Host, ".")
	e := Event{
		Version: "2.0", RouteKey: routeKey(x.Route), RawPath: rawPath(r.URL), RawQueryString: r.URL.RawQuery,
		Headers: map[string]string{}, Query: map[string]string{}, PathParameters: map[string]string{},
	}
	for name := range head.All() {
		e.Headers[strings.ToLower(name)] = strings.Join(head.Values(name), ",")
	}
	for _, name := range []string{"cookie", "transfer-encoding", "content-length"} {
		delete(e.Headers, name)
	}
	e.Headers["host"] = r.Host
	if len(body) > 0 {
		e.Headers["content-length"] = strconv.Itoa(len(body))
	}
	for _, field := range head.Values("Cookie") {
		for cookie := range strings.SplitSeq(field, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				e.Cookies = append(e.Cookies, cookie)
			}
		}
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if pair == "" || errName != nil || errValue != nil {
			continue
		}
		if before, twice := e.Query[name]; twice {
			value = before + "," + value
		}
		e.Query[name] = value
	}
	for i := range x.Params.Len() {
		e.PathParameters[x.Params.At(i).Name] = x.Params.At(i).Value
	}
	e.Body = string(body)
	if len(body) > 0 && (!isText(e.Headers["content-type"]) || e.Headers["content-encoding"] != "" || !utf8.Valid(body)) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	e.RequestContext = RequestContext{
		AccountID: localAccount, APIID: localAPI, DomainName: x.Host, DomainPrefix: prefix,
		HTTP:      HTTP{r.Method, e.RawPath, r.Proto, sourceIP(x), e.Headers["user-agent"]},
		RequestID: x.RequestID(), RouteKey: e.RouteKey, Stage: defaultStage,
		Time: x.Start.UTC().Format(accessLogStyle), TimeEpoch: x.Start.UnixMilli(),
	}
	if x.Identity != nil {
		claims := map[string]string{}
		for name, value := range x.Identity.Claims.All() {
			claims[name] = claimText(value)
		}
		e.RequestContext.Authorizer = &Authorizer{JWT{claims, x.Identity.Scopes}}
	}
	return e
}

func FuzzEventsAreThoseOfEncodingJSON(f *testing.F) {
	f.Add("/a%2Fb", "a=1&a=2&=&b", "text/plain", "x", "a; b=1;;", "GET /{id}", "v\n\"\u2028", []byte("hello"))
	f.Add("", "%zz&ok=%20", "application/json", "", "", "rule", "", []byte("\xff"))
	f.Fuzz(func(t *testing.T, path, query, contentType, agent, cookie, route, value string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.URL.Path, r.URL.RawQuery, r.Host = path, query, value
		for name, text := range map[string]string{"Content-Type": contentType, "User-Agent": agent, "Cookie": cookie, "X-A": value} {
			r.Header[name] = []string{text, value}[:1+len(text)%2]
		}
		x := &exchange.Exchange{ID: value, Host: value, Route: route, Start: time.UnixMilli(1), Client: exchange.Client{IP: netip.MustParseAddr("::1")}}
		if len(body)%2 == 1 {
			x.Identity = &exchange.Identity{Claims: exchange.ClaimsOf(map[string]any{value: value, "b": true}), Scopes: []string{value, "b"}[:len(body)%3]}
			x.Params.Add("p", value)
		}
		r = exchange.With(r, x)
		whole, err := json.Marshal(naive(r, body))
		if err != nil {
			t.Fatal(err)
		}
		var got, want any
		if err := json.Unmarshal(Encode(r, body), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(whole, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the event is\n%v\nwant\n%v", got, want)
		}
	})
}

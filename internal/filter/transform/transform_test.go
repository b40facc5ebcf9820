package transform_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/transform"
)

// decode reads a config as Load does and gives its problems.
func decode(tb testing.TB, text string) (*transform.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := transform.Definition().New().(*transform.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte(text), &ps), c, &ps)
	return c, ps.Sorted()
}

func policy(tb testing.TB, text string) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatalf("%s: %v", text, problems)
	}
	p, err := transform.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return p
}

// backend keeps what it was sent, and answers.
type backend struct {
	method, uri, body string
	length            int64
	head              http.Header
	again             string // the body, read once more
	trailers          http.Header

	answer reply
}

// reply is a response of a backend. One without a status is 200.
type reply struct {
	status  int
	head    http.Header
	body    string
	breaks  error // after the body
	trailer http.Header
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	b.method, b.uri, b.length = r.Method, r.URL.RequestURI(), r.ContentLength
	b.head, b.trailers = r.Header.Clone(), r.Trailer.Clone()
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b.body = string(body)
		_ = r.Body.Close()
	}
	if r.GetBody != nil {
		again, _ := r.GetBody()
		body, _ := io.ReadAll(again)
		b.again = string(body)
	}
	res := exchange.NewResponse(r, http.StatusOK)
	if b.answer.status != 0 {
		res.StatusCode = b.answer.status
	}
	maps.Copy(res.Header, b.answer.head)
	res.ContentLength = -1
	res.Trailer = b.answer.trailer
	res.Body = io.NopCloser(io.MultiReader(strings.NewReader(b.answer.body), &breaking{b.answer.breaks}))
	return res, nil
}

type breaking struct{ err error }

func (b *breaking) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}

// request is one with a body; its route captured {id} and its caller is ann.
func request(method, target, contentType, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	x := &exchange.Exchange{Path: r.URL.Path, Query: r.URL.RawQuery, ID: "id-1", Identity: &exchange.Identity{Subject: "ann"}}
	x.Params.Add("id", "7")
	return exchange.With(r, x)
}

// answered is what a client gets, in one line.
func answered(tb testing.TB, res *http.Response, err error) string {
	tb.Helper()
	if err != nil {
		f, ok := errors.AsType[*fault.Fault](err)
		if !ok {
			return err.Error()
		}
		return fmt.Sprintf("%d %s %s", f.Status, f.Code, f.Detail)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if n := res.Header.Get("Content-Length"); n != "" && n != strconv.Itoa(len(body)) && res.Request.Method != http.MethodHead {
		tb.Errorf("Content-Length %s of %q", n, body)
	}
	return fmt.Sprintf("%d %s %s", res.StatusCode, res.Header.Get("Content-Type"), body)
}

const jsonType = "application/json"

func jsonReply(body string) reply {
	return reply{head: http.Header{"Content-Type": {jsonType}}, body: body}
}

func TestBodiesArePatched(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, body, want string }{
		{"nothing is touched but what is named", `remove: b`, `{"a": 1.10, "b":2, "c" : [ 9007199254740993 ] }`, `{"a":1.10,"c":[ 9007199254740993 ]}`},
		{"a member of a member", `remove: a.b`, `{"a":{"b":1,"c":2}}`, `{"a":{"c":2}}`},
		{"a list stands for its elements", `remove: items.secret`, `{"items":[{"secret":1,"a":2},[{"secret":3}],"x"]}`, `{"items":[{"a":2},[{}],"x"]}`},
		{"also the outermost", `remove: secret`, `[{"secret":1},{"a":1}]`, `[{},{"a":1}]`},
		{"every member", `remove: users.*.pw`, `{"users":{"a":{"pw":1,"x":1},"b":{"pw":2}}}`, `{"users":{"a":{"x":1},"b":{}}}`},
		{"wherever it stands", `remove: "**.pw"`, `{"pw":1,"a":{"pw":{"pw":2},"b":[{"pw":3,"c":4}]}}`, `{"a":{"b":[{"c":4}]}}`},
		{"a path wherever it begins", `remove: "**.a.pw"`, `{"pw":1,"a":{"pw":2,"a":{"pw":3}}}`, `{"pw":1,"a":{"a":{}}}`},
		{"a name with dots", `remove: "['a.b'].c"`, `{"a.b":{"c":1,"d":2}}`, `{"a.b":{"d":2}}`},
		{"by its decoded name", `remove: ä`, `{"\u00e4":1}`, `{}`},
		{"what is not there", `remove: [a.b.c, d]`, `{"a":"x"}`, `{"a":"x"}`},
		{"another name", `rename: { usr: name, items.q: quantity }`, `{"usr":"x","items":[{"q":1}]}`, `{"name":"x","items":[{"quantity":1}]}`},
		{"a name that is taken", `rename: { a: b }`, `{"b":1,"a":2}`, `{"b":2}`},
		{"a name that is taken later", `rename: { a: b }`, `{"a":2,"b":1}`, `{"b":2}`},
		{"a name that nobody has", `rename: { a: b }`, `{"b":1}`, `{"b":1}`},
		{"names change places", `rename: { a: b, b: a }`, `{"a":1,"b":2}`, `{"b":1,"a":2}`},
		{"below what is renamed", `rename: { a: b, a.c: d }`, `{"a":{"c":1}}`, `{"b":{"d":1}}`},
		{"values", `set: { a: 1, b.c: =path.id, d.e: [true] }`, `{"a":0,"b":{"x":1}}`, `{"a":1,"b":{"x":1,"c":"7"},"d":{"e":[true]}}`},
		{"values in each", `set: { items.n: 1 }`, `{"items":[{"n":0},{}]}`, `{"items":[{"n":1},{"n":1}]}`},
		{"an object where null was", `set: { a.b: 1 }`, `{"a":null}`, `{"a":{"b":1}}`},
		{"of the body as it came", `{ set: { b: =request.body.a, a: =request.body.b }, remove: c }`, `{"a":1,"b":2,"c":3}`, `{"a":2,"b":1}`},
		{"what is missing", `default: { a: 1, b: 2, c: 3, d.e: 4 }`, `{"a":0,"b":null,"d":{}}`, `{"a":0,"b":2,"d":{"e":4},"c":3}`},
		{"what is missing in no object", `default: { a.b: 1 }`, `{"a":"x"}`, `{"a":"x"}`},
		{"set counts before remove", `{ remove: "**.a", set: { a: 1 } }`, `{"a":0,"b":{"a":2}}`, `{"a":1,"b":{}}`},
		{"set counts before rename", `{ rename: { a: b }, set: { b: 1 } }`, `{"a":2}`, `{"b":1}`},
		{"remove counts before rename", `{ rename: { a: b }, remove: a }`, `{"a":2}`, `{}`},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		res, err := policy(t, "request:\n  "+c.config).Adapt(b).RoundTrip(request(http.MethodPost, "/o", jsonType, c.body))
		if got := answered(t, res, err); got != "200 application/json {}" || b.body != c.want || b.again != c.want || b.length != int64(len(c.want)) {
			t.Errorf("%s: the backend got %q (%d), the client %s; want %q", c.name, b.body, b.length, got, c.want)
		}
	}
}

func TestMethodAndPathAreComputed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, body, want, sent string }{
		{"a path of the body's", `path: "/orders/{=request.body.id}/lines"`, `{"id":9007199254740993}`, "200 application/json {}", "POST /orders/9007199254740993/lines?x=1"},
		{"what is captured", `path: "/v2/{id}.json"`, `{}`, "200 application/json {}", "POST /v2/7.json?x=1"},
		{"what no segment holds by itself", `path: "/a/{=request.body.id}"`, `{"id":"ä b?#%;"}`, "200 application/json {}", "POST /a/%C3%A4%20b%3F%23%25%3B?x=1"},
		{"a slash", `path: "/a/{=request.body.id}"`, `{"id":"../admin"}`, "400 ambiguous-path A value for the path holds a slash or backslash, which servers that decode it read as another path.", " "},
		{"dots", `path: "/a/{=request.body.id}"`, `{"id":".."}`, "400 ambiguous-path", " "},
		{"nothing", `path: "/a/{=request.body.id}"`, `{"id":""}`, "400 ambiguous-path A value for the path is empty, so another path would be sent.", " "},
		{"a list", `path: "/a/{=request.body.id}"`, `{"id":[]}`, "400 malformed-body The body does not hold what this route needs of it.", " "},
		{"a method", `method: "=request.body.gone ? 'DELETE' : 'PUT'"`, `{"gone":true}`, "200 application/json {}", "DELETE /o?x=1"},
		{"a fixed one", `method: PATCH`, `{}`, "200 application/json {}", "PATCH /o?x=1"},
		{"one that stays", `method: "=request.headers['x-http-method-override']"`, `{}`, "200 application/json {}", "POST /o?x=1"},
		{"one that is none", `method: =request.body.m`, `{"m":"GET / HTTP/1.1"}`, "400 malformed-body The body does not hold what this route needs of it.", " "},
		{"a tunnel", `method: =request.body.m`, `{"m":"CONNECT"}`, "400 malformed-body The body does not hold what this route needs of it.", " "},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		res, err := policy(t, "request:\n  "+c.config).Adapt(b).RoundTrip(request(http.MethodPost, "/o?x=1", jsonType, c.body))
		if got := answered(t, res, err); !strings.HasPrefix(got, c.want) || b.method+" "+b.uri != c.sent {
			t.Errorf("%s: %s, the backend got %s %s; want %s, %s", c.name, got, b.method, b.uri, c.want, c.sent)
		}
	}
	for text, want := range map[string]string{
		`request: { method: 7 }`:       "7 is no method that can be sent",
		`request: { method: "A B" }`:   "\"A B\" is no method that can be sent",
		`request: { method: CONNECT }`: "\"CONNECT\" is no method that can be sent",
		`request: { path: orders }`:    "does not begin with a slash",
		`request: { path: "/a/{=" }`:   "a { without a }",
		`request: { path: "/a?b=1" }`:  "a path has no ?",
		`request: { path: [/a] }`:      "a list",
	} {
		if _, problems := decode(t, text); len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestATextIsMadeOfWhatCame(t *testing.T) {
	t.Parallel()
	const order = `{"id":9007199254740993,"name":"Ann \"A\" <a>","total":4.20,"open":true,"items":[{"sku":"tea"},{"sku":"pot"}],"none":null}`
	for _, c := range []struct{ name, config, want string }{
		{"values of every kind", `text: "{=response.body.name}: {=response.body.id}, {=response.body.total}, {=response.body.open}, [{=response.body.none}], {=response.body.items}"`,
			`200 text/plain; charset=utf-8 Ann "A" <a>: 9007199254740993, 4.20, true, [], [{"sku":"tea"},{"sku":"pot"}]`},
		{"lines", "\n    text: |\n      Order {=response.body.id}\n      {=response.body.items.map(i, '- ' + i.sku).join('\\n')}", "200 text/plain; charset=utf-8 Order 9007199254740993\n- tea\n- pot\n"},
		{"braces in expressions and beside them", `text: "{ {={'a': '}'}.a} } {='{='} ${x}"`, "200 text/plain; charset=utf-8 { } } {= ${x}"},
		{"one expression", `text: =response.body.name`, `200 text/plain; charset=utf-8 Ann "A" <a>`},
		{"nothing computed", `text: hello`, `200 text/plain; charset=utf-8 hello`},
		{"nothing", `text: ""`, `200  `},
		{"another type", `{ text: "<p>{=string(response.status)}</p>", headers: { Content-Type: text/html } }`, "200 text/html <p>200</p>"},
		{"as it is said", `{ text: hello, write: text }`, `200 text/plain; charset=utf-8 hello`},
		{"a member that is not there", `text: "{=response.body.gone}"`, "502 backend-invalid-response "},
		{"too much", `text: "{=response.body.items.map(i, lists.range(1000)).map(l, l.map(n, '` + strings.Repeat("x", 5000) + `').join(''))}"`, "502 backend-invalid-response "},
	} {
		res, err := policy(t, "response:\n  "+c.config).Adapt(&backend{answer: jsonReply(order)}).RoundTrip(request(http.MethodGet, "/o", "", ""))
		if got := answered(t, res, err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	b := &backend{answer: jsonReply(`{}`)}
	_, err := policy(t, `request: { text: "{=request.body.a} for {=auth.sub}" }`).Adapt(b).RoundTrip(request(http.MethodPost, "/o", jsonType, `{"a":"tea"}`)) //nolint:bodyclose // it is in memory
	if err != nil || b.body != "tea for ann" || b.head.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("the backend got %q %v, %v", b.body, b.head, err)
	}
	for text, want := range map[string]string{
		`response: { text: "a {=} b" }`:             "test.yaml:1:22: there is no expression between {= and }",
		`response: { text: "a {=response.body.a" }`: "there is no expression between {= and }",
		`response: { text: [a] }`:                   "a list is given where a text is expected",
		`response: { text: a, body: {} }`:           "the body of the response is a text and JSON",
		`response: { text: a, remove: b }`:          "the body of the response is a text and JSON",
		`response: { text: a, write: xml }`:         "the text of the response is written as xml",
	} {
		if _, problems := decode(t, text); len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestWhatCannotBeChangedIsNotPassedOn(t *testing.T) {
	t.Parallel()
	big := `{"a":"` + strings.Repeat("x", 100) + `"}`
	for _, c := range []struct{ name, config, contentType, body, want string }{
		{"no JSON", `remove: a`, jsonType, `{"a":`, "400 malformed-body The body cannot be read as json: the text ends where a value is expected at byte 5."},
		{"a name twice", `remove: a`, jsonType, `{"a":1,"a":2}`, "400 malformed-body The body cannot be read as json: the object has this name twice at byte 7."},
		{"another type", `remove: a`, "text/plain", `{}`, "415 unsupported-media-type Send application/json, in UTF-8."},
		{"another charset", `remove: a`, jsonType + "; charset=utf-16", `{}`, "415 unsupported-media-type Send application/json, in UTF-8."},
		{"a text where an object is needed", `set: { a.b: 1 }`, jsonType, `{"a":"x"}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"a member that is read", `body: { a: =request.body.a.b }`, jsonType, `{"a":{}}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"too large", `{ remove: a, max_body: 64B }`, jsonType, big, "413 body-too-large The body may have at most 64 bytes."},
		{"many members that each get a value", `{ set: { items.a: =request.body.v } }`, jsonType, `{"v":"` + strings.Repeat("x", 10_000) + `","items":[{}` + strings.Repeat(",{}", 2000) + `]}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"nothing that a form holds", `write: form`, jsonType, `{"a":{}}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"a name that XML has not", `write: { xml: { root: o } }`, jsonType, `{"a b":1}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"an expression of the config's own", `body: { a: =auth.claims.b }`, jsonType, `{}`, "500 unexpected "},
		{"a field with a line break", `headers: { X-A: =request.body.a }`, jsonType, `{"a":"x\ny"}`, "400 malformed-body The body does not hold what this route needs of it."},
		{"a query that servers read differently", `query: { a: =request.body.a }`, jsonType, `{"a":1}`, "400 malformed-request The query holds a ';', which some servers take for a separator."},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodPost, "/o?x=1;y=2", c.contentType, c.body)
		res, err := policy(t, "request:\n  "+c.config).Adapt(b).RoundTrip(r)
		got := answered(t, res, err)
		if c.name == "a query that servers read differently" {
			got, _, _ = strings.Cut(got, " The")
			c.want, _, _ = strings.Cut(c.want, " The")
		}
		if got != c.want || b.method != "" {
			t.Errorf("%s: %s, want %s; the backend got %q", c.name, got, c.want, b.body)
		}
	}
	r := request(http.MethodPost, "/o", jsonType, "x")
	r.Header.Set("Content-Encoding", "br")
	_, err := policy(t, "request: { remove: a }").Adapt(&backend{}).RoundTrip(r) //nolint:bodyclose // there is no response
	if f := fault.From(err); f == nil || f.Code != fault.UnsupportedMedia.Code {
		t.Errorf("a coding: %v", err)
	}
}

func TestBodiesAreReadWithoutTheirCoding(t *testing.T) {
	t.Parallel()
	coded := http.Header{"Content-Type": {jsonType}, "Content-Encoding": {"gzip"}, "Etag": {`"1"`}}
	for _, c := range []struct{ name, config, body, want, sent string }{
		{"a request", `request: { set: { b: 2 } }`, zipped(t, `{"a":1}`), "200 application/json {}", `{"a":1,"b":2}`},
		{"a request that is only read", `request: { headers: { X-A: =string(request.body.a) } }`, zipped(t, `{"a":1}`), "200 application/json {}", `{"a":1}`},
		{"a request of nothing", `request: { set: { b: 2 } }`, zipped(t, ``), "200 application/json {}", ``},
		{"one that says so and is not", `request: { set: { b: 2 } }`, `{"a":123456}`, "400 malformed-body The body cannot be read: it is not the gzip that its head says: gzip: invalid header.", ``},
		{"one that is cut", `request: { set: { b: 2 } }`, zipped(t, `{"a":1}`)[:20], "400 malformed-body The body cannot be read: it is not the gzip that its head says: unexpected EOF.", ``},
		{"one that becomes large", `request: { set: { b: 2 } }`, zipped(t, `"`+strings.Repeat("x", 2<<20)+`"`), "413 body-too-large The body may have at most 1048576 bytes.", ``},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodPost, "/o", jsonType, c.body)
		r.Header.Set("Content-Encoding", "gzip")
		res, err := policy(t, c.config).Adapt(b).RoundTrip(r)
		if got := answered(t, res, err); got != c.want || b.body != c.sent || b.again != c.sent || b.head.Get("Content-Encoding") != "" {
			t.Errorf("%s: %s; the backend got %q %q", c.name, got, b.body, b.head)
		}
	}
	for name, config := range map[string]string{
		"a response":                   `response: { remove: b }`,
		"a response that is only read": `response: { headers: { X-A: =string(response.body.a) } }`,
	} {
		body := `{"a":1}`
		if name == "a response" {
			body = `{"a":1,"b":2}`
		}
		res, err := policy(t, config).Adapt(&backend{answer: reply{head: coded.Clone(), body: zipped(t, body)}}).RoundTrip(request(http.MethodGet, "/o", "", ""))
		if got := answered(t, res, err); got != `200 application/json {"a":1}` || res.Header.Get("Content-Encoding")+res.Header.Get("Etag") != "" {
			t.Errorf("%s: %s %v", name, got, res.Header)
		}
	}
}

func TestResponsesThatCannotBeChangedAreNotPassedOn(t *testing.T) {
	t.Parallel()
	html := http.Header{"Content-Type": {"text/html"}, "Retry-After": {"7"}, "Etag": {`"1"`}}
	coded := http.Header{"Content-Type": {jsonType}, "Content-Encoding": {"gzip"}}
	events := http.Header{"Content-Type": {"text/event-stream"}}
	for _, c := range []struct {
		name, config string
		answer       reply
		want         string
	}{
		{"no JSON", `remove: secret`, jsonReply(`{"secret":1`), "502 backend-invalid-response "},
		{"HTML", `remove: secret`, reply{head: html, body: "<secret>"}, "502 backend-invalid-response "},
		{"an error in HTML", `remove: secret`, reply{status: 503, head: html, body: "<secret>"}, "503  "},
		{"an error that is no JSON", `remove: secret`, reply{status: 404, head: http.Header{"Content-Type": {jsonType}}, body: `{"secret":1`}, "404  "},
		{"an error in JSON", `remove: secret`, reply{status: 404, head: http.Header{"Content-Type": {"application/problem+json"}}, body: `{"secret":1,"title":"x"}`}, `404 application/problem+json {"title":"x"}`},
		{"another coding than it says", `remove: secret`, reply{head: coded, body: `{"secret":1}`}, "502 backend-invalid-response "},
		{"a coding that is not read", `remove: secret`, reply{head: http.Header{"Content-Type": {jsonType}, "Content-Encoding": {"br"}}, body: "x"}, "502 backend-invalid-response "},
		{"too large without its coding", `remove: secret`, reply{head: coded, body: zipped(t, `{"a":"`+strings.Repeat("x", 2<<20)+`"}`)}, "502 backend-invalid-response "},
		{"a stream of events", `remove: secret`, reply{head: events, body: "data: {\"secret\":1}\n\n"}, "502 backend-invalid-response "},
		{"a part", `remove: secret`, reply{status: 206, head: http.Header{"Content-Type": {jsonType}}, body: `{}`}, "502 backend-invalid-response "},
		{"too large", `{ remove: secret, max_body: 8B }`, jsonReply(`{"a":12345}`), "502 backend-invalid-response "},
		{"a member that is not there", `body: { a: =response.body.a }`, jsonReply(`{}`), "502 backend-invalid-response "},
		{"a status that is none", `status: =response.body.status`, jsonReply(`{"status":99}`), "502 backend-invalid-response "},
		{"it breaks off", `remove: secret`, reply{head: http.Header{"Content-Type": {jsonType}}, body: `{`, breaks: io.ErrUnexpectedEOF}, "502 backend-reset "},
		{"it breaks off with an error's status", `remove: secret`, reply{status: 500, head: http.Header{"Content-Type": {jsonType}}, body: `{`, breaks: io.ErrUnexpectedEOF}, "502 backend-reset "},
		{"left as it is", `{ when: =response.status == 200, remove: secret }`, reply{status: 404, head: html, body: "<secret>"}, "404 text/html <secret>"},
	} {
		res, err := policy(t, "response:\n  "+c.config).Adapt(&backend{answer: c.answer}).RoundTrip(request(http.MethodGet, "/o", "", ""))
		if got := answered(t, res, err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if err == nil && c.answer.status == 503 && (res.Header.Get("Etag") != "" || res.Header.Get("Retry-After") != "7") {
			t.Errorf("%s: %v", c.name, res.Header)
		}
	}
}

func zipped(tb testing.TB, text string) string {
	tb.Helper()
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	if err := errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func TestResponsesAreMadeAnew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config string
		answer       reply
		want         string
	}{
		{"an envelope", `body: { data: =response.body, by: =auth.sub, was: =response.status }`, jsonReply(`{"n": 1.10}`), `200 application/json {"data":{"n": 1.10},"by":"ann","was":200}`},
		{"both bodies", `body: { asked: =request.body.q, got: =response.body.a }`, jsonReply(`{"a":[9007199254740993]}`), `200 application/json {"asked":"x","got":[9007199254740993]}`},
		{"a status by the body", `status: "=response.body.found ? 200 : 404"`, jsonReply(`{"found":false}`), `404 application/json {"found":false}`},
		{"a status alone", `status: 202`, reply{body: "x"}, "202  x"},
		{"a status without a body", `{ status: 204, body: { a: 1 } }`, jsonReply(`{}`), "204  "},
		{"a body of what had none", `{ status: 200, body: { ok: true } }`, reply{status: 204}, `200 application/json {"ok":true}`},
		{"nothing stays nothing", `{ remove: a, set: { b: 1 } }`, reply{status: 200, head: http.Header{"Content-Type": {jsonType}}}, "200  "},
		{"no content", `remove: a`, reply{status: 204}, "204  "},
		{"fields by the body", `headers: { X-A: =response.body.a, Server: "=''", Content-Type: application/x }`, reply{head: http.Header{"Content-Type": {jsonType}, "Server": {"s"}}, body: `{"a":7}`}, `200 application/x {"a":7}`},
		{"text", `{ write: text, body: "='Dear %s'.format([response.body.name])" }`, jsonReply(`{"name":"Ann"}`), "200 text/plain; charset=utf-8 Dear Ann"},
		{"bytes", `{ write: bytes, headers: { Content-Type: image/png }, body: =response.body.image }`, jsonReply(`{"image":"iVBORw=="}`), "200 image/png \x89PNG"},
		{"of bytes", `{ read: bytes, body: { image: =response.body } }`, reply{head: http.Header{"Content-Type": {"image/png"}}, body: "\x89PNG"}, `200 application/json {"image":"iVBORw=="}`},
		{"of XML", `{ read: { xml: { root: o, lists: i } } }`, reply{head: http.Header{"Content-Type": {"text/xml"}}, body: `<o a="1"><i>1.10</i></o>`}, `200 application/json {"@a":"1","i":["1.10"]}`},
		{"one of several, by what it says to be", `{ read: [json, xml], remove: o.b }`, reply{head: http.Header{"Content-Type": {"text/xml"}}, body: `<o><b/><c/></o>`}, `200 application/json {"o":{"c":""}}`},
		{"XML stays XML", `{ read: xml, write: xml, remove: o.b }`, reply{head: http.Header{"Content-Type": {"application/atom+xml"}}, body: `<o><b/><c/></o>`}, "200 application/atom+xml <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<o><c></c></o>"},
	} {
		b := &backend{answer: c.answer}
		res, err := policy(t, "response:\n  "+c.config).Adapt(b).RoundTrip(request(http.MethodPost, "/o", jsonType, `{"q":"x"}`))
		if got := answered(t, res, err); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.name == "fields by the body" && err == nil && (res.Header.Get("X-A") != "7" || len(res.Header["Server"]) > 0) {
			t.Errorf("%v", res.Header)
		}
		if b.body != `{"q":"x"}` {
			t.Errorf("%s: the backend got %q", c.name, b.body)
		}
	}
}

func TestRequestsAreMadeAnew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, config, contentType, body, want string }{
		{"a form", `read: form`, "application/x-www-form-urlencoded", "a=1&b=2&b=3", `POST /o?x=1&y=2 application/json {"a":"1","b":["2","3"]}`},
		{"a form or JSON", `read: [json, form]`, "application/x-www-form-urlencoded", "a=1", `POST /o?x=1&y=2 application/json {"a":"1"}`},
		{"to a form", `write: form`, jsonType, `{"a":1.10,"b":[1,2]}`, `POST /o?x=1&y=2 application/x-www-form-urlencoded a=1.10&b=1&b=2`},
		{"SOAP", `{ write: { soap: { action: urn:a } }, body: { q: { id: =request.body.id } } }`, jsonType, `{"id":9007199254740993}`, `POST /o?x=1&y=2 text/xml; charset=utf-8 "urn:a" <?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><q><id>9007199254740993</id></q></soap:Body></soap:Envelope>`},
		{"SOAP 1.2", `{ write: { soap: { action: urn:a, version: 1.2 } }, body: { q: 1 } }`, jsonType, `{}`, `POST /o?x=1&y=2 application/soap+xml; charset=utf-8; action="urn:a" <?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"><soap:Body><q>1</q></soap:Body></soap:Envelope>`},
		{"method and query", `{ method: PUT, query: { x: =request.body.a, z: ä b, y: "=''" } }`, jsonType, `{"a":"1 2"}`, `PUT /o?x=1+2&z=%C3%A4+b application/json {"a":"1 2"}`},
		{"without looking at what came", `body: { id: =path.id }`, "text/plain", "ignored", `POST /o?x=1&y=2 application/json {"id":"7"}`},
		{"a type of JSON's own", `remove: a`, "application/vnd.api+json", `{"a":1,"b":2}`, `POST /o?x=1&y=2 application/vnd.api+json {"b":2}`},
		{"nothing", `remove: a`, jsonType, ``, `POST /o?x=1&y=2  `},
		{"a body of nothing", `body: { a: =request.body }`, "", ``, `POST /o?x=1&y=2 application/json {"a":null}`},
	} {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodPost, "/o?x=1&y=2", c.contentType, c.body)
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Digest", "sha-256=x")
		r.Trailer = http.Header{"X-Sum": {"1"}}
		res, err := policy(t, "request:\n  "+c.config).Adapt(b).RoundTrip(r)
		if got := answered(t, res, err); got != "200 application/json {}" {
			t.Errorf("%s: the client got %s", c.name, got)
		}
		action := ""
		if values := b.head["Soapaction"]; len(values) > 0 {
			action = values[0] + " "
		}
		got := fmt.Sprintf("%s %s %s %s%s", b.method, b.uri, b.head.Get("Content-Type"), action, b.body)
		if got != c.want || b.length != int64(len(b.body)) || b.head.Get("Expect") != "" || len(b.trailers) > 0 {
			t.Errorf("%s: %s, want %s; %d bytes, %v, %v", c.name, got, c.want, b.length, b.head, b.trailers)
		}
		if changed := !strings.Contains(c.config, "method"); changed == (b.head.Get("Digest") != "") {
			t.Errorf("%s: the digest is %q", c.name, b.head.Get("Digest"))
		}
	}
}

func TestFieldsOfTheOldBytesAreLeftOut(t *testing.T) {
	t.Parallel()
	answer := reply{
		head: http.Header{
			"Content-Type": {jsonType}, "Content-Length": {"15"}, "Etag": {`"1"`}, "Digest": {"x"}, "Content-Digest": {"x"}, "Repr-Digest": {"x"},
			"Content-Md5": {"x"}, "Accept-Ranges": {"bytes"}, "Last-Modified": {"then"}, "Set-Cookie": {"a=b"},
		},
		body: `{"a":1, "b": 2}`, trailer: http.Header{"X-Sum": {"1"}},
	}
	r := request(http.MethodGet, "/o", "", "")
	for name, value := range map[string]string{"Range": "bytes=0-1", "If-Range": `"1"`, "If-None-Match": `"1"`, "If-Modified-Since": "then", "Accept": "*/*", "Accept-Encoding": "gzip", "X-Own": "1"} {
		r.Header.Set(name, value)
	}
	b := &backend{answer: answer}
	res, err := policy(t, `response: { remove: a }`).Adapt(b).RoundTrip(r)
	if got := answered(t, res, err); got != `200 application/json {"b":2}` {
		t.Fatal(got)
	}
	if got, want := names(res.Header), []string{"Content-Length", "Content-Type", "Last-Modified", "Set-Cookie"}; !slices.Equal(got, want) || res.ContentLength != 7 || len(res.Trailer) > 0 {
		t.Errorf("%v, want %v; %d, %v", got, want, res.ContentLength, res.Trailer)
	}
	if got := b.head; len(got) != 3 || got.Get("Accept") != jsonType || got.Get("Accept-Encoding") != "identity" || got.Get("X-Own") != "1" {
		t.Errorf("the backend was asked with %v", got)
	}
	if got := r.Method; got != http.MethodGet {
		t.Error(got)
	}
}

func names(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

func TestAHeadHasTheLengthOfTheAnswer(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		`response: { remove: a }`:                                      "GET 200 application/json 7",
		`response: { when: =response.status > 299, remove: a }`:        "GET 200 application/json ",
		`response: { status: "=has(response.body.a) ? 201 : 404" }`:    "GET 201 application/json 13",
		`response: { headers: { X-A: b } }`:                            "HEAD 200 application/json ",
		`{ request: { method: POST }, response: { body: { ok: 1 } } }`: "POST 200 application/json 8",
	} {
		b := &backend{answer: jsonReply(`{"a":1,"b":2}`)}
		res, err := policy(t, config).Adapt(b).RoundTrip(request(http.MethodHead, "/o", "", ""))
		if err != nil {
			t.Errorf("%s: %v", config, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		got := fmt.Sprintf("%s %d %s %s", b.method, res.StatusCode, res.Header.Get("Content-Type"), res.Header.Get("Content-Length"))
		if got != want || len(body) > 0 && b.method != http.MethodHead {
			t.Errorf("%s: %s with %q, want %s", config, got, body, want)
		}
	}
}

func TestTheClientChoosesTheFormat(t *testing.T) {
	t.Parallel()
	p := policy(t, `response: { write: [json, { xml: { root: o } }, text], body: x }`)
	const asJSON, asXML, asText = `200 application/json "x"`, "200 application/xml; charset=utf-8 <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<o>x</o>", "200 text/plain; charset=utf-8 x"
	const none = "406 not-acceptable There is application/json, application/xml, text/xml, text/plain."
	for accept, want := range map[string]string{
		"":                                 asJSON,
		"*/*":                              asJSON,
		"application/xml":                  asXML,
		"TEXT/XML":                         asXML,
		"text/*":                           asXML,
		"text/plain":                       asText,
		"text/*;q=0.5, application/*":      asJSON,
		"application/xml;q=0.9, */*;q=0.1": asXML,
		"application/json;q=0, */*":        asXML,
		"application/json; q=0.5; x=y, text/plain; q=0.6": asText,
		"image/png":            none,
		"*/*;q=0":              none,
		"application/json;q=x": none,
	} {
		b := &backend{answer: jsonReply(`{}`)}
		r := request(http.MethodGet, "/o", "", "")
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		res, err := p.Adapt(b).RoundTrip(r)
		if got := answered(t, res, err); got != want || err == nil && res.Header.Get("Vary") != "Accept" || err != nil && b.method != "" {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}

func TestAFaultIsAProblem(t *testing.T) {
	t.Parallel()
	answer := reply{status: 500, head: http.Header{"Content-Type": {"text/xml"}}, body: `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>e:Server</faultcode><faultstring>db7 is down</faultstring></e:Fault></e:Body></e:Envelope>`}
	_, err := policy(t, `response: { read: soap }`).Adapt(&backend{answer: answer}).RoundTrip(request(http.MethodGet, "/o", "", "")) //nolint:bodyclose // there is no response
	f := fault.From(err)
	if f.Code != fault.BackendFault.Code || f.Detail != "" || !strings.Contains(f.Operator(), "e:Server: db7 is down") {
		t.Errorf("%+v", f)
	}
	res, err := policy(t, `response: { read: xml, status: 422, body: { why: =response.body.Envelope.Body.Fault.faultstring } }`).Adapt(&backend{answer: answer}).RoundTrip(request(http.MethodGet, "/o", "", ""))
	if got := answered(t, res, err); got != `422 application/json {"why":"db7 is down"}` {
		t.Error(got)
	}
}

func TestAnUpgradePassesThrough(t *testing.T) {
	t.Parallel()
	res, err := policy(t, `response: { remove: a }`).Adapt(&backend{answer: reply{status: 101, body: "frames"}}).RoundTrip(request(http.MethodGet, "/o", "", ""))
	if got := answered(t, res, err); got != "101  frames" {
		t.Error(got)
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:                                              "transform changes nothing",
		`request: {}`:                                     "transform changes nothing",
		`response: { when: "=true" }`:                     "transform changes nothing",
		`request: { read: yaml }`:                         `there is no format "yaml"`,
		`request: { read: jsn }`:                          `did you mean "json"?`,
		`request: { read: [xml, xml] }`:                   "the format xml stands twice",
		`request: { read: [] }`:                           "the list of formats is empty",
		`request: { read: { json: {} } }`:                 `unknown key "json"`,
		`request: { read: { xml: { root: a, x: 1 } } }`:   `unknown key "x"`,
		`request: { write: [json, xml] }`:                 "a request is written in one format",
		`request: { write: { soap: { version: 2 } } }`:    "there is no SOAP 2",
		`request: { read: { soap: { action: x } } }`:      "action and version are of what is written",
		`request: { write: { soap: { action: 'a"b' } } }`: "the action holds a quote",
		`request: { write: { xml: { lists: a } } }`:       "lists are of what is read",
		`request: { read: { xml: { lists: a.* } } }`:      `the path "a.*" does not name a list`,
		`request: { read: { form: { lists: a.b } } }`:     `the path "a.b" does not name a list`,
		`request: { remove: a..b }`:                       `"a..b" is no path: a name is missing`,
		`request: { remove: "a['b" }`:                     `a [ without a ]`,
		`request: { remove: a* }`:                         `"a*" is no name`,
		`request: { remove: "['a']b" }`:                   `a dot is missing before "b"`,
		`request: { rename: { a: "" } }`:                  "the new name is empty",
		`request: { rename: a }`:                          "rename has a map of paths",
		`request: { set: { "**.a": 1 } }`:                 `the path "**.a" does not say which member gets the value`,
		`request: { set: { a.*: 1 } }`:                    `the path "a.*" does not say which member gets the value`,
		`request: { body: {}, remove: a }`:                "the body of the request is made anew and changed in places",
		`response: { body: {}, max_body: 65MiB }`:         "max_body of the response is 65MiB",
		`response: { status: 99 }`:                        "the status is no final one",
		`response: { status: ok }`:                        "the status is no final one",
		`request: { method: "A B" }`:                      `"A B" is no method that can be sent`,
		`request: { headers: { Content-Length: 3 } }`:     "Content-Length",
		`request: { remvoe: a }`:                          `did you mean "remove"?`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestMistakesInExpressionsAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: []config.Kind{transform.Definition().Kind()}, Schemes: []config.Scheme{{Name: "http", Example: "http://users:8080"}}}
	for text, want := range map[string]string{
		`{ request: { body: { a: =response.status } } }`:       "test.yaml:4:44: body: 'response' is not known here",
		`{ request: { set: { a: =path.nobody } } }`:            "test.yaml:4:41: path.nobody is never there",
		`{ response: { when: =response.body.ok, remove: a } }`: "test.yaml:4:38: when reads the body of the response",
		`{ response: { status: ='a' } }`:                       "test.yaml:4:40: status: must be a whole number",
		`{ response: { headers: { X-A: =auth.sup } } }`:        "test.yaml:4:49: X-A: 'auth' has no field 'sup'",
	} {
		file := "listen: :8080\nroutes:\n  GET /:\n    transform: " + text + "\n    to: http://a\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if len(problems) != 1 || !strings.Contains(problems[0].String(), strings.SplitN(want, ": ", 2)[1]) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestThePathOfATransformIsHeldAgainstTheRoute(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: []config.Kind{transform.Definition().Kind()}, Schemes: []config.Scheme{{Name: "http", Example: "http://users:8080"}}}
	for path, want := range map[string]string{
		`/v2/{id}`:              ``,
		`/v2/{user}`:            `the route "GET /o/{id}" captures`,
		`/v2/{=path.user}`:      `the route "GET /o/{id}" captures`,
		`/v2/{=request.heders}`: `has no field 'heders'`,
	} {
		file := "listen: :8080\nroutes:\n  GET /o/{id}:\n    transform: { request: { path: '" + path + "' } }\n    to: http://a\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if want == "" && len(problems) > 0 || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v, want %s", path, problems, want)
		}
	}
}

// Steps of compositions have transforms, whose mistakes are told there.
func TestMistakesOfStepsAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: []config.Kind{transform.Definition().Kind()}, Schemes: []config.Scheme{{Name: "http", Example: "http://users:8080"}}}
	for step, want := range map[string]string{
		`transform: { response: { read: xlm } }`:                                                `there is no format "xlm"`,
		`transform: { response: { set: { a: =auth.sup } } }`:                                    `test.yaml:10:70: set: 'auth' has no field 'sup'`,
		`cache: 30s, transform: { response: { set: { a: =client.ip } } }`:                       `test.yaml:10:78: the transform of the step "a" reads who is calling`,
		`cache: 30s, transform: { response: { set: { a: =auth.sub } } }`:                        ``,
		`cache: { ttl: 30s, shared: true }, transform: { response: { set: { a: =auth.sub } } }`: `reads who is calling, and its result is kept for other callers`,
		`transform: { request: { headers: { X-Key: "${env:ADMIN}" } } }`:                        `may not reach the secret "env:ADMIN"`,
		`transform: { request: { cookies: { set: { key: "${env:ADMIN}" } } } }`:                 `may not reach the secret "env:ADMIN"`,
		`transform: { response: { read: { xml: { root: r, lists: a.b } } } }`:                   ``,
	} {
		file := "listen: :8080\ngroups:\n  shop:\n    allow: ['http://*']\n    secrets: ['env:SHOP_*']\n    routes: { GET /: home }\n" +
			"    compositions:\n      home:\n        steps:\n          a: { to: http://a, " + step + " }\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if want == "" && len(problems) > 0 || !strings.Contains(fmt.Sprint(problems), want) {
			t.Errorf("%s: %v, want %s", step, problems, want)
		}
	}
}

func TestNotesTellWhatIsHeld(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{ request: { write: soap, body: {} }, response: { read: soap } }`: "request made anew as soap, response soap to json of at most 1MiB",
		`request: { read: [json, form], max_body: 64KiB }`:                 "request json or form to json of at most 64KiB",
		`response: { headers: { X-A: =response.body.a } }`:                 "response json of at most 1MiB",
		`response: { body: { asked: =request.body } }`:                     "request json of at most 1MiB, response made anew as json",
		`response: { status: 202 }`:                                        "",
	} {
		if got := policy(t, text).Note; got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzPatch: whatever is sent, what is passed on is JSON without a member of the name that is removed.
func FuzzPatch(f *testing.F) {
	f.Add(`{"pw":1,"a":[{"pw":{"pw":2}}],"old":3,"new":4,"u":{"x":null}}`)
	f.Add(`[[],{"":{"\u0070w":1}}]`)
	c, _ := decode(f, `request: { remove: "**.pw", rename: { old: new }, set: { n: 1 }, default: { u.x.y: 2 } }`)
	p, err := transform.Definition().Build(filter.Env{}, c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b := &backend{answer: jsonReply(`{}`)}
		_, err := p.Adapt(b).RoundTrip(request(http.MethodPost, "/", jsonType, body)) //nolint:bodyclose // it is empty
		if err != nil {
			if f := fault.From(err); f.Status != http.StatusBadRequest || b.method != "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if body == "" {
			return
		}
		v, err := jsonx.Parse([]byte(b.body), jsonx.Options{Unique: true, MaxDepth: 512})
		if err != nil || holds(v, "pw") {
			t.Fatalf("%q became %q, %v", body, b.body, err)
		}
	})
}

func holds(v jsonx.Value, name string) bool {
	for n, m := range v.Members() {
		if n == name || holds(m, name) {
			return true
		}
	}
	for e := range v.Elements() {
		if holds(e, name) {
			return true
		}
	}
	return false
}

// FuzzExpression: expressions over hostile bodies end, within their cost and sizes, in an answer or a problem.
func FuzzExpression(f *testing.F) {
	f.Add(`{"l":[1,2,3],"s":"abc"}`)
	f.Add(`{"l":[` + strings.Repeat("[1],", 1000) + `1],"s":"` + strings.Repeat("a", 1000) + `"}`)
	f.Add(`{"l":[1e999,-0,1.10,null,{"a":[]}],"s":"\ud800"}`)
	c, _ := decode(f, `
request:
  max_body: 64KiB
  body:
    all: =request.body.l.map(x, request.body.l.map(y, [x, y]))
    text: =request.body.l.map(x, request.body.s + string(x)).join(request.body.s)
    found: =request.body.s.matches('(a+)+$') || request.body.l.exists(x, x == request.body.l)
`)
	p, err := transform.Definition().Build(filter.Env{}, c)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b := &backend{answer: jsonReply(`{}`)}
		_, err := p.Adapt(b).RoundTrip(request(http.MethodPost, "/", jsonType, body)) //nolint:bodyclose // it is empty
		if err != nil {
			if f := fault.From(err); f.Status < 400 || f.Status == 500 || b.method != "" {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		const most = 3 * 8 << 20
		if _, err := jsonx.Parse([]byte(b.body), jsonx.Options{MaxBytes: most, MaxDepth: 512}); err != nil {
			t.Fatalf("%q became %q, %v", body, b.body, err)
		}
	})
}

func BenchmarkAdapt(b *testing.B) {
	body := `{"id":9007199254740993,"usr_name":"Ann","password":"x","items":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"tea","price":4.20,"secret":1},`, 10), ",") + `]}`
	for name, text := range map[string]string{
		"patch":    `response: { rename: { usr_name: name }, remove: [password, items.secret] }`,
		"envelope": `response: { body: { data: =response.body, by: =auth.sub } }`,
		"status":   `response: { status: 202 }`,
	} {
		b.Run(name, func(b *testing.B) {
			next := policy(b, text).Adapt(&canned{body: body})
			r := request(http.MethodGet, "/o", "", "")
			b.ReportAllocs()
			for b.Loop() {
				res, err := next.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_ = res.Body.Close()
			}
		})
	}
}

// canned answers with JSON and allocates little.
type canned struct{ body string }

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	res := exchange.NewResponse(r, http.StatusOK, exchange.Field{Name: "Content-Type", Value: jsonType})
	res.Body, res.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
	return res, nil
}

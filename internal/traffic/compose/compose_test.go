package compose_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// TestStepsThatWaitForNothingRunAtOnce has two backends. Neither answers before both were called.
func TestStepsThatWaitForNothingRunAtOnce(t *testing.T) {
	both := newBarrier(2)
	meet := func(r *http.Request) (*http.Response, error) {
		if err := both.wait(r.Context()); err != nil {
			return nil, err
		}
		return reply(r, 200, `"`+r.Host+`"`)
	}
	c := world{"a": meet, "b": meet}.route(t, `
  GET /home/{user}:
    compose:
      first: http://a/x
      second: http://b/y
`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ask(t, c, request(http.MethodGet, "/home/7", "").WithContext(exchangeContext(ctx))).
		want(t, "both", 200, `{"first":"a","second":"b"}`)
}

// exchangeContext is ctx with an exchange.
func exchangeContext(ctx context.Context) context.Context {
	return exchange.With(request(http.MethodGet, "/home/7", "").WithContext(ctx), exchange.Of(request(http.MethodGet, "/home/7", ""))).Context()
}

// TestAStepStartsAsSoonAsThoseAreDoneThatItReads has a third step that must not wait for the slow second one, though
// the two are on different levels.
func TestAStepStartsAsSoonAsThoseAreDoneThatItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var d diary
		slow := func(after time.Duration) backend {
			return func(r *http.Request) (*http.Response, error) {
				<-time.After(after)
				d.note(fmt.Sprintf("%s %v", r.URL.Path, time.Since(start)))
				return reply(r, 200, `{"id": 3}`)
			}
		}
		c := world{"quick": slow(time.Second), "slow": slow(5 * time.Second)}.route(t, `
  GET /home/{user}:
    compose:
      a: http://quick/a
      b: http://slow/b
      c: { to: "http://quick", path: "/c/{=steps.a.body.id}" }
      d: { to: "http://quick", path: "/d", query: { b: =steps.b.body.id, c: =steps.c.status } }
    return: =steps.d.body.id
    timing: true
`)
		a := get(t, c)
		a.want(t, "graph", 200, "3")
		if got, want := d.String(), "/a 1s\n/c/3 2s\n/b 5s\n/d 6s"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if got, want := a.head.Get("Server-Timing"), "a;dur=1000.0, b;dur=5000.0, c;dur=1000.0, d;dur=1000.0"; got != want {
			t.Errorf("timing is %q, want %q", got, want)
		}
	})
}

func TestWhatIsNotTouchedKeepsItsOwnBytes(t *testing.T) {
	const body = `{"id": 9007199254740993, "big":12345678901234567890,  "price": 1.10, "e": 1e3, "html": "<b>&</b>", "u": "\u00e9", "list": [ 1,2 ] }`
	c := world{"a": says(200, body), "b": func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, `{"path": "`+r.URL.Path+`"}`)
	}}.route(t, `
  GET /home/{user}:
    compose:
      a: http://a/
      b: { to: "http://b", path: "/{=steps.a.body.id}/{=steps.a.body.big}/{=steps.a.body.price}" }
    return:
      whole: =steps.a.body
      quoted: "=steps['a'].body"
      id: =steps.a.body.id
      big: =steps.a.body.big
      price: =steps.a.body.price
      e: =steps.a.body.e
      html: =steps.a.body.html
      list: =steps.a.body.list
      more: "=steps.a.body.list.map(i, i + 1)"
      path: =steps.b.body.path
      literal: <b>
      "n": 12345678901234567890
`)
	get(t, c).want(t, "answer", 200, `{"whole":`+body+`,"quoted":`+body+`,"id":9007199254740993,"big":12345678901234567890,"price":1.10,"e":1e3,`+
		`"html":"<b>&</b>","list":[ 1,2 ],"more":[2,3],"path":"/9007199254740993/12345678901234567890/1.10","literal":"<b>","n":12345678901234567890}`)
}

func TestAStepsRequestIsMadeFromNothing(t *testing.T) {
	var d diary
	echo := func(r *http.Request) (*http.Response, error) {
		d.note(dump(r))
		return reply(r, 200, `{"id": "a+b c"}`)
	}
	t.Setenv("COMPOSE_KEY", "k-1")
	c := world{"a": echo}.route(t, `
  GET /home/{user}:
    compose:
      plain: http://a/users/{user}
      full:
        to: http://a
        path: "/x/{=steps.plain.body.id}.json"
        method: PUT
        query: { q: =query.q, none: =query.none, empty: "", tag: [a&b, =host] }
        headers:
          Authorization: =request.headers.authorization
          X-None: =request.headers['x-none']
          X-Key: ${env:COMPOSE_KEY}
          Accept: text/plain
          Host: other.dev
        body: { id: =steps.plain.body.id }
    return: =steps.full.status
`)
	get := ask(t, c, request(http.MethodGet, "/home/7?q=1+2", "", "Authorization", "Bearer t", "Cookie", "a=b", "X-Forwarded-For", "10.0.0.1",
		"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate", "x=1", "Via", "1.1 weir", "X-Request-Id", "id-1", "User-Agent", "curl"))
	get.want(t, "answer", 200, "200")
	want := `GET /users/7 of a
Accept: application/json
Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
Tracestate: x=1
Via: 1.1 weir
X-Request-Id: id-1

PUT /x/a+b%20c.json?q=1+2&empty=&tag=a%26b&tag=shop.dev of other.dev
Accept: text/plain
Authorization: Bearer t
Content-Type: application/json
Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
Tracestate: x=1
Via: 1.1 weir
X-Key: k-1
X-Request-Id: id-1
{"id":"a+b c"}`
	if got := d.String(); got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
}

func TestAPathValueNeverMakesAnotherPath(t *testing.T) {
	for value, want := range map[string]struct {
		status int
		text   string
	}{
		`"x"`:        {200, `"/u/x"`},
		`"a/../b"`:   {502, "composition-failed"},
		`"a\\b"`:     {502, "composition-failed"},
		`".."`:       {502, "composition-failed"},
		`""`:         {502, "composition-failed"},
		`null`:       {502, "composition-failed"},
		`{"a":1}`:    {502, "composition-failed"},
		`"a\u0000b"`: {502, "composition-failed"},
		`"?x=1#y"`:   {200, `"/u/%3Fx=1%23y"`},
		`"\u00e9 %"`: {200, `"/u/%C3%A9%20%25"`},
		`"%2e%2e"`:   {502, "composition-failed"},
	} {
		c := world{"a": says(200, `{"v": `+value+`}`), "b": func(r *http.Request) (*http.Response, error) {
			return reply(r, 200, `"`+r.URL.EscapedPath()+`"`)
		}}.route(t, `
  GET /home/{user}:
    compose:
      a: http://a/
      b: { to: "http://b", path: "/u/{=steps.a.body.v}" }
    return: =steps.b.body
`)
		get(t, c).want(t, value, want.status, want.text)
	}
}

func TestWhatAFailureOfAStepIs(t *testing.T) {
	timeout := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	fails := func(err error) backend { return func(*http.Request) (*http.Response, error) { return nil, err } }
	slowBody := func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, 200, "")
		res.Body, res.ContentLength = endless{r.Context()}, -1
		return res, err
	}
	coded := func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, 200, "x")
		exchange.ResponseHead(res).Set("Content-Encoding", "br")
		return res, err
	}
	for name, c := range map[string]struct {
		backend  backend
		status   int
		code     string
		internal string
	}{
		"a status":              {says(404, "no"), 502, "composition-failed", "step a of GET /home/{user}: it answered 404"},
		"another":               {says(503, "no"), 502, "composition-failed", "it answered 503"},
		"a redirect":            {says(302, ""), 502, "composition-failed", "it answered 302"},
		"no connection":         {fails(&exchange.SendError{Endpoint: "a:1", Dial: true, Err: errors.New("refused")}), 502, "backend-unreachable", "step a of"},
		"a reset":               {fails(&exchange.SendError{Endpoint: "a:1", Sent: exchange.SentAll, Err: errors.New("reset")}), 502, "backend-reset", "step a of"},
		"no endpoint":           {fails(fault.NoEndpoint.New("", fault.RetryAfter(time.Second))), 503, "no-endpoint", "step a of"},
		"a busy function":       {fails(fault.FunctionBusy.New("")), 429, "function-busy", "step a of"},
		"a body for a function": {fails(fault.FunctionTooLarge.New("")), 502, "composition-failed", "function-payload-too-large"},
		"an unthought-of error": {fails(errors.New("who knows")), 502, "composition-failed", "who knows"},
		"no answer in time":     {timeout, 504, "backend-timeout", "it took longer than its timeout, 1s"},
		"no body in time":       {slowBody, 504, "backend-timeout", "it took longer than its timeout, 1s"},
		"no JSON":               {says(200, "<html>"), 502, "composition-failed", "its body: json: this is no value at byte 0"},
		"bad UTF-8":             {says(200, "\"\xff\""), 502, "composition-failed", "not valid UTF-8"},
		"too large":             {says(200, `"`+strings.Repeat("x", 100)+`"`), 502, "composition-failed", "its body has more than max_body, 64 bytes"},
		"a coding":              {coded, 502, "composition-failed", `its body: the content coding is not read: "br"`},
		"no gzip":               {says(200, "1", "Content-Encoding", "gzip"), 502, "composition-failed", "it is not the gzip that its head says"},
		"too large as gzip":     {says(200, "\x1f\x8b"+strings.Repeat("x", 100), "Content-Encoding", "gzip"), 502, "composition-failed", "its body has more than max_body, 64 bytes"},
		"a bomb":                {says(200, zipped(t, strings.Repeat(" ", 1000)), "Content-Encoding", "gzip"), 502, "composition-failed", "its body has more than max_body, 64 bytes"},
		"a panic":               {func(*http.Request) (*http.Response, error) { panic("oh") }, 500, "unexpected", "panic: oh"},
	} {
		synctest.Test(t, func(t *testing.T) {
			made := world{"a": c.backend}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", timeout: 1s, max_body: 64B }
`)
			a := get(t, made)
			a.want(t, name, c.status, c.code)
			if a.fault != nil && (!strings.Contains(a.fault.Operator(), c.internal) || strings.Contains(a.fault.Detail, "step")) {
				t.Errorf("%s: operators are told %q, the client %q", name, a.fault.Operator(), a.fault.Detail)
			}
			optional := world{"a": c.backend}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", timeout: 1s, max_body: 64B, else: { status: none } }
    return: '=[steps.a.status, steps.a.headers["x"], steps.a.text, steps.a.body]'
`)
			get(t, optional).want(t, name+", with an else", 200, `[0,"","",{"status":"none"}]`)
		})
	}
}

// endless is a body that never delivers anything.
type endless struct{ ctx context.Context } //nolint:containedctx // as a connection has it

func (e endless) Read([]byte) (int, error) { <-e.ctx.Done(); return 0, e.ctx.Err() }
func (endless) Close() error               { return nil }

func TestTheFirstFailureCancelsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int32
		start := time.Now()
		c := world{
			"bad": func(r *http.Request) (*http.Response, error) {
				<-time.After(time.Second)
				return reply(r, 500, "")
			},
			"slow": func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				cancelled.Add(1)
				return nil, r.Context().Err()
			},
		}.route(t, `
  GET /home/{user}:
    compose:
      a: http://slow/1
      b: http://bad/
      c: http://slow/2
      never: { to: "http://bad", when: =steps.a.status == 200 }
`)
		get(t, c).want(t, "failed", 502, "composition-failed")
		if took := time.Since(start); cancelled.Load() != 2 || took != time.Second {
			t.Errorf("%d were cancelled, after %v", cancelled.Load(), took)
		}
	})
}

func TestNothingGoesOnWhenTheClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		under := newBarrier(3)
		wait := func(r *http.Request) (*http.Response, error) {
			if under.wait(r.Context()) == nil {
				cancel()
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		c := world{"a": wait}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", else: 1 }
      b: http://a/
      c: { to: "http://a", each: "=[1, 2, 3]", parallel: 1, path: "/{=item}", else: 1 }
      d: { to: "http://a", when: =steps.a.body == 1 }
`)
		a := ask(t, c, request(http.MethodGet, "/", "").WithContext(exchangeContext(ctx)))
		if !errors.Is(a.err, context.Canceled) {
			t.Errorf("got %+v", a)
		}
	})
}

func TestTheClientsDeadlineReachesEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := world{"a": func(r *http.Request) (*http.Response, error) {
			deadline, ok := r.Context().Deadline()
			return reply(r, 200, fmt.Sprintf(`"%v %v"`, ok, time.Until(deadline)))
		}}.route(t, `
  GET /home/{user}:
    compose:
      own: { to: "http://a", timeout: 1s }
      theirs: { to: "http://a", timeout: none }
`)
		ask(t, c, request(http.MethodGet, "/", "").WithContext(exchangeContext(ctx))).
			want(t, "deadlines", 200, `{"own":"true 1s","theirs":"true 1m0s"}`)
	})
}

func TestEachKeepsOrderAndItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		c := world{"list": says(200, `{"ids": [5, 4, 3, 2, 1, 9007199254740993]}`), "a": func(r *http.Request) (*http.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			id := strings.TrimPrefix(r.URL.Path, "/")
			seconds, _ := strconv.Atoi(id)
			<-time.After(time.Duration(seconds%10) * time.Second) // the last ones finish first
			return reply(r, 200, id)
		}}.route(t, `
  GET /home/{user}:
    compose:
      list: http://list/
      each: { to: "http://a", path: "/{=item}", each: =steps.list.body.ids, parallel: 3 }
    return: { all: =steps.each.body, one: "=steps.each.body[5]" }
`)
		get(t, c).want(t, "order", 200, `{"all":[5,4,3,2,1,9007199254740993],"one":9007199254740993}`)
		if most.Load() != 3 {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestEachWithFailures(t *testing.T) {
	ids := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	odd := func(r *http.Request) (*http.Response, error) {
		if id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/")); id%2 == 1 {
			return reply(r, 200, r.URL.Path[1:])
		}
		return reply(r, 404, "")
	}
	for name, c := range map[string]struct {
		list, step string
		status     int
		want       string
	}{
		"one of them":             {"[1, 2, 3]", "", 502, "composition-failed"},
		"else is for the element": {"[1, 2, 3]", "else: { missing: =item }", 200, `[1,{"missing":2},3]`},
		"none":                    {"[]", "", 200, "[]"},
		"skipped":                 {"[1]", "when: =false", 200, "[]"},
		"no list":                 {"{}", "", 502, "composition-failed"},
		"no list, with an else":   {"{}", "else: 1", 200, "[]"},
		"null":                    {"null", "", 502, "composition-failed"},
		"many":                    {ids(1000), "", 200, ids(1000)},
		"too many":                {ids(1001), "", 502, "composition-failed"},
		"a pass":                  {"[1, 2]", "else: 1, status: { 404: pass }", 404, ""},
	} {
		text := `
  GET /home/{user}:
    compose:
      list: http://list/
      each: { to: "http://a", path: "/{=item}", each: =steps.list.body, parallel: 2, ` + c.step + ` }
    return: =steps.each.body
`
		got := get(t, world{"list": says(200, c.list), "a": odd}.route(t, text))
		got.want(t, name, c.status, c.want)
	}
}

func TestConditionsAndTheirSteps(t *testing.T) {
	c := world{"a": says(200, `{"vip": true}`), "b": says(200, `1`)}.route(t, `
  GET /home/{user}:
    compose:
      a: http://a/
      on: { to: "http://b", when: =steps.a.body.vip }
      off: { to: "http://b", when: =!steps.a.body.vip }
      default: { to: "http://b", when: =!steps.a.body.vip, else: { for: =path.user } }
      wrong: { to: "http://b", when: =steps.a.body.none, required: false }
      after: { to: "http://b", when: "=steps.off.status == 0 && steps.off.headers['x'] == '' && steps.off.text == ''" }
    timing: true
`)
	a := get(t, c)
	a.want(t, "when", 200, `{"a":{"vip": true},"on":1,"off":null,"default":{"for":"7"},"wrong":null,"after":1}`)
	if timing := a.head.Get("Server-Timing"); strings.Contains(timing, "off") || !strings.Contains(timing, "after;dur=") {
		t.Errorf("timing is %q", timing)
	}
}

func TestStatusesMeanWhatTheRulesSay(t *testing.T) {
	for status, want := range map[int]struct {
		status int
		text   string
	}{
		200: {200, `[200,{"error":"no"}]`},
		201: {502, "composition-failed"},
		404: {404, `{"error":"no"}`},
		409: {200, `[409,{"error":"no"}]`},
		418: {502, "composition-failed"},
		500: {500, `{"error":"no"}`},
		503: {502, "composition-failed"},
	} {
		c := world{"a": func(r *http.Request) (*http.Response, error) {
			res, err := reply(r, status, `{"error":"no"}`)
			head := exchange.ResponseHead(res)
			head.Set("Content-Type", "application/problem+json")
			head.Set("Set-Cookie", "a=b")
			head.Set("X-Internal", "1")
			return res, err
		}}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", status: { 4xx: fail, 404: pass, 409: ok, 201: fail, 5xx: pass, 503: fail } }
    return: [=steps.a.status, =steps.a.body]
`)
		a := get(t, c)
		a.want(t, strconv.Itoa(status), want.status, want.text)
		if status == 404 && (a.head.Get("Content-Type") != "application/problem+json" || a.head.Get("Content-Length") != "14" ||
			a.head.Get("Set-Cookie") != "" || a.head.Get("X-Internal") != "") {
			t.Errorf("passed the head %v", slices.Collect(keysOf(a.head)))
		}
	}
}

func keysOf(h exchange.Head) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h.All() {
			if !yield(name) {
				return
			}
		}
	}
}

func TestBodiesThatAreNoJSON(t *testing.T) {
	c := world{"text": says(200, "plain <text>"), "empty": says(204, ""), "any": says(200, "\xff\xfe"), "head": says(200, "")}.route(t, `
  GET /home/{user}:
    compose:
      text: http://text/
      empty: http://empty/
      unread: { to: "http://any", method: DELETE }
      head: { to: "http://head", method: HEAD }
    return: [=steps.text.text, =steps.empty.body, =steps.head.body, =steps.head.status]
`)
	get(t, c).want(t, "bodies", 200, `["plain <text>",null,null,200]`)
	wrong := world{"any": says(200, "\xff\xfe")}.route(t, `
  GET /home/{user}:
    compose: { a: "http://any" }
    return: =steps.a.text
`)
	get(t, wrong).want(t, "no UTF-8", 502, "composition-failed")
}

func TestAllBodiesTogetherHaveABound(t *testing.T) {
	w := world{"a": says(200, `"`+strings.Repeat("x", 60)+`"`)}
	text := `
compositions:
  home:
    steps:
      a: { to: "http://a", path: /1 }
      b: { to: "http://a", path: /2, else: 1 }
    max_body: %dB
`
	get(t, w.route(t, "  GET /: home\n"+fmt.Sprintf(text[1:], 200))).want(t, "within", 200, `{"a":"`+strings.Repeat("x", 60)+`","b":"`+strings.Repeat("x", 60)+`"}`)
	if a := get(t, w.route(t, "  GET /: home\n"+fmt.Sprintf(text[1:], 100))); a.status != 502 || !strings.Contains(a.fault.Operator(), "the composition's max_body") {
		t.Errorf("beyond: got %+v %v", a, a.fault)
	}
}

// TestWhatIsSentAndStoodInForCountsToo checks that neither an else nor a body, which may repeat what another step has
// returned, can exceed the composition's size limit.
func TestWhatIsSentAndStoodInForCountsToo(t *testing.T) {
	large := says(200, `"`+strings.Repeat("x", 60)+`"`)
	for name, c := range map[string]struct {
		step   string
		max    int
		status int
	}{
		"sent":               {"body: [=steps.a.body]", 150, 200},
		"sent, too large":    {"body: [=steps.a.body, =steps.a.body]", 150, 502},
		"each in its time":   {"body: =steps.a.body, each: '=[1, 2, 3, 4, 5]', parallel: 1", 200, 200},
		"each at once":       {"body: =steps.a.body, each: '=[1, 2, 3, 4, 5]', parallel: 5", 200, 502},
		"an else":            {"path: /none, else: =steps.a.body", 130, 200},
		"elses":              {"path: /none, else: =steps.a.body, each: '=[1, 2, 3]'", 200, 502},
		"an else for a skip": {"when: =false, else: [=steps.a.body, =steps.a.body]", 130, 502},
	} {
		meet := newBarrier(5)
		w := world{"a": large, "b": func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/none" {
				return reply(r, 404, "")
			}
			if strings.Contains(c.step, "parallel: 5") {
				_ = meet.wait(r.Context())
			}
			return reply(r, 200, "1")
		}}
		text := fmt.Sprintf("  GET /: home\ncompositions:\n  home:\n    steps:\n      a: http://a/\n      b: { to: 'http://b', %s }\n    max_body: %dB\n", c.step, c.max)
		if a := get(t, w.route(t, text)); a.status != c.status || c.status == 502 && !strings.Contains(a.fault.Operator(), "the composition's max_body") {
			t.Errorf("%s: got %d %v", name, a.status, a.err)
		}
	}
}

// TestEachIsReadLikeEveryOtherList checks that functions find the numbers of bodies in the result of each as they do
// elsewhere.
func TestEachIsReadLikeEveryOtherList(t *testing.T) {
	c := world{"a": func(r *http.Request) (*http.Response, error) { return reply(r, 200, r.URL.Path[1:]) }}.route(t, `
  GET /home/{user}:
    compose:
      each: { to: "http://a", path: "/{=item}", each: "=['3.10', '1e2', '2.5']" }
    return: { sorted: =steps.each.body.sort(), first: "=steps.each.body[0]", twice: "=steps.each.body.map(n, n * 2)", all: =steps.each.body }
`)
	get(t, c).want(t, "numbers", 200, `{"sorted":[2.5,3.1,100],"first":3.10,"twice":[6.2,200,5],"all":[3.10,1e2,2.5]}`)
}

func TestNestedCompositionsAreCalledLikeFunctions(t *testing.T) {
	var d diary
	c := world{"a": func(r *http.Request) (*http.Response, error) {
		d.note(r.URL.RequestURI())
		exchange.Of(r).Tried(exchange.Attempt{Endpoint: "a:1", Status: 200})
		return reply(r, 200, `{"id": 9007199254740993}`)
	}}.route(t, `
  POST /home/{user}:
    compose:
      mine: http://a/users/{user}
      inner:
        to: inner
        path: /x/{user=steps.mine.body.id}/{kind=query.kind}
        query: { page: 2 }
        body: { list: [1, 2] }
    return: =steps.inner.body
compositions:
  inner:
    steps:
      call: { to: "http://a/{user}/{kind}", query: { p: =query.page, n: =request.body.list.size(), m: =request.method } }
    return: { id: =steps.call.body.id, path: =request.path }
`)
	a := ask(t, c, request(http.MethodPost, "/home/7?kind=k", `{}`))
	a.want(t, "nested", 200, `{"id":9007199254740993,"path":"/x/9007199254740993/k"}`)
	if got, want := d.String(), "/users/7\n/9007199254740993/k?p=2&n=2&m=POST"; got != want {
		t.Errorf("asked for\n%s\nwant\n%s", got, want)
	}
	var steps []string
	for _, attempt := range a.x.Attempts {
		steps = append(steps, fmt.Sprintf("%s %s %d", attempt.Step, attempt.Endpoint, attempt.Status))
	}
	if want := []string{"mine a:1 200", "inner/call a:1 200"}; !slices.Equal(steps, want) {
		t.Errorf("attempts are %q, want %q", steps, want)
	}
}

func TestAFunctionIsToldItsOwnPathParameters(t *testing.T) {
	c := world{"a": func(r *http.Request) (*http.Response, error) {
		x := exchange.Of(r)
		return reply(r, 200, fmt.Sprintf(`"%s %s %s %d %v"`, x.Route, x.Path, x.Query, x.Params.Len(), x.Params.At(0)))
	}}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", path: "/orders/{id=1+1}/{=path.user}", query: { a: b } }
    return: =steps.a.body
`)
	get(t, c).want(t, "parameters", 200, `"GET /orders/{id}/{_1} /orders/2/7 a=b 1 {id 2}"`)
}

func TestTheClientsBody(t *testing.T) {
	echo := world{"a": func(r *http.Request) (*http.Response, error) {
		text := dump(r)
		return reply(r, 200, text[strings.LastIndexByte(text, '\n')+1:])
	}}.route(t, `
  POST /home/{user}:
    compose:
      a: { to: "http://a", body: =request.body }
    return: =steps.a.body
`)
	large := `"` + strings.Repeat("x", 1<<20) + `"`
	for name, c := range map[string]struct {
		body, kind, coding string
		status             int
		want               string
	}{
		"JSON keeps its bytes": {`{"b": 1.10,  "a":[9007199254740993]}`, "application/json", "", 200, `{"b": 1.10,  "a":[9007199254740993]}`},
		"a kind of JSON":       {`1`, "application/merge-patch+json; charset=utf-8", "", 200, `1`},
		"without a type":       {`1`, "", "", 200, `1`},
		"none":                 {``, "", "", 200, `null`},
		"a form":               {`a=b`, "application/x-www-form-urlencoded", "", 415, "unsupported-media-type"},
		"text from a page":     {`{}`, "text/plain", "", 415, "unsupported-media-type"},
		"a coding":             {`{}`, "application/json", "br", 415, "unsupported-media-type"},
		"gzip":                 {zipped(t, `{"a": 1}`), "application/json", "gzip", 200, `{"a": 1}`},
		"no gzip":              {`{}`, "application/json", "gzip", 400, "malformed-body"},
		"a bomb":               {zipped(t, large), "application/json", "gzip", 413, "body-too-large"},
		"no JSON":              {`{"a"`, "application/json", "", 400, "malformed-body"},
		"bad UTF-8":            {"\"\xff\"", "application/json", "", 400, "malformed-body"},
		"a name twice":         {`{"a": 1, "a": 2}`, "application/json", "", 400, "malformed-body"},
		"too large":            {large, "application/json", "", 413, "body-too-large"},
	} {
		r := request(http.MethodPost, "/home/7", c.body, "Content-Type", c.kind, "Content-Encoding", c.coding)
		ask(t, echo, r).want(t, name, c.status, c.want)
		r = request(http.MethodPost, "/home/7", c.body, "Content-Type", c.kind, "Content-Encoding", c.coding)
		r.ContentLength = -1
		ask(t, echo, r).want(t, name+", of unknown length", c.status, c.want)
	}
}

func TestAStepsBodyIsReadWithoutItsCoding(t *testing.T) {
	t.Parallel()
	const body = `{"id": 9007199254740993}`
	for name, answer := range map[string]string{"is picked apart": "=steps.a.body.id", "is the answer": "=steps.a.body", "is text": "=steps.a.text"} {
		want := map[string]string{"is picked apart": "9007199254740993", "is the answer": body, "is text": `"{\"id\": 9007199254740993}"`}[name]
		c := world{"a": says(200, zipped(t, body), "Content-Encoding", "gzip", "Content-Type", "application/json")}.route(t,
			"  GET /home/{user}:\n    compose: { a: 'http://a' }\n    return: "+answer+"\n")
		a := get(t, c)
		a.want(t, name, 200, want)
		if coding := a.head.Get("Content-Encoding"); coding != "" {
			t.Errorf("%s: it is in the coding %q", name, coding)
		}
	}
}

func TestABodyThatNobodyReadsIsClosed(t *testing.T) {
	c := world{"a": says(200, "1")}.route(t, "  POST /home/{user}:\n    compose: { a: 'http://a' }\n")
	closed := false
	r := request(http.MethodPost, "/home/7", "x")
	r.Body = closer{&closed}
	ask(t, c, r).want(t, "unread", 200, `{"a":1}`)
	if !closed {
		t.Error("the body stays open")
	}
}

type closer struct{ closed *bool }

func (closer) Read([]byte) (int, error) { return 0, errors.New("nobody should read") }
func (c closer) Close() error           { *c.closed = true; return nil }

func TestTheAnswer(t *testing.T) {
	w := world{"a": func(r *http.Request) (*http.Response, error) {
		res, err := reply(r, 201, `{"id": 7, "bad": "a\nb"}`)
		exchange.ResponseHead(res).Set("Location", "/orders/7")
		return res, err
	}}
	for name, c := range map[string]struct {
		method, result string
		status         int
		text           string
		head           string
	}{
		"of GET":           {"GET", "=steps.a.body.id", 200, "7", "Content-Type: application/json, Content-Length: 1"},
		"to HEAD":          {"HEAD", "=steps.a.body.id", 200, "", "Content-Type: application/json, Content-Length: 1"},
		"long":             {"GET", "{ status: =steps.a.status, headers: { Location: =steps.a.headers.location, Content-Type: application/vnd.shop+json, Vary: [A, B], X-None: =query.none }, body: [] }", 201, "[]", "Content-Type: application/vnd.shop+json, Location: /orders/7, Vary: A, Vary: B, Content-Length: 2"},
		"no content":       {"GET", "{ status: 204 }", 204, "", ""},
		"only a status":    {"GET", "{ status: 404, headers: { X-A: b } }", 404, "", "X-A: b, Content-Length: 0"},
		"a status too far": {"GET", "{ status: =steps.a.body.id, body: 1 }", 502, "composition-failed", ""},
		"no such member":   {"GET", "=steps.a.body.name", 502, "composition-failed", ""},
		"a bad field":      {"GET", "{ headers: { X: =steps.a.body.bad }, body: 1 }", 502, "composition-failed", ""},
		"an unclear query": {"GET", "=query.a", 400, "malformed-request", ""},
	} {
		made := w.route(t, "  GET /home/{user}:\n    compose: { a: { to: 'http://a', method: PUT } }\n    return: "+c.result+"\n")
		target := "/home/7"
		if c.status == 400 {
			target += "?a=1;b=2"
		}
		a := ask(t, made, request(c.method, target, ""))
		a.want(t, name, c.status, c.text)
		if a.head == nil {
			continue
		}
		var lines []string
		for n, v := range a.head.All() {
			lines = append(lines, n+": "+v)
		}
		want := strings.Split(c.head, ", ")
		if c.head == "" {
			want = nil
		}
		slices.Sort(lines)
		slices.Sort(want)
		if !slices.Equal(lines, want) {
			t.Errorf("%s: the head is %q, want %q", name, lines, want)
		}
	}
}

func TestReadsAreTriedAgainWhereTheBackendDoesNotDoItItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		flaky := func(r *http.Request) (*http.Response, error) {
			switch asked.Add(1) {
			case 1:
				return nil, errors.New("broken")
			case 2:
				return reply(r, 503, "")
			default:
				return reply(r, 200, "1")
			}
		}
		text := "  GET /home/{user}:\n    compose: { a: { to: 'http://a', retry: %d } }\n"
		get(t, world{"a": flaky}.route(t, fmt.Sprintf(text, 2))).want(t, "the third answers", 200, `{"a":1}`)
		asked.Store(0)
		get(t, world{"a": flaky}.route(t, fmt.Sprintf(text, 1))).want(t, "the second does not", 502, "composition-failed")
	})
}

func TestTheClientsFaultIsToldWhateverTheElse(t *testing.T) {
	c := world{"a": says(200, "1")}.route(t, `
  GET /home/{user}:
    compose:
      a: { to: "http://a", path: "/x/{user}", query: { q: =query.q }, else: 1 }
`)
	r := request(http.MethodGet, "/home/x?q=1;2", "")
	ask(t, c, r).want(t, "query", 400, "malformed-request")
	r = request(http.MethodGet, "/home/x", "")
	exchange.Of(r).Params = exchange.Params{}
	exchange.Of(r).Params.Add("user", "..")
	ask(t, c, r).want(t, "path", 400, "ambiguous-path")
}

// TestAValueOfTheClientIsTheClientsFault checks that no client can trigger the alarm for failing backends, and that a
// client is never blamed for what a step returns.
func TestAValueOfTheClientIsTheClientsFault(t *testing.T) {
	for _, c := range []struct {
		path, header string
		status       int
		code         string
	}{
		{path: "{=query.x}", status: 400, code: "ambiguous-path"},
		{path: "{=query.x + request.headers.none}", status: 400, code: "ambiguous-path"},
		{path: "{=query.none}", status: 400, code: "ambiguous-path"},
		{path: "{=query.dots}", status: 400, code: "ambiguous-path"},
		{path: "{=query.x + steps.a.body.id}", status: 502, code: "composition-failed"},
		{path: "{=query.x}-{=steps.a.body.bad}", status: 502, code: "composition-failed"},
		{path: "fine", header: "=query.line", status: 400, code: "bad-parameter"},
		{path: "fine", header: "=query.line + steps.a.body.id", status: 502, code: "composition-failed"},
		{path: "fine", header: "=query.y", status: 200, code: "1"},
	} {
		made := world{"a": says(200, `{"id": "i", "bad": "/"}`), "b": says(200, "1")}.route(t, `
  GET /home/{user}:
    compose:
      a: http://a/
      b: { to: "http://b", path: "/`+c.path+`", headers: { X-Note: "`+cmp.Or(c.header, "text")+`" } }
    return: =steps.b.body
`)
		r := request(http.MethodGet, "/home/ann?x=a/b&y=1&dots=..&line=a%0Ab", "")
		ask(t, made, r).want(t, c.path+c.header, c.status, c.code)
	}
}

// threeSteps is a composition on two levels, whose backends cost nothing.
func threeSteps(tb testing.TB) http.RoundTripper {
	tb.Helper()
	return world{
		"profile": says(200, `{"id": 7, "name": "Ann", "city": "Bern"}`),
		"orders":  says(200, `[{"id": 1, "total": 1290}, {"id": 2, "total": 3450}, {"id": 3, "total": 980}]`),
		"offers":  says(200, `[{"item": "tea"}]`),
	}.route(tb, `
  GET /home/{user}:
    compose:
      profile: http://profile/users/{user}
      orders: { to: "http://orders", path: "/customers/{=steps.profile.body.id}" }
      offers: { to: "http://offers", timeout: 300ms, else: [] }
    return:
      name: =steps.profile.body.name
      orders: =steps.orders.body
      offers: =steps.offers.body
`)
}

func BenchmarkComposition(b *testing.B) {
	c, r := threeSteps(b), request(http.MethodGet, "/home/7", "")
	b.ReportAllocs()
	for b.Loop() {
		exchange.Of(r).Attempts = exchange.Of(r).Attempts[:0]
		res, err := c.RoundTrip(r)
		if err != nil || res.StatusCode != 200 {
			b.Fatal(res, err)
		}
	}
}

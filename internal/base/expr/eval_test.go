package expr_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// body parses a JSON text as a filter would.
func body(text string) func() (any, error) {
	return func() (any, error) { return jsonx.Parse([]byte(text), jsonx.Options{}) }
}

// input is a request of a customer in the middle of its road.
func input() *expr.Input {
	r := httptest.NewRequest(http.MethodPost, "http://shop.dev:8080/users/ann?page=2&q=a+b&q=c", nil)
	r.Header.Set("X-Beta", "1")
	r.Header.Add("X-Role", "user")
	r.Header.Add("X-Role", "admin")
	r.Header.Set("Cookie", `a=b; session="abc"`)
	x := &exchange.Exchange{
		ID: "req-1", Host: "shop.dev", Path: "/users/ann", Query: r.URL.RawQuery,
		Client: exchange.Client{IP: netip.MustParseAddr("::ffff:10.1.2.3"), Scheme: "https", Host: "shop.dev:8080"},
		Identity: &exchange.Identity{
			Method: "customer", Issuer: "https://id", Subject: "ann", Scopes: []string{"orders:read", "orders:write"},
			Claims: exchange.ClaimsOf(map[string]any{"role": "staff", "n": int64(9007199254740993), "num": json.Number("1.10")}),
		},
	}
	x.Params.Add("user", "ann")
	return &expr.Input{
		Request: exchange.With(r, x),
		Response: &http.Response{
			StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Etag": {`"x"`}, "Set-Cookie": {"a=1; Path=/", "sess=old", "sess=new; HttpOnly"}},
		},
		RequestBody:  body(`{"id": 9007199254740993, "total": 12345678, "price": 1, "rate": 1.5, "list": [1, 2.5, 3], "big": 18446744073709551615, "huge": 123456789012345678901234567890, "exact": 1.10, "nested": {"b": 1, "a": [1.0, "ü\u0041"]}}`),
		ResponseBody: body(`{"ok": true}`),
		Steps: func(name string) (expr.StepResult, bool) {
			if name != "profile" {
				return expr.StepResult{}, false
			}
			v, err := jsonx.Parse([]byte(`{"id": 7, "name": "Ann"}`), jsonx.Options{})
			return expr.StepResult{Status: 201, Head: exchange.MapHead(http.Header{"X-Step": {"s"}}), Body: v, Text: "raw"}, err == nil
		},
		Item: json.Number("9007199254740993"),
	}
}

func mustCompile(tb testing.TB, source string, want expr.Type) *expr.Program {
	tb.Helper()
	p, err := expr.Compile(source, want, all)
	if err != nil {
		tb.Fatalf("%s: %v", source, err)
	}
	return p
}

func TestStringGivesTheTextOfAName(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`request.method`:                 "POST",
		`request.path`:                   "/users/ann",
		`request.query`:                  "page=2&q=a+b&q=c",
		`request.host`:                   "shop.dev:8080",
		`request.scheme + client.scheme`: "httpshttps",
		`request.id`:                     "req-1",
		`request.headers['x-beta']`:      "1",
		`request.headers['X-BETA']`:      "1",
		`request.headers['x-role']`:      "user, admin",
		`request.headers.host`:           "shop.dev:8080",
		`request.headers['none']`:        "",
		`request.cookies.session`:        "abc",
		`request.cookies.none`:           "",
		`path.user`:                      "ann",
		`path.none`:                      "",
		`query.page`:                     "2",
		`query.q`:                        "a b",
		`query['none']`:                  "",
		`host`:                           "shop.dev",
		`client.ip`:                      "10.1.2.3",
		`auth.sub`:                       "ann",
		`auth.id`:                        "10:https://id#ann",
		`auth.claims.role`:               "staff",
		`auth.claims.n`:                  "9007199254740993",
		`auth.claims.num`:                "1.10",
		`response.status`:                "503",
		`response.headers['etag']`:       `"x"`,
		`response.cookies.sess`:          "new",
		`response.cookies.none + string('a' in response.cookies) + string(size(response.cookies))`: "true2",
		`steps.profile.body.name`:                     "Ann",
		`steps.profile.headers['x-step']`:             "s",
		`steps['profile'].status`:                     "201",
		`steps.profile.text`:                          "raw",
		`item`:                                        "9007199254740993",
		`item + 1`:                                    "9007199254740994",
		`request.body.id`:                             "9007199254740993",
		`request.body.total`:                          "12345678",
		`request.body.total * 1.5`:                    "18518517",
		`request.body.total * 1.0`:                    "12345678",
		`string(request.body.total * 1.0)`:            "12345678",
		`string(12345678.0)`:                          "12345678",
		`request.body.id + 1`:                         "9007199254740994",
		`request.body.total * 2`:                      "24691356",
		`2 * request.body.rate`:                       "3",
		`request.body.price * 1.5`:                    "1.5",
		`request.body.price + request.body.rate`:      "2.5",
		`request.body.rate - request.body.price`:      "0.5",
		`request.body.price / request.body.rate`:      "0.6666666666666666",
		`request.body.big`:                            "18446744073709551615",
		`request.body.huge`:                           "123456789012345678901234567890",
		`request.body.exact`:                          "1.10",
		`request.body.exact + 1`:                      "2.1",
		`math.greatest(request.body.exact, 1)`:        "1.1",
		`request.body.nested.a[1]`:                    "üA",
		`size(request.body.list)`:                     "3",
		`request.body.list.map(x, x * 2)[1]`:          "5",
		`request.headers.filter(h, h == 'x-beta')[0]`: "x-beta",
		`true`: "true",
	} {
		got, err := mustCompile(t, source, expr.String).String(input())
		if err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", source, got, err, want)
		}
	}
}

func TestIntAndListLookAtWhatIsDynamic(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]int64{`1 + 1`: 2, `request.body.price`: 1, `steps.profile.status`: 201} {
		if n, err := mustCompile(t, source, expr.Int).Int(input()); n != want || err != nil {
			t.Errorf("%s: got %d, %v", source, n, err)
		}
	}
	for _, source := range []string{`request.body.rate`, `request.body.list`, `request.body.none`, `request.body.huge`} {
		if n, err := mustCompile(t, source, expr.Int).Int(input()); err == nil {
			t.Errorf("%s: got %d", source, n)
		}
	}
}

func TestBoolDecides(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]bool{
		`path.user == auth.sub`:                                        true,
		`auth.has('orders:write')`:                                     true,
		`auth.has('orders')`:                                           false,
		`'orders:read' in auth.scopes`:                                 true,
		`has(request.headers.x)`:                                       false,
		`'x-beta' in request.headers`:                                  true,
		`'page' in query && !('none' in query)`:                        true,
		`has(path.none)`:                                               false,
		`has(request.body.nested) && !has(request.body.none)`:          true,
		`cidr('10.0.0.0/8').contains(client.ip)`:                       true,
		`cidr('::ffff:10.0.0.0/104').contains(client.ip)`:              true,
		`cidr(['192.168.0.0/16', '::1']).contains(client.ip)`:          false,
		`cidr('10.1.2.3').contains(client.ip)`:                         true,
		`size(query) == 2 && size(request.cookies) == 2`:               true,
		`query.exists(k, k == 'page')`:                                 true,
		`request.body.price == 1.0 && request.body.price == 1`:         true,
		`1.0 == request.body.price`:                                    true,
		`request.body.exact == 1.1 && 1.1 == request.body.exact`:       true,
		`request.body.exact in [1.1, 2.2]`:                             true,
		`1 in request.body.list && 2.5 in request.body.list`:           true,
		`request.body.list == [1, 2.5, 3]`:                             true,
		`[1, 2.5, 3] == request.body.list`:                             true,
		`request.body.nested == {'a': [1, 'üA'], 'b': 1}`:              true,
		`request.body.id == 9007199254740993`:                          true,
		`request.body.id == 9007199254740992`:                          false,
		`request.body.big == 18446744073709551615u`:                    true,
		`request.body.big > 1`:                                         true,
		`request.body.huge == request.body.huge`:                       true,
		`request.body.huge == 123456789012345678901234567890.0`:        false,
		`request.body.price < request.body.rate`:                       true,
		`request.body.list.exists(x, x > 2)`:                           true,
		`request.body.list + [4] == [1, 2.5, 3, 4]`:                    true,
		`type(request.body.list) == list && type(request.body) == map`: true,
		`response.body.ok`:                                             true,
		`request.headers == {}`:                                        false,
	} {
		got, err := mustCompile(t, source, expr.Bool).Bool(input())
		if err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", source, got, err, want)
		}
	}
}

func TestWithoutIdentityAuthIsEmpty(t *testing.T) {
	t.Parallel()
	in := input()
	exchange.Of(in.Request).Identity = nil
	for source, want := range map[string]bool{
		`auth.sub == '' && auth.iss == '' && auth.id == '' && auth.method == ''`: true,
		`auth.has('orders:write') || auth.has('')`:                               false,
		`size(auth.scopes) == 0 && size(auth.claims) == 0`:                       true,
		`path.user == auth.sub`:                                                  false,
	} {
		got, err := mustCompile(t, source, expr.Bool).Bool(in)
		if err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", source, got, err, want)
		}
	}
}

func TestValueKeepsWhatItDoesNotTouch(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`request.body.nested`: `{"b": 1, "a": [1.0, "ü\u0041"]}`,
		`{"n": request.body.nested, "e": request.body.exact, "h": request.body.huge, "b": request.body.big}`: `{"b":18446744073709551615,"e":1.10,"h":123456789012345678901234567890,"n":{"b": 1, "a": [1.0, "ü\u0041"]}}`,
		`request.body.list.map(x, {"x": x})`:                            `[{"x":1},{"x":2.5},{"x":3}]`,
		`request.body.list + [request.body.exact]`:                      `[1,2.5,3,1.10]`,
		`true ? request.body.exact : null`:                              `1.10`,
		`[number('1.10'), number(' 9007199254740993 '), number('1e3')]`: `[1.10,9007199254740993,1e3]`,
		`number('1.10') * 2.0 + number('1')`:                            `3.2`,
		`[null, true, "<&>", 1, 1.5, 12345678.0]`:                       `[null,true,"<&>",1,1.5,12345678]`,
		`{1: 2, true: b"x"}`:                                            `{"1":2,"true":"eA=="}`,
		`query`:                                                         `{"page":"2","q":"a b"}`,
		`path`:                                                          `{"user":"ann"}`,
		`auth.scopes`:                                                   `["orders:read","orders:write"]`,
		`auth.claims`:                                                   `{"n":9007199254740993,"num":1.10,"role":"staff"}`,
		`[duration("90s"), timestamp("2026-01-02T03:04:05Z")]`:          `["90s","2026-01-02T03:04:05Z"]`,
	} {
		value, err := mustCompile(t, source, expr.Any).Value(input())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := jsonx.Append(nil, value)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", source, got, err, want)
		}
	}
}

func TestEvaluationErrorsAreErrors(t *testing.T) {
	t.Parallel()
	in := input()
	in.ResponseBody = func() (any, error) { return nil, errors.New("no JSON") }
	for source, want := range map[string]string{
		`request.body.none == 1`: "no such key: none",
		`request.body.total`:     "must be true or false, this is an integer",
		`request.body.total == 1 / (query.page == '2' ? 0 : 1)`: "division by zero",
		`request.body.id * 9007199254740993 > 0`:                "overflow",
		`request.body.total + 'x' == ''`:                        "no such overload",
		`int(request.headers['none']) > 1`:                      "type conversion error",
		`cidr('10.0.0.0/8').contains(request.headers['none'])`:  `"" is no IP address`,
		`steps.orders.body.ok`:                                  "step orders has no result",
		`response.body.ok`:                                      "no JSON",
		`request.body.list[7] == 1`:                             "index out of bounds: 7",
		`request.body.huge * 2 > 1`:                             "no such overload",
		`request.body.big + 1 > 1`:                              "too large",
		`number('007') == 7`:                                    "is no number as JSON writes it",
	} {
		got, err := mustCompile(t, source, expr.Bool).Bool(in)
		if err == nil || got || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, %v; want error %q", source, got, err, want)
		}
	}
}

func TestEvaluationsAreBounded(t *testing.T) {
	t.Parallel()
	ones, text := `[`+strings.Repeat(`1,`, 30_000)+`1]`, `"`+strings.Repeat("a", 1_000_000)+`"`
	for _, c := range []struct{ source, body, want string }{
		{`request.body.all(a, request.body.all(b, a == b))`, ones, "cost limit"},
		{`lists.range(1000000000).size() > 1`, `1`, "range"},
		{`request.body.replace("a", request.body) == ''`, text, "larger than"},
		{`lists.range(1000).map(i, request.body).join('') == ''`, text, "larger than"},
		{`[1, 2, 3].map(i, 'x').join(request.body + request.body + request.body + request.body) == ''`, `"` + strings.Repeat("a", 1_100_000) + `"`, "larger than"},
		{`'%s%s%s%s%s%s%s%s%s'.format(lists.range(9).map(i, request.body)) == ''`, text, "larger than"},
		{`request.body.split('').size() == 0`, `"` + strings.Repeat("a", 1_100_000) + `"`, "more than 1048576 elements"},
		{`request.body.indexOf(request.body + 'b') == 0`, text, "cost limit"},
		{`request.body.distinct().size() == 1`, ones, "cost limit"},
	} {
		in := input()
		in.RequestBody = body(c.body)
		got, err := mustCompile(t, c.source, expr.Bool).Bool(in)
		// Where a machine is so slow that the time is up first, that is the bound.
		slow := c.want == "cost limit" && err != nil && strings.Contains(err.Error(), context.DeadlineExceeded.Error())
		if err == nil || got || !slow && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v, %v; want %q", c.source, got, err, c.want)
		}
	}
	p := mustCompile(t, `lists.range(10000).map(i, request.body)`, expr.Any)
	in := input()
	in.RequestBody = body(text)
	if _, err := p.Value(in); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a result of 10 GB: %v", err)
	}
}

func TestAnEvaluationEndsWithItsClient(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := input()
	in.Request = in.Request.WithContext(exchangeContext(ctx, in))
	_, err := mustCompile(t, `lists.range(10000).all(i, request.body.list.all(j, j > 0))`, expr.Bool).Bool(in)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnEvaluationHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, asked := input(), 0
		in.RequestBody = body(`[` + strings.Repeat(`1,`, 10_000) + `1]`)
		in.Steps = func(string) (expr.StepResult, bool) {
			asked++
			<-time.After(100 * time.Millisecond) // of the test's own clock
			return expr.StepResult{Status: 200}, true
		}
		_, err := mustCompile(t, `request.body.all(i, steps.slow.status == 200)`, expr.Bool).Bool(in)
		if !errors.Is(err, context.DeadlineExceeded) || asked > 1000 {
			t.Errorf("%d rounds, %v", asked, err)
		}
	})
}

// exchangeContext is ctx with the exchange of in.
func exchangeContext(ctx context.Context, in *expr.Input) context.Context {
	return exchange.With(in.Request.Clone(ctx), exchange.Of(in.Request)).Context()
}

func TestProgramsAreSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	p := mustCompile(t, `auth.has('orders:write') && request.headers['x-beta'] == '1' && request.body.list.exists(x, x == 3)`, expr.Bool)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				if ok, err := p.Bool(input()); err != nil || !ok {
					t.Errorf("got %v, %v", ok, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// TestAmbiguousQueryIsAnErrorToRead holds that no condition is decided by a
// parameter that the backend may read in another way.
func TestAmbiguousQueryIsAnErrorToRead(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"page=2;admin=1", "page=%zz", "page=2%"} {
		in := input()
		exchange.Of(in.Request).Query = raw
		for _, source := range []string{
			`query.page == '2'`, `query['page'] != '3'`, `has(query.page)`, `'page' in query`, `size(query) > 0`, `query.all(n, n != '')`,
			`client.ip == '' || query.page == '2'`, `query == query`,
		} {
			_, err := mustCompile(t, source, expr.Bool).Bool(in)
			if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != fault.MalformedRequest.Code {
				t.Errorf("%s of %s: %v, want the fault", source, raw, err)
			}
		}
		if got, err := mustCompile(t, `request.query`, expr.String).String(in); err != nil || got != raw {
			t.Errorf("request.query of %s: %q, %v", raw, got, err)
		}
		if ok, err := mustCompile(t, `host == 'shop.dev'`, expr.Bool).Bool(in); err != nil || !ok {
			t.Errorf("an expression that reads no query: %t, %v", ok, err)
		}
	}
}

func TestReadingAQueryAllocatesNothingMore(t *testing.T) {
	in := input()
	allocations := func(source string) float64 {
		p := mustCompile(t, source, expr.Bool)
		return testing.AllocsPerRun(100, func() {
			if _, err := p.Bool(in); err != nil {
				t.Fatal(err)
			}
		})
	}
	if query, path := allocations(`query.page == '2'`), allocations(`path.user == 'ann'`); query > path {
		t.Errorf("%v allocations, a parameter of the path takes %v", query, path)
	}
}

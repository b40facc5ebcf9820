package route_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// rule parses a rule as a file would have it: `GET shop.dev/orders/{id}`. Conditions may follow: `header:x-beta=1`,
// `query:page=1`, `cookie:beta=1`, `when:EXPRESSION`, `rank:1`. A value in slashes is a regular expression. A path
// after `=` is exact, and one after `^` is a prefix. The value of the rule is the text itself.
func rule(t testing.TB, text string) route.Rule[string] {
	t.Helper()
	words := strings.Fields(text)
	r := route.Rule[string]{Name: text, Value: text, HeadByGet: true}
	if words[0] != "ANY" {
		r.Match.Method = words[0]
	}
	at := strings.IndexByte(words[1], '/')
	r.Host, r.Match.Path.Pattern = words[1][:at], words[1][at:]
	if host, ok := strings.CutSuffix(r.Host, "="); ok {
		r.Host, r.Match.Path = host, config.PathMatch{Exact: words[1][at:]}
	} else if host, ok := strings.CutSuffix(r.Host, "^"); ok {
		r.Host, r.Match.Path = host, config.PathMatch{Prefix: words[1][at:]}
	}
	for _, word := range words[2:] {
		addCondition(t, &r, word)
	}
	return r
}

func addCondition(t testing.TB, r *route.Rule[string], word string) {
	t.Helper()
	kind, condition, _ := strings.Cut(word, ":")
	name, value, _ := strings.Cut(condition, "=")
	f := config.FieldMatch{Name: name, Value: value}
	if regex := strings.Trim(value, "/"); regex != value {
		f.Value, f.Regex = regex, true
	}
	switch kind {
	case "header":
		r.Match.Headers = append(r.Match.Headers, f)
	case "query":
		r.Match.Query = append(r.Match.Query, f)
	case "cookie":
		r.Match.Cookies = append(r.Match.Cookies, f)
	case "rank":
		r.Rank = condition
	case "when": // true if the query parameter "when" has the condition's name
		r.Match.When = &config.Expr{Source: condition}
		r.When = func(req *http.Request) bool { return strings.Contains(req.URL.Query().Get("when"), condition) }
	default:
		t.Fatalf("what is %q?", word)
	}
}

func build(t testing.TB, texts ...string) *route.Table[string] {
	t.Helper()
	var rules []route.Rule[string]
	for _, text := range texts {
		rules = append(rules, rule(t, text))
	}
	table, problems := route.Build(rules)
	for _, p := range problems {
		t.Fatalf("problem: %v", p)
	}
	return table
}

// query parses a request: `GET shop.dev/orders/7?page=1 x-beta=1 cookie=a=1`.
func query(t testing.TB, text string) *route.Query {
	t.Helper()
	words := strings.Fields(text)
	host, target, _ := strings.Cut(words[1], "/")
	r := httptest.NewRequest(words[0], "/"+target, nil)
	r.Host = host
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		r.Header.Add(name, value)
	}
	path, _, _ := strings.Cut("/"+target, "?")
	return &route.Query{Method: words[0], Host: host, Path: path, Request: r}
}

func matched(t testing.TB, table *route.Table[string], request string) string {
	t.Helper()
	var p exchange.Params
	got, ok := table.Match(query(t, request), &p)
	if !ok && p.Len() > 0 {
		t.Errorf("%s: nothing matched, but %v was captured", request, p.At(0))
	}
	return got
}

// All rules of a case match the request. The first one must win, in whichever order they are written; without it the
// second one wins, and so on.
func TestOrderOfMatch(t *testing.T) {
	for _, tt := range []struct {
		why, request string
		rules        []string
	}{
		{
			"host: exact, longest suffix, a label before a wildcard, none", "GET eu.shop.dev/a",
			[]string{"GET eu.shop.dev/**", "GET {tenant}.shop.dev/**", "GET *.shop.dev/**", "GET *.dev/**", "GET /a"},
		},
		{
			"path: literal, literal with a parameter, parameter, rest", "GET /files/a.json",
			[]string{"GET /files/a.json", "GET /files/{name}.json", "GET /files/{name}", "GET /files/**", "GET /{any}/a.json", "GET /{any}/{name}", "GET /**"},
		},
		{
			"path: the longer literal beside a parameter first", "GET /pre-7.tar.gz",
			[]string{"GET /pre-{x}.tar.gz", "GET /{x}.tar.gz", "GET /pre-{x}", "GET /{x}.gz", "GET /{x}z", "GET /{x}"},
		},
		{
			"path: the leftmost difference decides, not the number of parameters", "GET /a/b/c/d",
			[]string{"GET /a/{x}/{y}/{z}", "GET /{w}/b/c/d", "GET /{w}/{x}/c/d", "GET /{w}/**"},
		},
		{
			"path: an exact end beats a rest of nothing", "GET /x",
			[]string{"GET /x", "GET /x/**", "GET /{any}", "GET /{any}/**", "GET /**"},
		},
		{
			"path: a trailing slash is an end of its own", "GET /x/",
			[]string{"GET /x/", "GET /x/**", "GET /{any}/", "GET /**"},
		},
		{
			"path: exact, then the longest prefix (Gateway API)", "GET /a/b/c",
			[]string{"GET =/a/b/c", "GET ^/a/b/c", "GET ^/a/b", "GET ^/a", "GET ^/"},
		},
		{"method: a named one before any", "GET /a", []string{"GET /a", "ANY /a"}},
		{"method: only after the path", "GET /a/b", []string{"ANY /a/b", "GET /a/{x}"}},
		{"HEAD: its own rule, then GET's, then any", "HEAD /a", []string{"HEAD /a", "GET /a", "ANY /a"}},
		{"HEAD: a literal path for GET before a parameter for HEAD", "HEAD /a", []string{"GET /a", "HEAD /{x}"}},
		{
			"headers, then query, then cookies: more before fewer", "GET /a?p=1&q=1 x=1 y=1 cookie=c=1",
			[]string{
				"GET /a header:x=1 header:y=1", "GET /a header:x=1 query:p=1 query:q=1", "GET /a header:x=1 query:p=1",
				"GET /a header:x=1 cookie:c=1", "GET /a header:x=1", "GET /a query:p=1 query:q=1", "GET /a query:p=1 cookie:c=1",
				"GET /a query:p=1", "GET /a cookie:c=1", "GET /a",
			},
		},
		{"method before headers", "GET /a x=1", []string{"GET /a", "ANY /a header:x=1"}},
		{"an expression before none, but after typed conditions", "GET /a?when=yes x=1", []string{"GET /a header:x=1", "GET /a when:yes", "GET /a"}},
		{"rank breaks the tie", "GET /a", []string{"GET /a rank:1", "GET /a rank:2", "GET /a rank:3"}},
		{"an unranked rule before a ranked one", "GET /a", []string{"GET /a", "GET /a rank:0"}},
		{"equal numbers of conditions: by their text", "GET /a x=1 y=1", []string{"GET /a header:x=1", "GET /a header:y=1"}},
	} {
		t.Run(tt.why, func(t *testing.T) {
			for first := range tt.rules {
				for name, rules := range map[string][]string{"as listed": tt.rules[first:], "reversed": reversed(tt.rules[first:])} {
					if got := matched(t, build(t, rules...), tt.request); got != tt.rules[first] {
						t.Errorf("%s, %s: %q won, want %q", tt.request, name, got, tt.rules[first])
					}
				}
			}
		})
	}
}

func reversed(list []string) []string {
	var back []string
	for i := range list {
		back = append(back, list[len(list)-1-i])
	}
	return back
}

func TestWhatAPatternCovers(t *testing.T) {
	for _, tt := range []struct {
		rule     string
		yes, not []string
	}{
		{"GET /x", []string{"GET /x", "HEAD /x", "GET any.dev/x"}, []string{"GET /x/", "GET /", "GET /X", "GET /x/y", "GET /xy", "POST /x", "GET *"}},
		{"GET /x/", []string{"GET /x/"}, []string{"GET /x", "GET /x/y"}},
		{"GET /", []string{"GET /"}, []string{"GET /x"}},
		{"GET /**", []string{"GET /", "GET /x", "GET /x/", "GET /x/y/z"}, nil},
		{"GET /x/**", []string{"GET /x", "GET /x/", "GET /x/y", "GET /x/y/"}, []string{"GET /", "GET /xy", "GET /y/x"}},
		{"GET /x/{rest...}", []string{"GET /x", "GET /x/", "GET /x/y/z"}, []string{"GET /xy"}},
		{"GET ^/x", []string{"GET /x", "GET /x/", "GET /x/y"}, []string{"GET /xy", "GET /"}},
		{"GET ^/x/", []string{"GET /x", "GET /x/", "GET /x/y"}, []string{"GET /xy"}},
		{"GET ^/", []string{"GET /", "GET /x"}, nil},
		{"GET =/x/", []string{"GET /x/"}, []string{"GET /x"}},
		{"GET =/{id}", []string{"GET /%7Bid%7D"}, []string{"GET /7"}},
		{"GET =/caf\u00e9", []string{"GET /caf%C3%A9"}, nil},
		{"GET /x/{id}", []string{"GET /x/7", "GET /x/a%2Fb"}, []string{"GET /x", "GET /x/", "GET /x/7/"}},
		{"GET /{id}.json", []string{"GET /a.json", "GET /a.b.json", "GET /%20.json"}, []string{"GET /.json", "GET /a.jso", "GET /a"}},
		{"GET /v{n}-{}", nil, nil},
		{"GET /{id}:cancel", []string{"GET /7:cancel"}, []string{"GET /:cancel", "GET /7:cancelled", "GET /7%3Acancel"}},
		{"GET /a{x}a", []string{"GET /aba", "GET /aaa"}, []string{"GET /aa", "GET /a"}},
		{"GET /{x}0", []string{"GET /10", "GET /%200"}, []string{"GET /%20", "GET /0"}},
		{"GET shop.dev/x", []string{"GET shop.dev/x"}, []string{"GET /x", "GET www.shop.dev/x", "GET shop.dev.evil/x"}},
		{"GET *.shop.dev/x", []string{"GET a.shop.dev/x", "GET a.b.shop.dev/x"}, []string{"GET shop.dev/x", "GET ashop.dev/x", "GET /x", "GET a.shop.dev.evil/x"}},
		{"GET {t}.shop.dev/x", []string{"GET a.shop.dev/x"}, []string{"GET shop.dev/x", "GET a.b.shop.dev/x"}},
		{"GET 2001:db8::1/x", []string{"GET 2001:db8::1/x"}, []string{"GET 2001:db8::2/x"}},
		{"GET /x header:X-Beta=1", []string{"GET /x x-beta=1"}, []string{"GET /x", "GET /x x-beta=2", "GET /x x-beta=1 x-beta=2", "GET /x x-beta="}},
		{"GET /x header:a=1,", []string{"GET /x a=1,"}, []string{"GET /x a=1 a=", "GET /x a=1"}},
		{"GET /x header:a=/1.*/", []string{"GET /x a=1", "GET /x a=12", "GET /x a=1 a=2"}, []string{"GET /x a=21", "GET /x", "GET /x a=2 a=1"}},
		{"GET /x header:a=/.*/", []string{"GET /x a=", "GET /x a=1"}, []string{"GET /x"}},
		{"GET /x header:a=/1|2/", []string{"GET /x a=1", "GET /x a=2"}, []string{"GET /x a=12"}},
		{"GET /x header:host=shop.dev", []string{"GET shop.dev/x"}, []string{"GET /x"}},
		{"GET /x query:a=1", []string{"GET /x?a=1", "GET /x?b=2&%61=%31"}, []string{"GET /x", "GET /x?a=2&a=1", "GET /x?A=1"}},
		{"GET /x cookie:a=1", []string{"GET /x cookie=b=2;a=1", "GET /x cookie=b=2 cookie=a=1"}, []string{"GET /x", "GET /x cookie=a=2;a=1"}},
		{"GET /x when:ok", []string{"GET /x?when=ok"}, []string{"GET /x"}},
		{"ANY /x", []string{"GET /x", "PURGE /x", "HEAD /x"}, nil},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if len(tt.yes) == 0 {
				if _, problems := route.Build([]route.Rule[string]{rule(t, tt.rule)}); len(problems) != 1 {
					t.Fatalf("problems: %v, want one", problems)
				}
				return
			}
			table := build(t, tt.rule)
			for _, request := range tt.yes {
				if matched(t, table, request) == "" {
					t.Errorf("%s does not match", request)
				}
			}
			for _, request := range tt.not {
				if matched(t, table, request) != "" {
					t.Errorf("%s matches", request)
				}
			}
		})
	}
}

func TestHeadIsAnsweredByGetOnlyWhereTheSourceSaysSo(t *testing.T) {
	r := rule(t, "GET /x")
	r.HeadByGet = false
	table, _ := route.Build([]route.Rule[string]{r})
	if got := matched(t, table, "HEAD /x"); got != "" {
		t.Errorf("HEAD is answered by %q", got)
	}
	if got := table.Methods(query(t, "HEAD /x")); strings.Join(got, " ") != "GET" {
		t.Errorf("methods: %v", got)
	}
}

func TestALoserGivesWayToTheNextInOrder(t *testing.T) {
	table := build(t,
		"GET shop.dev/a/b/c header:x=1", "GET shop.dev/a/{y}/c header:x=2", "GET shop.dev/a/b/** header:x=3",
		"GET shop.dev/{z}/b/c header:x=4", "GET *.dev/a/b/c header:x=5", "GET /a/b/c header:x=6", "POST shop.dev/a/b/c", "GET /**",
	)
	for x, want := range map[string]string{
		"1": "GET shop.dev/a/b/c header:x=1", "2": "GET shop.dev/a/{y}/c header:x=2", "3": "GET shop.dev/a/b/** header:x=3",
		"4": "GET shop.dev/{z}/b/c header:x=4", "5": "GET *.dev/a/b/c header:x=5", "6": "GET /a/b/c header:x=6", "7": "GET /**",
	} {
		if got := matched(t, table, "GET shop.dev/a/b/c x="+x); got != want {
			t.Errorf("x=%s: %q won, want %q", x, got, want)
		}
	}
}

func TestWhatIsCaptured(t *testing.T) {
	for _, tt := range []struct{ rule, request, want string }{
		{"GET /orders/{id}", "GET /orders/7", "id=7"},
		{"GET /{a}/x/{b}", "GET /1/x/2", "a=1 b=2"},
		{"GET /{name}.json", "GET /a.b.json", "name=a.b"},
		{"GET /v{n}:run", "GET /v12:run", "n=12"},
		{"GET /{x}", "GET /a%20b%2Fc+d", "x=a b/c+d"},
		{"GET /files/**", "GET /files/a/b%20c/", "**=a/b%20c/"},
		{"GET /files/**", "GET /files", "**="},
		{"GET /files/**", "GET /files/", "**="},
		{"GET /{path...}", "GET /a/b", "path=a/b"},
		{"GET ^/files", "GET /files/a", "**=a"},
		{"GET {tenant}.shop.dev/{id}", "GET eu.shop.dev/7", "tenant=eu id=7"},
		{"GET *.shop.dev/x", "GET eu.shop.dev/x", ""},
		{"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", "GET /1/2/3/4/5/6/7/8", "a=1 b=2 c=3 d=4 e=5 f=6 g=7 h=8"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			p := new(exchange.Params)
			if _, ok := build(t, tt.rule, "GET /{nobody}/{nothing} header:never=1").Match(query(t, tt.request), p); !ok {
				t.Fatal("no match")
			}
			var got []string
			for i := range p.Len() {
				got = append(got, p.At(i).Name+"="+p.At(i).Value)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("captured %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAnExpressionSeesWhatItsOwnPatternCaptured(t *testing.T) {
	var seen []string
	see := func(holds bool) func(*http.Request) bool {
		return func(r *http.Request) bool {
			p := exchange.Of(r).Params
			seen = append(seen, p.At(p.Len()-1).Name+"="+p.At(p.Len()-1).Value)
			return holds && p.Len() == 1
		}
	}
	first, second := rule(t, "GET /x/{id}"), rule(t, "GET /x/{path...}")
	first.When, second.When = see(false), see(true)
	table, _ := route.Build([]route.Rule[string]{first, second})
	q := query(t, "GET /x/7")
	x := &exchange.Exchange{}
	q.Request = exchange.With(q.Request, x)
	if got, _ := table.Match(q, &x.Params); got != second.Name {
		t.Errorf("%q won", got)
	}
	trace := table.Explain(q)
	if c, _ := trace.Winner(); c.Name != second.Name {
		t.Errorf("explain says %q", c.Name)
	}
	if want := "id=7 path=7 id=7 path=7"; strings.Join(seen, " ") != want {
		t.Errorf("expressions saw %q, want %q", seen, want)
	}
	if v, _ := x.Params.Get("path"); v != "7" || x.Params.Len() != 1 {
		t.Error("explain did not leave the exchange's parameters as they were")
	}
}

func TestMethodsAreThoseThatWouldHaveMatched(t *testing.T) {
	table := build(t, "GET /x", "POST /{any}", "DELETE /x header:x=1", "PUT shop.dev/x", "PATCH /y", "POST /x")
	for request, want := range map[string]string{
		"PUT /x":             "GET HEAD POST",
		"PATCH /x x=1":       "DELETE GET HEAD POST",
		"PATCH shop.dev/x":   "GET HEAD POST PUT",
		"GET /y":             "PATCH POST",
		"GET /nobody/at/all": "",
	} {
		if got := strings.Join(table.Methods(query(t, request)), " "); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func TestMatchesThatNoRequestTellsApartAreAProblem(t *testing.T) {
	at := func(r route.Rule[string], line int) route.Rule[string] {
		r.Origin.Pos = doc.Pos{File: "weir.yaml", Line: line, Col: 3}
		return r
	}
	for _, tt := range []struct {
		first, second string
		problem       bool
	}{
		{"GET /orders/{id}", "GET /orders/{order}", true},
		{"GET /x/**", "GET /x/{rest...}", true},
		{"GET /x/**", "GET ^/x", true},
		{"GET =/x", "GET /x", true},
		{"GET {a}.shop.dev/x", "GET {b}.shop.dev/x", true},
		{"GET Shop.dev/x", "GET shop.dev./x", true},
		{"GET /caf\u00e9", "GET /caf%c3%a9", true},
		{"GET /x header:A=1 header:b=2", "GET /x header:B=2 header:a=1", true},
		{"GET /x when:a", "GET /x when:a", true},
		{"GET /x rank:1", "GET /x rank:1", false},
		{"GET /x", "GET /x rank:1", false},
		{"GET /x", "POST /x", false},
		{"GET /x", "GET /x/", false},
		{"GET /x header:a=1", "GET /x header:a=2", false},
		{"GET /x header:a=1", "GET /x header:a=/1/", false},
		{"GET /x header:a=1", "GET /x query:a=1", false},
		{"GET /x when:a", "GET /x when:b", false},
	} {
		t.Run(tt.first+" and "+tt.second, func(t *testing.T) {
			_, problems := route.Build([]route.Rule[string]{at(rule(t, tt.first), 3), at(rule(t, tt.second), 7)})
			if !tt.problem {
				if len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Pos.Line != 7 || !strings.Contains(problems[0].String(), "weir.yaml:3:3") {
				t.Errorf("problems: %v, want one at line 7 that names line 3", problems)
			}
		})
	}
}

func TestAnUnreadableRuleIsAProblemAndNoMatch(t *testing.T) {
	for _, text := range []string{"GET /a/{", "GET /**/b", "GET *.*.dev/a", "GET =/a/../b", "GET =/a%00", "GET /x header:a=/(/"} {
		table, problems := route.Build([]route.Rule[string]{rule(t, text), rule(t, "GET /fine")})
		if len(problems) != 1 || problems[0].What == "" {
			t.Errorf("%s: problems: %v, want one", text, problems)
		}
		if matched(t, table, "GET /fine") == "" {
			t.Errorf("%s: the other rule is gone", text)
		}
	}
}

func TestAnEmptyTableMatchesNothing(t *testing.T) {
	table, problems := route.Build[string](nil)
	if matched(t, table, "GET shop.dev/") != "" || len(problems) > 0 || table.Methods(query(t, "GET /")) != nil {
		t.Error("something comes out of nothing")
	}
}

func TestSeveralLinesOfAHeaderAreOneValue(t *testing.T) {
	r := rule(t, "GET /x")
	r.Match.Headers = []config.FieldMatch{{Name: "accept-language", Value: "de, en"}}
	table, _ := route.Build([]route.Rule[string]{r})
	for request, want := range map[string]string{
		"GET /x accept-language=de accept-language=en":                    r.Name,
		"GET /x accept-language=en accept-language=de":                    "",
		"GET /x accept-language=de accept-language=en accept-language=fr": "",
		"GET /x accept-language=de accept-language=e":                     "",
		"GET /x accept-language=de":                                       "",
	} {
		if got := matched(t, table, request); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func TestWithoutARequestNoConditionHolds(t *testing.T) {
	table := build(t, "GET /x header:a=1", "GET /x query:a=1", "GET /x")
	var p exchange.Params
	if got, _ := table.Match(&route.Query{Method: "GET", Path: "/x"}, &p); got != "GET /x" {
		t.Errorf("%q won", got)
	}
}

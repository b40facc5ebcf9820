package route_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// naive is the documented order, read literally: all rules are sorted once, and each is tried on the whole request.
// It shares no code with the table.
type naive []route.Rule[string]

func (n naive) match(q *route.Query) string {
	sorted := slices.Clone(n)
	slices.SortStableFunc(sorted, func(a, b route.Rule[string]) int {
		return cmp.Or(compareHosts(a.Host, b.Host), comparePaths(a.Match.Path.Pattern, b.Match.Path.Pattern), compareConditions(a, b))
	})
	for _, r := range sorted {
		if naiveHost(r.Host, q.Host) && naivePath(r.Match.Path.Pattern, q.Path) && naiveConditions(r, q) {
			return r.Name
		}
	}
	return ""
}

// compareHosts orders hosts: exact hosts first, then the longest suffix, a label before a wildcard, no host last.
func compareHosts(a, b string) int {
	rank := func(h string) (int, int, int) {
		switch {
		case h == "":
			return 2, 0, 0
		case h[0] == '*':
			return 1, -len(h[strings.IndexByte(h, '.'):]), 1
		case h[0] == '{':
			return 1, -len(h[strings.IndexByte(h, '.'):]), 0
		}
		return 0, 0, 0
	}
	a1, a2, a3 := rank(a)
	b1, b2, b3 := rank(b)
	return cmp.Or(cmp.Compare(a1, b1), cmp.Compare(a2, b2), cmp.Compare(a3, b3), strings.Compare(a, b))
}

// comparePaths compares segments from the left. The end of a pattern sorts between a parameter and a rest segment.
func comparePaths(a, b string) int {
	const end = "\x00"
	as, bs := strings.Split(a+"/"+end, "/")[1:], strings.Split(b+"/"+end, "/")[1:]
	rank := func(s string) (int, int, int) {
		switch {
		case s == "**":
			return 4, 0, 0
		case s == end:
			return 3, 0, 0
		case s[:min(1, len(s))] == "{" && strings.HasSuffix(s, "}"):
			return 2, 0, 0
		case strings.Contains(s, "{"):
			return 1, -(len(s) - strings.IndexByte(s, '}') + strings.IndexByte(s, '{')), -strings.IndexByte(s, '{')
		}
		return 0, 0, 0
	}
	for i := range min(len(as), len(bs)) {
		a1, a2, a3 := rank(as[i])
		b1, b2, b3 := rank(bs[i])
		if c := cmp.Or(cmp.Compare(a1, b1), cmp.Compare(a2, b2), cmp.Compare(a3, b3)); c != 0 {
			return c
		}
		if c := strings.Compare(as[i], bs[i]); c != 0 && a1 < 2 {
			return c // two literals: no request matches both
		}
	}
	return 0
}

func compareConditions(a, b route.Rule[string]) int {
	rank := func(r route.Rule[string]) []int {
		method, when := 1, 1
		switch r.Match.Method {
		case "":
			method = 2
		case "HEAD":
			method = 0
		}
		if r.When != nil {
			when = 0
		}
		return []int{method, -len(r.Match.Headers), -len(r.Match.Query), -len(r.Match.Cookies), when}
	}
	return cmp.Or(slices.Compare(rank(a), rank(b)), strings.Compare(a.Rank, b.Rank))
}

func naiveHost(pattern, host string) bool {
	if pattern == "" || pattern == host {
		return true
	}
	if pattern[0] == '*' {
		return regexp.MustCompile(`^.+` + regexp.QuoteMeta(pattern[1:]) + `$`).MatchString(host)
	}
	return pattern[0] == '{' && regexp.MustCompile(`^[^.]+`+regexp.QuoteMeta(pattern[strings.IndexByte(pattern, '}')+1:])+`$`).MatchString(host)
}

var naiveParam = regexp.MustCompile(`\\{[a-z]\\}`)

func naivePath(pattern, path string) bool {
	expr, rest := strings.CutSuffix(pattern, "/**")
	expr = naiveParam.ReplaceAllLiteralString(regexp.QuoteMeta(expr), `[^/]+`)
	if rest {
		expr += `(/.*)?`
	}
	return regexp.MustCompile(`^` + expr + `$`).MatchString(path)
}

func naiveConditions(r route.Rule[string], q *route.Query) bool {
	m := r.Match
	headByGet := q.Method == "HEAD" && m.Method == "GET" && r.HeadByGet
	if m.Method != "" && m.Method != q.Method && !headByGet {
		return false
	}
	for _, f := range m.Headers {
		if strings.Join(q.Request.Header.Values(f.Name), ", ") != f.Value {
			return false
		}
	}
	for _, f := range m.Query {
		if q.Request.URL.Query().Get(f.Name) != f.Value {
			return false
		}
	}
	for _, f := range m.Cookies {
		if c, err := q.Request.Cookie(f.Name); err != nil || c.Value != f.Value {
			return false
		}
	}
	return r.When == nil || r.When(q.Request)
}

// world makes rules and requests that often match each other: few names, many shapes.
type world struct{ *rand.Rand }

func (w world) pick(list ...string) string { return list[w.IntN(len(list))] }

// rule makes the i-th rule. Each rule has a rank of its own, so that the order is well defined.
func (w world) rule(t testing.TB, i int) route.Rule[string] {
	t.Helper()
	path := ""
	for j := range w.IntN(4) {
		name := string(rune('p' + j))
		path += "/" + w.pick("a", "b", "ab", "{"+name+"}", "{"+name+"}", "a{"+name+"}", "{"+name+"}b", "a{"+name+"}b")
	}
	path += w.pick("", "", "/", "/**")
	if path == "" {
		path = "/"
	}
	text := w.pick("GET", "GET", "HEAD", "POST", "ANY") + " " + w.pick("", "", "s.d", "t.s.d", "*.s.d", "*.d", "{h}.s.d", "{h}.d") + path
	for _, condition := range []string{"header:x=1", "header:y=1", "query:p=1", "query:q=1", "cookie:c=1", "cookie:d=1", "when:u", "when:v"} {
		second := condition == "when:v" && strings.Contains(text, "when:u")
		if w.IntN(8) == 0 && !second {
			text += " " + condition
		}
	}
	return rule(t, fmt.Sprintf("%s rank:%03d", text, i))
}

func (w world) query() *route.Query {
	path := ""
	for range w.IntN(5) {
		path += "/" + w.pick("a", "b", "ab", "aab", "abb", "c")
	}
	if path += w.pick("", "", "/"); path == "" {
		path = "/"
	}
	q := &route.Query{Method: w.pick("GET", "HEAD", "POST", "PUT"), Host: w.pick("s.d", "t.s.d", "u.t.s.d", "u.d", "d", "x", ""), Path: path}
	q.Request = httptest.NewRequest(q.Method, path+w.pick("", "?p=1", "?p=1&q=1", "?when=u", "?when=v&q=1"), nil)
	for _, name := range []string{"x", "y"} {
		if w.IntN(2) == 0 {
			q.Request.Header.Set(name, "1")
		}
	}
	if w.IntN(2) == 0 {
		q.Request.Header.Set("Cookie", w.pick("c=1", "c=1; d=1", "d=2; c=1"))
	}
	return q
}

// disagree compares a random table with the naive matcher.
func disagree(t *testing.T, w world) {
	t.Helper()
	var rules naive
	for i := range w.IntN(40) {
		rules = append(rules, w.rule(t, i))
	}
	shuffled := slices.Clone(rules)
	w.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	table, problems := route.Build(shuffled)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	for range 20 {
		q := w.query()
		var p exchange.Params
		got, _ := table.Match(q, &p)
		want := rules.match(q)
		trace := table.Explain(q)
		if won, _ := trace.Winner(); got != want || won.Name != want {
			t.Fatalf("%s %s%s %v:\n table   %q\n explain %q\n naive   %q\n%v", q.Method, q.Host, q.Request.URL, q.Request.Header, got, won.Name, want, trace)
		}
	}
}

func TestTheTableAgreesWithTheNaiveMatcher(t *testing.T) {
	for seed := range uint64(200) {
		disagree(t, world{rand.New(rand.NewPCG(seed, 1))})
	}
}

func FuzzMatch(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { disagree(t, world{rand.New(rand.NewPCG(a, b))}) })
}

// No host, path or method may break a table, even if it was not normalised.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "*", "", "//", "/a//", "/%", "/a%2"} {
		f.Add("GET", "a.s.d", seed)
	}
	f.Add("", "..", "/a")
	f.Add("HEAD", ".s.d", "/.a")
	table := build(f, "GET /a/{x}", "GET *.s.d/a/{x}.b/**", "GET {t}.s.d/{x}", "GET {t}.d/a{x}0/", "ANY /{x...}")
	f.Fuzz(func(t *testing.T, method, host, path string) {
		q := &route.Query{Method: method, Host: host, Path: path, Request: httptest.NewRequest("GET", "/", nil)}
		var p exchange.Params
		won, ok := table.Match(q, &p)
		if c, _ := table.Explain(q).Winner(); c.Name != won {
			t.Fatalf("explain disagrees: %q, %q", c.Name, won)
		}
		if ok != strings.HasPrefix(path, "/") {
			t.Fatalf("path %q: matched %t", path, ok)
		}
		table.Methods(q)
	})
}

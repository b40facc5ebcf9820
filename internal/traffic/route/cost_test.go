package route_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// api makes n rules like those of an API gateway: resources of many services under versioned prefixes, some on hosts
// of tenants, some with conditions.
func api(n int) []route.Rule[int] {
	shapes := []struct{ method, host, path string }{
		{"GET", "", "/api/v1/%s"},
		{"POST", "", "/api/v1/%s"},
		{"GET", "", "/api/v1/%s/{id}"},
		{"DELETE", "", "/api/v1/%s/{id}"},
		{"GET", "", "/api/v1/%s/{id}/items/{item}"},
		{"POST", "", "/api/v1/%s/{id}:cancel"},
		{"", "", "/api/v1/%s/files/**"},
		{"GET", "*.shop.dev", "/%s/{id}.json"},
		{"GET", "{tenant}.shop.dev", "/%s/{id}"},
		{"", "%s.internal", "/**"},
	}
	var rules []route.Rule[int]
	for i := range n {
		s := shapes[i%len(shapes)]
		name := fmt.Sprintf("service-%d", i/len(shapes))
		fill := func(text string) string { return strings.ReplaceAll(text, "%s", name) }
		rules = append(rules, route.Rule[int]{
			Host: fill(s.host), HeadByGet: true, Value: i, Name: fill(s.path),
			Match: config.Match{Method: s.method, Path: config.PathMatch{Pattern: fill(s.path)}},
		})
	}
	return rules
}

// requests returns one request for each shape of rule, for the last service of n rules, and some that match no rule.
func requests(n int) map[string]*route.Query {
	name := fmt.Sprintf("service-%d", (n-1)/10)
	list := map[string]*route.Query{}
	for what, target := range map[string]string{
		"literal":  "GET api.dev /api/v1/" + name,
		"param":    "GET api.dev /api/v1/" + name + "/8a6c0d9e",
		"deep":     "GET api.dev /api/v1/" + name + "/8a6c0d9e/items/42",
		"verb":     "POST api.dev /api/v1/" + name + "/8a6c0d9e:cancel",
		"rest":     "PUT api.dev /api/v1/" + name + "/files/a/b/c/d",
		"wildcard": "GET eu.west.shop.dev /" + name + "/7.json",
		"tenant":   "GET eu.shop.dev /" + name + "/7",
		"host":     "GET " + name + ".internal /anything",
		"miss":     "GET api.dev /api/v1/nobody/8a6c0d9e",
	} {
		part := strings.Fields(target)
		list[what] = &route.Query{Method: part[0], Host: part[1], Path: part[2], Request: httptest.NewRequest(part[0], part[2], nil)}
	}
	return list
}

func TestMatchAllocatesNothing(t *testing.T) {
	rules := api(1000)
	for i := range rules {
		if i%3 == 0 { // and a rule before it, all of whose conditions fail at the last moment
			beaten := rules[i]
			beaten.Match.Headers = []config.FieldMatch{{Name: "accept", Value: "a/b"}, {Name: "x-beta", Value: "1|2", Regex: true}}
			beaten.Match.Query = []config.FieldMatch{{Name: "page", Value: "1"}}
			beaten.Match.Cookies = []config.FieldMatch{{Name: "session", Value: "1"}}
			beaten.When = func(*http.Request) bool { return false }
			rules = append(rules, beaten)
		}
	}
	table, problems := route.Build(rules)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for what, q := range requests(1000) {
		q.Request.Header = http.Header{"Accept": {"a/b"}, "X-Beta": {"2"}, "Cookie": {"a=b; session=1"}}
		q.Request.URL.RawQuery = "a=b&page=1"
		var p exchange.Params
		if _, ok := table.Match(q, &p); ok != (what != "miss") {
			t.Errorf("%s: matched %t", what, ok)
		}
		if n := testing.AllocsPerRun(100, func() { p.Truncate(0); table.Match(q, &p) }); n != 0 {
			t.Errorf("%s: Match allocates %v times", what, n)
		}
	}
}

func TestTheCostOfALookupDoesNotGrowWithTheTable(t *testing.T) {
	visits := func(n int) map[string]int {
		table, _ := route.Build(api(n))
		cost := map[string]int{}
		for what, q := range requests(n) {
			cost[what] = table.Explain(q).Visits
		}
		return cost
	}
	large := visits(10_000)
	for what, small := range visits(10) {
		if large[what] != small {
			t.Errorf("%s: %d steps with 10 rules, %d with 10,000", what, small, large[what])
		}
	}
}

// Every segment matches in three ways, and every rule fails at its last condition. In the worst case, a path visits
// every node once.
func TestAHostilePathVisitsNoNodeTwice(t *testing.T) {
	const depth = 7
	paths := []string{""}
	nodes := 1
	for i := range depth {
		var longer []string
		for _, p := range paths {
			longer = append(longer, p+"/a", fmt.Sprintf("%s/{p%d}a", p, i), fmt.Sprintf("%s/{q%d}", p, i))
		}
		paths = longer
		nodes += len(paths)
	}
	var texts []string
	for _, p := range paths {
		texts = append(texts, "GET "+p+" header:never=1", "GET "+p+"/** header:never=1")
	}
	table := build(t, texts...)
	fits := strings.Repeat("/aa", depth)
	for _, path := range []string{fits, strings.Repeat("/a", depth), fits + strings.Repeat("/aa", 10_000), strings.Repeat("/", 10_000)} {
		if got := table.Explain(query(t, "GET "+path)).Visits; got > nodes {
			t.Errorf("%.40s: %d visits of %d nodes", path, got, nodes)
		}
	}
	hosts := strings.Repeat("a.", 120) + "shop.dev"
	wild := build(t, "GET *.shop.dev/a header:never=1", "GET *.dev/a header:never=1", "GET {t}.shop.dev/a")
	if got := wild.Explain(query(t, "GET "+hosts+"/a")).Visits; got != 4 {
		t.Errorf("%d visits for a long host, want 4", got)
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		table, _ := route.Build(api(n))
		for what, q := range requests(n) {
			b.Run(fmt.Sprintf("%s/%d", what, n), func(b *testing.B) {
				b.ReportAllocs()
				var p exchange.Params
				for b.Loop() {
					p.Truncate(0)
					table.Match(q, &p)
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{10, 1000, 10_000} {
		rules := api(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				route.Build(rules)
			}
		})
	}
}

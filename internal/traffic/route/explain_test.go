package route_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/route"
)

// verdicts formats candidates as "verdict NAME: reason".
func verdicts(list []route.Candidate) []string {
	var lines []string
	for _, c := range list {
		lines = append(lines, strings.TrimSuffix(string(c.Verdict)+" "+c.Name+": "+c.Reason, ": "))
	}
	return lines
}

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestExplainTellsEveryCandidateInOrder(t *testing.T) {
	table := build(t,
		"GET shop.dev/orders/{id} header:x-beta=1", "GET shop.dev/orders/{id} header:x-key=/k.+/", "GET shop.dev/orders/{id} header:authorization=s3cret",
		"GET shop.dev/orders/{id} query:page=1", "GET shop.dev/orders/{id} cookie:beta=1", "GET shop.dev/orders/{id} when:vip",
		"POST shop.dev/orders/{id}", "GET /orders/**", "GET /**", "GET /products",
	)
	trace := table.Explain(query(t, "GET shop.dev/orders/7?page=2 x-key=no authorization=other cookie=beta=2"))
	equal(t, "candidates", verdicts(trace.Candidates),
		`lost GET shop.dev/orders/{id} header:authorization=s3cret: header authorization has another value`,
		`lost GET shop.dev/orders/{id} header:x-beta=1: header x-beta is "" not "1"`,
		`lost GET shop.dev/orders/{id} header:x-key=/k.+/: header x-key is "no", which does not match k.+`,
		`lost GET shop.dev/orders/{id} query:page=1: query page is "2" not "1"`,
		`lost GET shop.dev/orders/{id} cookie:beta=1: cookie beta has another value`,
		`lost GET shop.dev/orders/{id} when:vip: vip is not true`,
		`lost POST shop.dev/orders/{id}: method is GET, route has POST`,
		`won GET /orders/**`,
		`late GET /**: GET /orders/** comes first`,
	)
}

func TestExplainTellsWhatCameClosest(t *testing.T) {
	table := build(t,
		"GET /orders", "GET /orders/{id}", "POST /orders/{id}:cancel", "GET /reports/", "GET /files/{name}.json",
		"GET admin.shop.dev/users", "GET *.eu.dev/x/**", "GET /api/v1/customers/{id}/addresses",
	)
	for _, tt := range []struct{ request, closest string }{
		{"GET /order", `The closest is GET /orders: path differs at segment 1: "order" vs "orders".`},
		{"GET /Orders", `The closest is GET /orders: path differs at segment 1: "Orders" vs "orders".`},
		{"GET /orders/", `The closest is GET /orders: path ends in a slash, route does not.`},
		{"GET /reports", `The closest is GET /reports/: route ends in a slash, path does not.`},
		{"GET /ordres/7", `The closest is GET /orders/{id}: path differs at segment 1: "ordres" vs "orders".`},
		{"GET /files/a.jsn", `The closest is GET /files/{name}.json: path differs at segment 2: "a.jsn" vs "{name}.json".`},
		{"GET /orders/7/items", `The closest is GET /orders/{id}: path goes on with "items", route ends.`},
		{"GET /api/v1/customers/7", `The closest is GET /api/v1/customers/{id}/addresses: path ends before segment 5, which is "addresses".`},
		{"GET shop.dev/users", `The closest is GET admin.shop.dev/users: host is "shop.dev", route has "admin.shop.dev".`},
		{"GET admin.shop.dve/users", `The closest is GET admin.shop.dev/users: host is "admin.shop.dve", route has "admin.shop.dev".`},
		{"GET eu.dev/x/y", `The closest is GET *.eu.dev/x/**: host is "eu.dev", route has "*.eu.dev".`},
		{"PUT /orders", `The closest is GET /orders: method is PUT, route has GET.`},
		{"GET /orders/7", ``},
		{"GET /nothing/like/it", ``},
		{"GET /" + strings.Repeat("x", 10_000), ``},
	} {
		q := query(t, tt.request)
		if got := table.Explain(q).Closest(); got != tt.closest {
			t.Errorf("%.60s: %s\nwant: %s", tt.request, got, tt.closest)
		}
		var p exchange.Params
		if _, found := table.Match(q, &p); found {
			continue // not asked for
		}
		if got := table.Nearest(q).Closest(); got != tt.closest {
			t.Errorf("%.60s, for a request: %s\nwant: %s", tt.request, got, tt.closest)
		}
	}
}

func TestATraceReadsWell(t *testing.T) {
	var rules []route.Rule[string]
	for i, text := range []string{"GET /orders/{id} header:x-beta=1", "GET /orders/{id}", "ANY shop.dev/orders"} {
		r := rule(t, text)
		r.Origin = config.Origin{Pos: doc.Pos{File: "weir.yaml", Line: 10 + i, Col: 3}}
		rules = append(rules, r)
	}
	table, _ := route.Build(rules)
	var b strings.Builder
	for _, request := range []string{"GET shop.dev/orders/7", "GET shop.dev/order", "GET /nothing/like/it"} {
		b.WriteString(table.Explain(query(t, request)).String())
	}
	want := `GET shop.dev/orders/7
  lost  GET /orders/{id}  weir.yaml:10:3  header x-beta is "" not "1"
  won   GET /orders/{id}  weir.yaml:11:3
GET shop.dev/order
  near  ANY shop.dev/orders  weir.yaml:12:3  path differs at segment 1: "order" vs "orders"
  near  GET /orders/{id}     weir.yaml:10:3  path differs at segment 1: "order" vs "orders"
  near  GET /orders/{id}     weir.yaml:11:3  path differs at segment 1: "order" vs "orders"
GET /nothing/like/it
  no route comes near
`
	var got strings.Builder
	for line := range strings.Lines(b.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

// Explain must not give another result than Match because it goes on after the winner.
func TestExplainLeavesTheExchangeAlone(t *testing.T) {
	table := build(t, "GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", "GET /**")
	q := query(t, "GET /1/2/3/4/5/6/7/8")
	x := &exchange.Exchange{}
	q.Request = exchange.With(q.Request, x)
	table.Match(q, &x.Params)
	table.Explain(q)
	table.Methods(q)
	if h, _ := x.Params.Get("h"); x.Params.Len() != 8 || h != "8" {
		t.Errorf("%d parameters are left, h is %q", x.Params.Len(), h)
	}
}

// A client's mistyped path must not cost more with more routes, and routes that are close to it must still be found.
func TestTheCostOfAMissDoesNotGrowWithTheTable(t *testing.T) {
	const most = 512 // rules compared, whatever the size of the table
	for _, n := range []int{100, 1000, 10_000} {
		texts := []string{"GET /teams/{team}/users", "GET /{team}/settings/colours"}
		for i := range n {
			texts = append(texts, fmt.Sprintf("GET /teams/a%d/orders", i), fmt.Sprintf("GET /shop/%d/items/{id}", i), fmt.Sprintf("GET host-%d.dev/all/orders", i))
		}
		table := build(t, texts...)
		for request, closest := range map[string]string{
			"GET /shop/42/itms/7":          "GET /shop/42/items/{id}",
			"GET /shop/42/items/7/":        "GET /shop/42/items/{id}",
			"GET /teams/acme/user":         "GET /teams/{team}/users",
			"GET /acme/settings/color":     "GET /{team}/settings/colours",
			"GET /nothing/that/comes/near": "",
		} {
			trace := table.Nearest(query(t, request))
			if trace.Compared > most {
				t.Errorf("%d rules, %s: %d were compared", n, request, trace.Compared)
			}
			if got := trace.Closest(); closest == "" && got != "" || !strings.Contains(got, closest+":") && closest != "" {
				t.Errorf("%d rules, %s: %s", n, request, got)
			}
		}
	}
}

func BenchmarkMiss(b *testing.B) {
	table, _ := route.Build(api(10_000))
	q := requests(10_000)["miss"]
	for what, ask := range map[string]func(*route.Query) route.Trace{"request": table.Nearest, "explain": table.Explain} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				ask(q)
			}
		})
	}
}

package alerts_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// query is a PromQL query, and where it is written.
type query struct{ at, text string }

// dashboard is the part of Grafana's model that the tests use.
type dashboard struct {
	UID    string
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr, LegendFormat, RefID string }
	}
}

func theDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy", "grafana", "weir.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries returns the queries of the alerts and the dashboard, and anything in the docs that looks like one: code
// that begins with a metric of ours, of Go's or of the process.
func queries(t *testing.T) []query {
	t.Helper()
	var all []query
	for _, rule := range rules(t) {
		all = append(all, query{rule.Alert, rule.Expr})
	}
	variables := strings.NewReplacer("$__rate_interval", "5m")
	for _, p := range theDashboard(t).Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, variables.Replace(target.Expr)})
		}
	}
	pages, err := filepath.Glob(filepath.Join(weirtest.Root(), "docs", "problems", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal("no pages", err)
	}
	code := regexp.MustCompile("`((?:weir|go|process)_[a-z_]+(?:\\{[^`]*\\})?)`")
	for _, path := range append(pages, filepath.Join(weirtest.Root(), "docs", "runbook.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(text), -1) {
			all = append(all, query{filepath.Base(path), m[1]})
		}
	}
	return all
}

// lively returns a scrape of a gateway on which as much is counted as one config makes possible.
func lively(t *testing.T) string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(backend.Close)
	cert, key := certificate(t, time.Hour)
	g := startKeeping(t, "listen: { open: ':8080', public: { address: ':8443', tls: { cert: "+cert+", key: "+key+" } } }\n"+
		"registry: 127.0.0.1:0\nlimits: { connections: 1, first_request: 1m }\nauth:\n  customer: { jwt: http://127.0.0.1:1/, audience: shop }\nroutes:\n  GET /named: http://localhost:1\n  GET /: "+backend.URL+
		"\n  GET /made: { compose: { news: { to: "+backend.URL+"/news, cache: 1m } } }\n  GET /fn: fn:orders\n  GET /later: { async: { retry: none }, to: http://127.0.0.1:1 }\nfunctions:\n  orders: { run: "+script(t, "exit 1")+", contract: http }\n")
	g.await(`weir_discovery_lookups_total{backend="http://localhost:1",result="found"}`)
	for _, path := range []string{"/", "/nothing", "/later"} {
		g.get(path, 1)
		await.That(t, "room for the next", func() bool { return strings.Contains(g.scrape(), `weir_connections_open{socket=":8080"} 0`) })
	}
	held, err := net.Dial("tcp", g.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	g.await(`weir_connections_open{socket=":8080"}`)
	g.get("/", 1) // it is turned away
	return g.scrape()
}

// values returns the possible values of a metric's label, as far as the documents list them.
func values(t *testing.T, metric, label string) []string {
	t.Helper()
	if label == "problem" {
		pages, _ := filepath.Glob(filepath.Join(weirtest.Root(), "docs", "problems", "*.md")) // the pattern is well formed
		for i, page := range pages {
			pages[i] = strings.TrimSuffix(filepath.Base(page), ".md")
		}
		return pages
	}
	for line := range strings.Lines(read(t, "docs", "operations.md")) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(cells[1], "`"+metric+"`") {
			var words []string
			for _, m := range regexp.MustCompile("`([a-z_-]+)`").FindAllStringSubmatch(cells[3], -1) {
				words = append(words, m[1])
			}
			return words
		}
	}
	return nil
}

// closed are the labels whose values come from the gateway and not from a config.
var closed = []string{"problem", "outcome", "state", "reason", "result", "kind"}

// TestWhatIsLookedAtIsCounted compares each metric, label and label value in a query with a scrape.
func TestWhatIsLookedAtIsCounted(t *testing.T) {
	exposed := map[string]map[string]bool{} // metric -> labels
	samples(t, lively(t), func(metric labels.Labels, _ float64, _ bool) {
		name := metric.Get(model.MetricNameLabel)
		if exposed[name] == nil {
			exposed[name] = map[string]bool{"job": true, "instance": true}
		}
		metric.Range(func(l labels.Label) { exposed[name][l.Name] = true })
	})
	for _, q := range queries(t) {
		tree, err := language().ParseExpr(q.text)
		if err != nil {
			t.Errorf("%s: %s: %v", q.at, q.text, err)
			continue
		}
		parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok && s.Name != "up" {
				hold(t, q, s, exposed)
			}
			return nil
		})
	}
}

// hold checks whether a selector can select anything.
func hold(t *testing.T, q query, s *parser.VectorSelector, exposed map[string]map[string]bool) {
	t.Helper()
	known, ok := exposed[s.Name]
	if !ok {
		known, ok = exposed[s.Name+"_count"] // prose uses the base name of a histogram
	}
	if !ok {
		t.Errorf("%s: nothing counts %s", q.at, s.Name)
		return
	}
	for _, m := range s.LabelMatchers {
		if m.Name != model.MetricNameLabel && !known[m.Name] {
			t.Errorf("%s: %s has no label %s", q.at, s.Name, m.Name)
		}
		if !slices.Contains(closed, m.Name) {
			continue
		}
		words := values(t, s.Name, m.Name)
		for word := range strings.SplitSeq(m.Value, "|") {
			if !slices.Contains(words, word) {
				t.Errorf("%s: the label %s of %s is never %q, but one of %q", q.at, m.Name, s.Name, word, words)
			}
		}
	}
}

// TestTheDashboardIsOne checks that the panels can be told apart, query the chosen jobs, name their lines by labels
// of the query's result, and do not overlap.
func TestTheDashboardIsOne(t *testing.T) {
	d := theDashboard(t)
	if d.UID == "" || len(d.Panels) < 10 {
		t.Fatalf("uid %q, %d panels", d.UID, len(d.Panels))
	}
	seen, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if seen[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%+v", p)
		}
		seen[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%s lies on %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			if strings.Count(target.Expr, `{job=~"$job"`) != len(regexp.MustCompile(`\b(weir|go|process)_[a-z_]+`).FindAllString(target.Expr, -1)) {
				t.Errorf("%s: %s is not of the jobs that were chosen", p.Title, target.Expr)
			}
			for _, m := range regexp.MustCompile(`{{([a-z]+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if strings.Contains(target.Expr, " by (") && !regexp.MustCompile(` by \((\w+, )*`+m[1]+`\b`).MatchString(target.Expr) {
					t.Errorf("%s: a line is called by its %s, which %s takes away", p.Title, m[1], target.Expr)
				}
			}
		}
	}
}

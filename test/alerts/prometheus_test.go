package alerts_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// step is the time between scrapes, and between evaluations of rules.
const step = time.Minute

// lasts is how many steps a state continues after its last scrape.
const lasts = 20

// instance is one gateway, as its scrapes, one step apart. If there are none, the gateway could not be scraped.
type instance []string

// began is the time of the first scrape.
var began = time.Now().Truncate(step)

// past is the data that Prometheus has.
type past []storage.Series

// remember returns the past of instances. After their last scrape they go on as before: counters keep growing, and
// everything else stays.
func remember(t *testing.T, instances ...instance) past {
	t.Helper()
	var p past
	for i, scrapes := range instances {
		own := labels.FromStrings("job", "weir", "instance", fmt.Sprint("gateway-", i))
		up := promql.Series{Metric: named(own, "up")}
		for j := range len(scrapes) + lasts {
			up.Floats = append(up.Floats, promql.FPoint{T: at(j), F: min(1, float64(len(scrapes)))})
		}
		p = append(p, promql.NewStorageSeries(up))
		p = append(p, follow(t, own, scrapes)...)
	}
	return p
}

// at returns the time of the i-th scrape, in milliseconds since 1970.
func at(i int) int64 { return began.Add(time.Duration(i) * step).UnixMilli() }

func named(own labels.Labels, name string) labels.Labels {
	return labels.NewBuilder(own).Set(model.MetricNameLabel, name).Labels()
}

// follow returns the series of one instance. A series has no sample for a scrape that does not contain it.
func follow(t *testing.T, own labels.Labels, scrapes instance) past {
	t.Helper()
	series, counts := map[string]*promql.Series{}, map[string]bool{}
	for i, text := range scrapes {
		samples(t, text, func(metric labels.Labels, value float64, counted bool) {
			key := metric.String()
			if series[key] == nil {
				b := labels.NewBuilder(metric)
				own.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
				series[key] = &promql.Series{Metric: b.Labels()}
			}
			series[key].Floats = append(series[key].Floats, promql.FPoint{T: at(i), F: value})
			counts[key] = counted
		})
	}
	var p past
	for _, key := range slices.Sorted(maps.Keys(series)) {
		s := series[key]
		last, growth := s.Floats[len(s.Floats)-1], 0.0
		if counts[key] && len(scrapes) > 1 {
			growth = last.F // the counter has just appeared
			if len(s.Floats) > 1 {
				growth -= s.Floats[len(s.Floats)-2].F
			}
		}
		for i := range lasts {
			s.Floats = append(s.Floats, promql.FPoint{T: last.T + int64(i+1)*step.Milliseconds(), F: last.F + growth*float64(i+1)})
		}
		p = append(p, promql.NewStorageSeries(*s))
	}
	return p
}

// samples calls see for each series of a scrape, with whether the series only grows.
func samples(t *testing.T, text string, see func(metric labels.Labels, value float64, counted bool)) {
	t.Helper()
	p := textparse.NewPromParser([]byte(text), labels.NewSymbolTable(), false)
	counted := false
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatal(err)
		case entry == textparse.EntryType:
			_, kind := p.Type()
			counted = kind == model.MetricTypeCounter || kind == model.MetricTypeHistogram
		case entry == textparse.EntrySeries:
			var metric labels.Labels
			p.Labels(&metric)
			_, _, value := p.Series()
			see(metric, value, counted)
		}
	}
}

// Querier gives Prometheus's engine access to the past.
func (p past) Querier(int64, int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found past
		for _, s := range p {
			if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
				found = append(found, s)
			}
		}
		return &set{past: found}
	}}, nil
}

// set is the result of a query.
type set struct {
	past
	at storage.Series
}

func (s *set) Next() bool {
	if len(s.past) == 0 {
		return false
	}
	s.at, s.past = s.past[0], s.past[1:]
	return true
}
func (s *set) At() storage.Series                { return s.at }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

func language() parser.Parser { return parser.NewParser(parser.Options{}) }

// evaluate evaluates an expression at each step.
func evaluate(t *testing.T, p past, expression string) promql.Matrix {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: language()})
	query, err := engine.NewRangeQuery(context.Background(), p, nil, expression, began, began.Add(lasts*step), step)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	defer query.Close()
	result := query.Exec(context.Background())
	if result.Err != nil || len(result.Warnings) > 0 {
		t.Fatalf("%s: %v %v", expression, result.Err, result.Warnings)
	}
	m, err := result.Matrix()
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return slices.Clone(m) // otherwise the query reuses it
}

// rules reads the alerts as Prometheus does.
func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse([]byte(read(t, "deploy", "prometheus", "alerts.yaml")), false, model.UTF8Validation, language(), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// fires returns the label sets for which a rule's expression has been true for as long as the rule demands.
func fires(t *testing.T, p past, rule rulefmt.Rule) []labels.Labels {
	t.Helper()
	var all []labels.Labels
	for _, s := range evaluate(t, p, rule.Expr) {
		since := s.Floats[0].T
		for i, point := range s.Floats {
			if i > 0 && point.T != s.Floats[i-1].T+step.Milliseconds() {
				since = point.T // it was false in between
			}
			if point.T-since >= time.Duration(rule.For).Milliseconds() {
				all = append(all, s.Metric)
				break
			}
		}
	}
	return all
}

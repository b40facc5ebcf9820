package telemetry

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// withRoutes makes metrics of n routes whose scrapes call sleep in place of time.Sleep.
func withRoutes(n int, sleep func(time.Duration)) *Metrics {
	m := New("test")
	m.sleep = sleep
	for i := range n {
		m.Route(fmt.Sprintf("route %d", i))
	}
	return m
}

func scrape(m http.Handler, accept string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	if accept != "" {
		r.Header.Set("Accept-Encoding", accept)
	}
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result()
}

func TestAScrapeOfManySeriesRests(t *testing.T) {
	for _, accept := range []string{"", "gzip"} {
		var rests atomic.Int64
		m := withRoutes(160, func(d time.Duration) {
			if d < time.Millisecond {
				t.Errorf("a rest of %s", d)
			}
			rests.Add(1)
		})
		collected := func() int64 {
			rests.Store(0)
			if _, err := m.Gatherer().Gather(); err != nil {
				t.Fatal(err)
			}
			return rests.Load()
		}()
		if collected != 10 {
			t.Errorf("%d rests while 160 routes are collected, want 10", collected)
		}
		rests.Store(0)
		h := m.Handler()
		if _, err := io.Copy(io.Discard, scrape(h, accept).Body); err != nil {
			t.Fatal(err)
		}
		if all := rests.Load(); all <= collected {
			t.Errorf("Accept-Encoding %q: %d rests in all, of which %d while collecting: none while writing", accept, all, collected)
		}
	}
}

func TestAScrapeIsCompressedWhereThatIsAccepted(t *testing.T) {
	h := withRoutes(3, func(time.Duration) {}).Handler()
	for accept, compressed := range map[string]bool{
		"": false, "identity": false, "br": false, "gzip;q=0": false, "gzip; q=0.000": false, "gzipped": false,
		"gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0.5": true, "deflate;q=1, gzip; q=1": true,
	} {
		t.Run(accept, func(t *testing.T) {
			res := scrape(h, accept)
			if coding := res.Header.Get("Content-Encoding"); (coding == "gzip") != compressed {
				t.Fatalf("Content-Encoding %q", coding)
			}
			if res.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("Vary %q", res.Header.Get("Vary"))
			}
			if text := textOf(t, res); !strings.Contains(text, `weir_http_requests_in_flight{route="route 2"} 0`) {
				t.Error(text)
			}
		})
	}
}

// textOf decodes a body as its head says.
func textOf(t *testing.T, res *http.Response) string {
	t.Helper()
	body := io.Reader(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTooManyScrapesAtOnceAreRefused(t *testing.T) {
	resting, rested := make(chan struct{}, mostScrapes), make(chan struct{})
	h := withRoutes(membersPerRest, func(time.Duration) {
		select {
		case resting <- struct{}{}:
		case <-rested:
		}
		<-rested
	}).Handler()
	ended := make(chan *http.Response, mostScrapes)
	for range mostScrapes {
		go func() { ended <- scrape(h, "gzip") }()
	}
	for range mostScrapes {
		<-resting
	}
	res := scrape(h, "gzip")
	if text := textOf(t, res); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, "concurrent requests") {
		t.Errorf("%s: %s", res.Status, text)
	}
	close(rested)
	for range mostScrapes {
		if res := <-ended; res.StatusCode != http.StatusOK {
			t.Errorf("a scrape before it: %s", res.Status)
		}
	}
}

// promhttp takes Content-Encoding away where it answers with an error.
func TestAScrapeThatFailsCanBeRead(t *testing.T) {
	m := withRoutes(1, func(time.Duration) {})
	desc := prometheus.NewDesc("broken", "Cannot be read.", nil, nil)
	m.registry.MustRegister(brokenCollector{prometheus.NewInvalidMetric(desc, errors.New("out of order"))})
	for _, accept := range []string{"", "gzip"} {
		res := scrape(m.Handler(), accept)
		if text := textOf(t, res); res.StatusCode != http.StatusInternalServerError || !strings.Contains(text, "out of order") {
			t.Errorf("%s: %s", res.Status, text)
		}
	}
}

type brokenCollector struct{ metric prometheus.Metric }

func (brokenCollector) Describe(chan<- *prometheus.Desc) {}

func (c brokenCollector) Collect(out chan<- prometheus.Metric) { out <- c.metric }

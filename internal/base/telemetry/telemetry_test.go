package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(tb testing.TB, m *telemetry.Metrics) string {
	tb.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		tb.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// own gives the series of one metric, in the order of the scrape.
func own(scraped, metric string) []string {
	var list []string
	for line := range strings.Lines(scraped) {
		if name, _, _ := strings.Cut(line, "{"); name == metric || strings.HasPrefix(line, metric+" ") {
			list = append(list, strings.TrimSpace(strings.TrimPrefix(line, metric)))
		}
	}
	return list
}

func want(t *testing.T, scraped, metric string, series ...string) {
	t.Helper()
	if got := own(scraped, metric); !slices.Equal(got, series) {
		t.Errorf("%s is\n  %s\nwant\n  %s", metric, strings.Join(got, "\n  "), strings.Join(series, "\n  "))
	}
}

func TestARouteCountsWhatHappens(t *testing.T) {
	m := telemetry.New("test")
	r, release := m.Route("GET /a")
	defer release()
	r.Begin()
	r.Begin()
	r.End()
	x := &exchange.Exchange{Received: 10}
	r.Count("GET", x, exchange.Outcome{Status: 200, Written: 5, Took: 2 * time.Millisecond})
	r.Count("GET", x, exchange.Outcome{Status: 200, Written: 5, Took: 20 * time.Second})
	r.Count("BREW", x, exchange.Outcome{Status: 418, Took: time.Hour})
	r.Count("GET", x, exchange.Outcome{Status: 299, Took: time.Hour})
	r.Count("GET", x, exchange.Outcome{Status: 101, Took: time.Hour})
	r.Count("GET", x, exchange.Outcome{Status: 0, Took: time.Hour})
	failed := &exchange.Exchange{Fault: fault.NoEndpoint.New("")}
	r.Count("POST", failed, exchange.Outcome{Status: 503})
	r.Count("POST", &exchange.Exchange{Fault: &fault.Fault{Kind: fault.Kind{Code: "of a later version"}}}, exchange.Outcome{Status: 503})
	s := scrape(t, m)
	want(t, s, "weir_http_requests_total",
		`{code="0",method="GET",route="GET /a"} 1`, `{code="101",method="GET",route="GET /a"} 1`, `{code="200",method="GET",route="GET /a"} 2`,
		`{code="2xx",method="GET",route="GET /a"} 1`, `{code="418",method="other",route="GET /a"} 1`, `{code="503",method="POST",route="GET /a"} 2`)
	want(t, s, "weir_http_requests_in_flight", `{route="GET /a"} 1`, `{route="none"} 0`)
	want(t, s, "weir_http_faults_total", `{problem="no-endpoint",route="GET /a"} 1`)
	want(t, s, "weir_http_request_body_bytes_total", `{route="GET /a"} 60`, `{route="none"} 0`)
	want(t, s, "weir_http_response_body_bytes_total", `{route="GET /a"} 10`, `{route="none"} 0`)
	want(t, s, "weir_http_request_duration_seconds_count", `{route="GET /a"} 7`, `{route="none"} 0`)
	if buckets := own(s, "weir_http_request_duration_seconds_bucket"); !slices.Contains(buckets, `{route="GET /a",le="0.0025"} 3`) ||
		!slices.Contains(buckets, `{route="GET /a",le="30"} 4`) || !slices.Contains(buckets, `{route="GET /a",le="+Inf"} 7`) {
		t.Errorf("buckets:\n%s", strings.Join(buckets, "\n"))
	}
}

func TestWhatAClientSendsMakesFewSeries(t *testing.T) {
	m := telemetry.New("test")
	r, release := m.Route("x")
	defer release()
	for i := range 2000 {
		r.Count(fmt.Sprintf("M%d", i), &exchange.Exchange{}, exchange.Outcome{Status: i})
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
		for status := range 1000 {
			r.Count(method, &exchange.Exchange{}, exchange.Outcome{Status: status})
		}
	}
	series := own(scrape(t, m), "weir_http_requests_total")
	if len(series) > 64+10 {
		t.Errorf("%d series", len(series))
	}
	total := 0
	for _, line := range series {
		var n int
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if total != 2000+8000 {
		t.Errorf("%d requests were counted, want 10000", total)
	}
}

func TestSeriesGoWithTheirRoute(t *testing.T) {
	m := telemetry.New("test")
	first, releaseFirst := m.Route("a")
	second, releaseSecond := m.Route("a")
	if first != second {
		t.Error("two routes of one name are two meters")
	}
	first.Count("GET", &exchange.Exchange{}, exchange.Outcome{Status: 200})
	releaseFirst()
	releaseFirst() // counts once
	if got := own(scrape(t, m), "weir_http_requests_total"); len(got) != 1 {
		t.Errorf("while it is used: %v", got)
	}
	releaseSecond()
	if got := own(scrape(t, m), "weir_http_requests_total"); len(got) != 0 {
		t.Errorf("when it is gone: %v", got)
	}
}

func TestMoreRoutesThanHaveSeriesShareThem(t *testing.T) {
	m := telemetry.New("test")
	for i := range telemetry.DefaultSeries + 5 {
		r, _ := m.Route(fmt.Sprint("r", i))
		r.Count("GET", &exchange.Exchange{}, exchange.Outcome{Status: 200})
	}
	series := own(scrape(t, m), "weir_http_requests_total")
	if len(series) != telemetry.DefaultSeries+1 || !slices.Contains(series, `{code="200",method="GET",route="others"} 5`) {
		t.Errorf("%d series", len(series))
	}
}

func TestNamesOfConfigsCannotBreakAScrape(t *testing.T) {
	m := telemetry.New("test")
	for _, name := range []string{"none", "others", "a\xff", "a\n\"b\\", ""} {
		r, _ := m.Route(name)
		r.Count("GET", &exchange.Exchange{}, exchange.Outcome{Status: 200})
	}
	if got := own(scrape(t, m), "weir_http_requests_total"); len(got) != 5 {
		t.Errorf("got %q", got)
	}
}

func TestOutcomesOfAttempts(t *testing.T) {
	m := telemetry.New("test")
	b, release := m.Backend("users")
	defer release()
	for i, a := range []exchange.Attempt{
		{Status: 200}, {Status: 404}, {Status: 503},
		{Err: &exchange.SendError{Dial: true, Err: errors.New("refused")}},
		{Err: &exchange.SendError{Timeout: true, Dial: true, Err: context.DeadlineExceeded}},
		{Err: &exchange.SendError{Err: errors.New("reset")}},
		{Err: &exchange.SendError{Err: context.Canceled}},
		{Err: fault.BackendInvalid.New("")}, {Err: fault.FunctionTimeout.New("")}, {Err: fault.FunctionCrashed.New("")},
		{Err: fault.FunctionError.New("")}, {Err: fault.FunctionBusy.New("")}, {Err: fault.BackendUnreachable.New("")},
		{Err: fault.ClientGone.New("")}, {Err: context.Canceled},
	} {
		b.Tried(a.Status, a.Err, 0, i > 12)
	}
	b.Refused(fault.FunctionQueueTime.New(""))
	s := scrape(t, m)
	want(t, s, "weir_backend_attempt_duration_seconds_count", `{backend="users"} 15`)
	want(t, s, "weir_backend_attempts_total",
		`{backend="users",outcome="abandoned"} 3`, `{backend="users",outcome="answered"} 2`, `{backend="users",outcome="invalid_response"} 1`,
		`{backend="users",outcome="refused"} 2`, `{backend="users",outcome="reset"} 2`, `{backend="users",outcome="server_error"} 2`,
		`{backend="users",outcome="timeout"} 2`, `{backend="users",outcome="unreachable"} 2`)
	want(t, s, "weir_backend_retries_total", `{backend="users"} 2`)
	want(t, s, "weir_backend_endpoints")
	want(t, s, "weir_discovery_lookups_total")
	want(t, s, "weir_discovery_seen_timestamp_seconds")
	for _, sight := range []telemetry.Sight{telemetry.Absent, telemetry.Found, telemetry.Found, telemetry.Unseen} {
		b.Looked(sight, time.UnixMilli(1700000000500))
	}
	stop := b.Watch(func() telemetry.Endpoints {
		return telemetry.Endpoints{
			States: map[string]int{"healthy": 3, "ejected": 1}, Asked: 3, InFlight: 2, Waiting: 1, Queued: 4,
			Each: []telemetry.Endpoint{{Address: "a:1", Asked: true, InFlight: 2}, {Address: "b:1"}},
		}
	})
	b.Watch(func() telemetry.Endpoints {
		return telemetry.Endpoints{
			States: map[string]int{"healthy": 3}, Asked: 2, Panic: true, Resting: true, InFlight: 1,
			Each: []telemetry.Endpoint{{Address: "a:1", InFlight: 1}, {Address: "b:1"}},
		}
	})
	b.Ejected()
	b.Spent()
	for _, served := range []bool{true, true, false} {
		b.Held(served)
	}
	s = scrape(t, m)
	want(t, s, "weir_backend_endpoints", `{backend="users",state="ejected"} 1`, `{backend="users",state="healthy"} 3`)
	want(t, s, "weir_backend_endpoints_asked", `{backend="users"} 3`)
	want(t, s, "weir_backend_panic", `{backend="users"} 1`)
	want(t, s, "weir_backend_requests_waiting", `{backend="users"} 1`)
	want(t, s, "weir_backend_requests_queued", `{backend="users"} 4`)
	want(t, s, "weir_backend_breaker_open", `{backend="users"} 1`)
	want(t, s, "weir_backend_retries_refused_total", `{backend="users"} 1`)
	want(t, s, "weir_backend_requests_held_total", `{backend="users",result="lapsed"} 1`, `{backend="users",result="served"} 2`)
	want(t, s, "weir_backend_ejections_total", `{backend="users"} 1`)
	want(t, s, "weir_endpoint_asked", `{backend="users",endpoint="a:1"} 1`, `{backend="users",endpoint="b:1"} 0`)
	want(t, s, "weir_endpoint_requests_in_flight", `{backend="users",endpoint="a:1"} 3`, `{backend="users",endpoint="b:1"} 0`)
	want(t, s, "weir_backend_requests_in_flight", `{backend="users"} 3`)
	want(t, s, "weir_discovery_lookups_total", `{backend="users",result="absent"} 1`, `{backend="users",result="failed"} 1`, `{backend="users",result="found"} 2`)
	want(t, s, "weir_discovery_seen_timestamp_seconds", `{backend="users"} 1.7000000005e+09`)
	want(t, s, "weir_backend_endpoints_unconfirmed") // the config names them
	stop()
	want(t, scrape(t, m), "weir_backend_requests_in_flight", `{backend="users"} 1`)
}

// A backend of many endpoints has no series for each, and all together have few enough.
func TestSeriesOfEndpointsAreBounded(t *testing.T) {
	m := telemetry.New("test")
	for i := range 30 {
		b, _ := m.Backend(fmt.Sprintf("users-%02d", i))
		b.Watch(func() telemetry.Endpoints {
			each := make([]telemetry.Endpoint, 50+i%2)
			for n := range each {
				each[n].Address = fmt.Sprintf("10.0.%d.%d:80", i, n)
			}
			return telemetry.Endpoints{Each: each}
		})
	}
	s := scrape(t, m)
	if n := strings.Count(s, "\nweir_endpoint_asked{"); n != 15*50 || strings.Contains(s, `endpoint="10.0.1.`) {
		t.Errorf("%d endpoints have series", n)
	}
}

func TestChecksAreCounted(t *testing.T) {
	m := telemetry.New("test")
	want(t, scrape(t, m), "weir_health_checks_total")
	m.Checks().Answered(true)
	m.Checks().Answered(false)
	m.Checks().Late()
	s := scrape(t, m)
	want(t, s, "weir_health_checks_total", `{result="bad"} 1`, `{result="good"} 1`)
	want(t, s, "weir_health_checks_late_total", `1`)
}

func TestChangesOfEndpointsAreMeasured(t *testing.T) {
	m := telemetry.New("test")
	m.Discovery().Changed(300 * time.Microsecond)
	m.Discovery().Changed(4 * time.Millisecond)
	scraped := scrape(t, m)
	want(t, scraped, "weir_discovery_change_duration_seconds_count", "2")
	want(t, scraped, "weir_discovery_change_duration_seconds_sum", "0.0043")
	for _, line := range []string{`{le="0.001"} 1`, `{le="0.005"} 2`} {
		if !slices.Contains(own(scraped, "weir_discovery_change_duration_seconds_bucket"), line) {
			t.Errorf("no bucket %s", line)
		}
	}
}

func TestEndpointsOfBeforeTheStart(t *testing.T) {
	m := telemetry.New("test")
	b, _ := m.Backend("users")
	heard := telemetry.Heard{Count: 3}
	b.Watch(func() telemetry.Endpoints { return telemetry.Endpoints{Heard: &heard} })
	s := scrape(t, m)
	want(t, s, "weir_backend_endpoints_unconfirmed", `{backend="users"} 0`)
	want(t, s, "weir_discovery_seen_timestamp_seconds")
	heard.Kept = true
	b.Seen(time.UnixMilli(1_500))
	s = scrape(t, m)
	want(t, s, "weir_backend_endpoints_unconfirmed", `{backend="users"} 3`)
	want(t, s, "weir_discovery_seen_timestamp_seconds", `{backend="users"} 1.5`)
}

func TestCachesOfSteps(t *testing.T) {
	m := telemetry.New("test")
	c, release := m.StepCache("GET /home", "news")
	for result, n := range map[telemetry.CacheResult]int{telemetry.CacheHit: 3, telemetry.CacheShared: 2, telemetry.CacheMiss: 1, telemetry.CacheExpired: 4, telemetry.CacheRenewed: 5} {
		for range n {
			c.Asked(result)
		}
	}
	const of = `{composition="GET /home",result="`
	want(t, scrape(t, m), "weir_step_cache_requests_total", of+`expired",step="news"} 4`, of+`hit",step="news"} 3`, of+`miss",step="news"} 1`, of+`renewed",step="news"} 5`, of+`shared",step="news"} 2`)
	release()
	want(t, scrape(t, m), "weir_step_cache_requests_total")
	var none *telemetry.StepCache
	none.Asked(telemetry.CacheHit)
}

func TestKeysOfIssuers(t *testing.T) {
	m := telemetry.New("test")
	k, release := m.KeySet("https://id.example.com/")
	k.Fetched(true)
	k.Fetched(false)
	k.Fetched(false)
	s := scrape(t, m)
	want(t, s, "weir_keys_fetches_total", `{issuer="https://id.example.com/",result="failed"} 2`, `{issuer="https://id.example.com/",result="fetched"} 1`)
	want(t, s, "weir_keys_known")
	at := time.UnixMilli(1_500)
	k.Watch(func() telemetry.Heard { return telemetry.Heard{Count: 3, Confirmed: at, Until: at.Add(time.Hour)} })
	s = scrape(t, m)
	want(t, s, "weir_keys_known", `{issuer="https://id.example.com/"} 3`)
	want(t, s, "weir_keys_last_fetch_successful", `{issuer="https://id.example.com/"} 1`)
	want(t, s, "weir_keys_fetched_timestamp_seconds", `{issuer="https://id.example.com/"} 1.5`)
	want(t, s, "weir_keys_until_timestamp_seconds", `{issuer="https://id.example.com/"} 3601.5`)
	stop := k.Watch(func() telemetry.Heard { return telemetry.Heard{Err: errors.New("down")} }) // asked in another way
	s = scrape(t, m)
	want(t, s, "weir_keys_last_fetch_successful", `{issuer="https://id.example.com/"} 0`)
	want(t, s, "weir_keys_known", `{issuer="https://id.example.com/"} 0`)
	want(t, s, "weir_keys_until_timestamp_seconds", `{issuer="https://id.example.com/"} 0`)
	stop()
	release()
	want(t, scrape(t, m), "weir_keys_fetches_total")
	var none *telemetry.KeySet
	none.Fetched(true)
	none.Watch(nil)()
}

func TestFunctionsSocketsAndConfigs(t *testing.T) {
	m := telemetry.New("v1.2.3")
	f, releaseFunction := m.Function("orders")
	f.Started(time.Second)
	f.Failed()
	f.Crashed()
	f.Lent(true)
	f.Lent(false)
	f.Lent(false)
	f.Waited(2 * time.Second)
	f.Worked(500*time.Millisecond, 512<<20)
	f.Worked(time.Second, 512<<20)
	f.Refused(fault.FunctionBusy.New(""))
	f.Refused(context.Canceled)
	f.Changed(true)
	f.Changed(false)
	f.Changed(false)
	f.Watch(func() telemetry.Instances {
		return telemetry.Instances{Idle: 1, Busy: 2, Starting: 3, Draining: 5, Wanted: 6, Queued: 4, Version: "abc", Stale: true}
	})
	c, releaseSocket := m.Socket(":8080")
	c.Opened()
	c.Opened()
	c.Closed()
	c.Refused(telemetry.RefusedTLS)
	c.Ended("h2_reset")
	c.Ended("h2_reset")
	now := telemetry.Config{
		Applied: 5, Partly: 2, Refused: 1, LastApplied: time.Unix(1000, 0), LastRefused: time.Unix(2000, 0), Bad: 1,
		Digest: "abc", Elements: map[string]int{"routes": 7}, CertificatesEnd: map[string]time.Time{"public": time.Unix(4000, 0)},
	}
	m.WatchConfig(func() telemetry.Config { return now })
	s := scrape(t, m)
	want(t, s, "weir_function_instances", `{function="orders",state="busy"} 2`, `{function="orders",state="draining"} 5`,
		`{function="orders",state="idle"} 1`, `{function="orders",state="starting"} 3`)
	want(t, s, "weir_function_instances_wanted", `{function="orders"} 6`)
	want(t, s, "weir_function_invocations_total", `{function="orders",start="cold"} 1`, `{function="orders",start="warm"} 2`)
	want(t, s, "weir_function_queue_duration_seconds_sum", `{function="orders"} 2`)
	want(t, s, "weir_function_busy_seconds_total", `{function="orders"} 1.5`)
	want(t, s, "weir_function_gigabyte_seconds_total", `{function="orders"} 0.75`)
	if errs := strings.Join(own(s, "weir_function_errors_total"), " "); !strings.Contains(errs, `reason="busy"} 1`) || strings.Count(errs, "} 0") != 11 {
		t.Errorf("errors: %s", errs)
	}
	want(t, s, "weir_function_info", `{function="orders",version="abc"} 1`)
	want(t, s, "weir_function_newest_serves", `{function="orders"} 0`)
	want(t, s, "weir_function_changes_total", `{function="orders",result="failed"} 2`, `{function="orders",result="taken"} 1`)
	want(t, s, "weir_function_queue_length", `{function="orders"} 4`)
	want(t, s, "weir_function_start_failures_total", `{function="orders"} 1`)
	want(t, s, "weir_function_crashes_total", `{function="orders"} 1`)
	want(t, s, "weir_function_cold_start_duration_seconds_count", `{function="orders"} 1`)
	want(t, s, "weir_connections_accepted_total", `{socket=":8080"} 2`)
	want(t, s, "weir_connections_open", `{socket=":8080"} 1`)
	want(t, s, "weir_connections_refused_total", `{reason="files",socket=":8080"} 0`, `{reason="tls",socket=":8080"} 1`)
	want(t, s, "weir_connections_ended_total", `{reason="h2_reset",socket=":8080"} 2`)
	want(t, s, "weir_config_reloads_total", `{result="applied"} 3`, `{result="partly"} 2`, `{result="refused"} 1`)
	want(t, s, "weir_config_bad_files", "1")
	want(t, s, "weir_config_last_reload_successful", "0")
	want(t, s, "weir_config_last_reload_success_timestamp_seconds", "1000")
	want(t, s, "weir_config_info", `{digest="abc"} 1`)
	want(t, s, "weir_config_elements", `{kind="routes"} 7`)
	want(t, s, "weir_tls_certificate_not_after_timestamp_seconds", `{listener="public"} 4000`)
	if info := own(s, "weir_build_info"); len(info) != 1 || !strings.Contains(info[0], `version="v1.2.3"`) {
		t.Errorf("build info: %v", info)
	}
	if !strings.Contains(s, "\ngo_goroutines ") || !strings.Contains(s, "\ngo_memstats_heap_inuse_bytes ") {
		t.Error("nothing of the Go runtime is told")
	}
	releaseFunction()
	releaseSocket()
	now.LastApplied, now.Bad = time.Unix(3000, 0), 0
	s = scrape(t, m)
	want(t, s, "weir_config_last_reload_successful", "1")
	want(t, s, "weir_function_crashes_total")
	want(t, s, "weir_connections_open")
}

func TestAFiltersCounterGoesWithItsRoute(t *testing.T) {
	m := telemetry.New("test")
	for _, name := range []string{"a", "b"} {
		r, _ := m.Route(name)
		c := r.Counter("weir_x_refused_total", "How often x refused.")
		if c != r.Counter("weir_x_refused_total", "How often x refused.") {
			t.Error("one name is two counters")
		}
		c.Inc()
	}
	want(t, scrape(t, m), "weir_x_refused_total", `{route="a"} 1`, `{route="b"} 1`)
}

func TestNilMetersCountNothing(t *testing.T) {
	var m *telemetry.Metrics
	r, release := m.Route("x")
	r.Begin()
	r.Count("GET", &exchange.Exchange{}, exchange.Outcome{})
	r.End()
	r.Counter("x", "y").Inc()
	release()
	b, release := m.Backend("x")
	b.Tried(0, nil, 0, false)
	b.Watch(nil)()
	release()
	f, release := m.Function("x")
	f.Started(0)
	f.Failed()
	f.Crashed()
	f.Watch(nil)()
	release()
	c, release := m.Socket("x")
	c.Opened()
	c.Refused(telemetry.RefusedTLS)
	c.Ended("x")
	c.Closed()
	release()
	m.Discovery().Changed(0)
	m.Unmatched().Count("GET", &exchange.Exchange{}, exchange.Outcome{})
}

// The names are held to Prometheus's conventions (naming, base units): ours and no others.
func TestNamesFollowTheConventions(t *testing.T) {
	m := telemetry.New("test")
	r, _ := m.Route("x")
	r.Count("GET", &exchange.Exchange{Fault: fault.NoEndpoint.New("")}, exchange.Outcome{Status: 503})
	b, _ := m.Backend("x")
	b.Tried(0, nil, 0, false)
	b.Watch(func() telemetry.Endpoints {
		return telemetry.Endpoints{States: map[string]int{"available": 1}, Heard: &telemetry.Heard{}}
	})
	k, _ := m.KeySet("x")
	k.Watch(func() telemetry.Heard { return telemetry.Heard{} })
	m.Function("x")
	m.Socket("x")
	m.WatchConfig(func() telemetry.Config { return telemetry.Config{Digest: "abc"} })
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^weir(_[a-z]+)+$`)
	seen := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "weir_") {
			continue
		}
		seen++
		counts := f.GetType().String() == "COUNTER"
		timed := f.GetType().String() == "HISTOGRAM"
		switch {
		case !name.MatchString(f.GetName()):
			t.Errorf("%s is no name", f.GetName())
		case counts != strings.HasSuffix(f.GetName(), "_total"):
			t.Errorf("%s is a %s", f.GetName(), f.GetType())
		case timed && !strings.HasSuffix(f.GetName(), "_seconds"):
			t.Errorf("%s has no unit", f.GetName())
		case !strings.HasSuffix(f.GetHelp(), "."):
			t.Errorf("%s: %q is no sentence", f.GetName(), f.GetHelp())
		}
	}
	if seen < 20 {
		t.Errorf("only %d metrics", seen)
	}
}

func TestCountingNeedsNoMemory(t *testing.T) {
	m := telemetry.New("test")
	r, _ := m.Route("x")
	b, _ := m.Backend("x")
	x := &exchange.Exchange{Fault: fault.NoEndpoint.New("")}
	failed := &exchange.SendError{Err: errors.New("x")}
	count := func() {
		r.Begin()
		r.Count("GET", x, exchange.Outcome{Status: 200, Written: 10, Took: time.Millisecond})
		r.End()
		b.Tried(200, nil, time.Millisecond, false)
		b.Tried(0, failed, time.Millisecond, true)
	}
	count() // the first request of a method makes room for its statuses
	if n := testing.AllocsPerRun(100, count); n > 0 {
		t.Errorf("%.0f allocations a request", n)
	}
}

func TestCountingWhileRoutesComeAndGo(t *testing.T) {
	m := telemetry.New("test")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 200 {
				r, release := m.Route(fmt.Sprint("r", i%5))
				r.Begin()
				r.Count("GET", &exchange.Exchange{}, exchange.Outcome{Status: 200 + i})
				r.End()
				release()
			}
		})
	}
	for range 20 {
		scrape(t, m)
	}
	all.Wait()
}

func BenchmarkCount(b *testing.B) {
	m := telemetry.New("test")
	r, _ := m.Route("x")
	x := &exchange.Exchange{}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Begin()
			r.Count("GET", x, exchange.Outcome{Status: 200, Written: 10, Took: time.Millisecond})
			r.End()
		}
	})
}

func BenchmarkScrapeOf100Routes(b *testing.B) {
	m := telemetry.New("test")
	for i := range 100 {
		r, _ := m.Route(fmt.Sprint("r", i))
		r.Count("GET", &exchange.Exchange{}, exchange.Outcome{Status: 200})
	}
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, m)
	}
}

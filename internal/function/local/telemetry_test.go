package local

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// told is one record that an extension has got.
type told struct {
	Time, Type string
	Record     json.RawMessage
}

// subscribed starts a function with the extension of testdata/extension, which has
// subscribed by api in a schema. all gives what that was told so far; end lets the instance end.
func subscribed(t *testing.T, api, schema, protocol string) (g *gateway, all func() []told, end func()) {
	t.Helper()
	var cfg *Config
	dir := t.TempDir()
	file := filepath.Join(dir, "telemetry")
	g = startLambda(t, &records{}, func(c *Config) {
		c.Env = env(t, "EXTENSION", testFunction(t, "extension"), "READY", filepath.Join(dir, "ready"), "TELEMETRY", file,
			"SUBSCRIBE", api, "SCHEMA", schema, "PROTOCOL", protocol)
		c.Scale.Max, cfg = 1, c
	})
	all = func() []told {
		raw, _ := os.ReadFile(file)
		var all []told
		for line := range bytes.Lines(raw) {
			var one told
			if bytes.HasSuffix(line, []byte("\n")) { // the last one may be half written
				must(t, json.Unmarshal(line, &one))
				all = append(all, one)
			}
		}
		return all
	}
	return g, all, func() {
		soon := *cfg
		soon.Scale.Idle = shortestIdle
		g.Tune(&soon)
	}
}

func kinds(all []told) []string {
	var list []string
	for _, one := range all {
		list = append(list, one.Type)
	}
	return list
}

func TestAnExtensionIsToldWhatHappensToItsInstance(t *testing.T) {
	tests := []struct {
		name, api, schema, protocol string
		want                        []string
	}{
		{"Telemetry API by HTTP", "/2022-07-01/telemetry", "2022-07-01", "HTTP", []string{
			"platform.initStart", "platform.telemetrySubscription", "platform.extension", "platform.initRuntimeDone", "platform.initReport",
			"platform.start", "function", "function", "function", "platform.runtimeDone", "platform.report",
			"platform.start", "platform.runtimeDone", "platform.report",
		}},
		{"Telemetry API by TCP", "/2022-07-01/telemetry", "2022-12-13", "TCP", []string{
			"platform.initStart", "platform.telemetrySubscription", "platform.extension", "platform.initRuntimeDone", "platform.initReport",
			"platform.start", "function", "function", "function", "platform.runtimeDone", "platform.report",
			"platform.start", "platform.runtimeDone", "platform.report",
		}},
		{"Logs API", "/2020-08-15/logs", "2020-08-15", "HTTP", []string{
			"platform.logsSubscription", "platform.extension", "platform.start", "function", "function", "function", "platform.end", "platform.report",
			"platform.start", "platform.end", "platform.report",
		}},
		{"Logs API with runtimeDone", "/2020-08-15/logs", "2021-03-18", "TCP", []string{
			"platform.logsSubscription", "platform.extension", "platform.start", "function", "function", "function", "platform.runtimeDone", "platform.end", "platform.report",
			"platform.start", "platform.runtimeDone", "platform.end", "platform.report",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, records, end := subscribed(t, test.api, test.schema, test.protocol)
			if got := g.get(t, "/loud"); got.status != 200 {
				t.Fatalf("got %+v", got)
			}
			if got := g.get(t, "/error"); got.status != 502 {
				t.Fatalf("got %+v", got)
			}
			// What comes to it by a connection of its own it may write after what it has fetched, and its
			// time at the end is short.
			await.That(t, "everything before the end was told", func() bool { return len(records()) >= len(test.want) })
			end()
			await.That(t, "the end was told", func() bool { return slices.Contains(kinds(records()), "shutdown") })
			all := records()
			// An extension asks for its first event on its own time.
			got, want := slices.Sorted(slices.Values(kinds(all))), slices.Sorted(slices.Values(append(test.want, "shutdown")))
			if !slices.Equal(got, want) {
				t.Fatalf("it was told\n%v, want\n%v", kinds(all), test.want)
			}
			ordered := func(list []string) []string {
				return slices.DeleteFunc(slices.Clone(list), func(kind string) bool { return kind == "platform.extension" || kind == "shutdown" })
			}
			if !slices.Equal(ordered(kinds(all)), ordered(test.want)) {
				t.Errorf("the order is\n%v, want\n%v", kinds(all), test.want)
			}
			checkRecords(t, all, strings.Contains(test.api, "telemetry"))
		})
	}
}

// checkRecords looks into what was told of a loud invocation and one that failed.
func checkRecords(t *testing.T, all []told, telemetry bool) {
	t.Helper()
	var ids []string
	failed := false
	for _, one := range all {
		var r struct {
			RequestID, Version, Status, ErrorType, Name, State string
			Types, Events                                      []string
			Metrics                                            struct {
				DurationMs, InitDurationMs                                     float64
				BilledDurationMs, MemorySizeMB, MaxMemoryUsedMB, ProducedBytes int64
			}
			Tracing struct{ Type, Value string }
			Spans   []struct{ Name string }
		}
		if one.Type != "function" && one.Type != "shutdown" {
			must(t, json.Unmarshal(one.Record, &r))
		}
		switch one.Type {
		case "platform.start":
			ids = append(ids, r.RequestID)
			if r.RequestID == "" || r.Version != "$LATEST" || telemetry != strings.HasPrefix(r.Tracing.Value, "Root=") {
				t.Errorf("%s: %s", one.Type, one.Record)
			}
		case "platform.runtimeDone":
			if last := ids[len(ids)-1]; r.RequestID != last || telemetry && (len(r.Spans) != 3 || r.Metrics.DurationMs <= 0 || r.Metrics.ProducedBytes <= 0 && len(ids) == 1) {
				t.Errorf("%s: %s", one.Type, one.Record)
			}
			failed = r.Status == "error" && (!telemetry || r.ErrorType == "OrderError")
		case "platform.report":
			if r.RequestID != ids[len(ids)-1] || r.Metrics.DurationMs <= 0 || r.Metrics.BilledDurationMs < 1 || r.Metrics.MemorySizeMB != 128 ||
				(r.Metrics.InitDurationMs > 0) != (len(ids) == 1) {
				t.Errorf("%s: %s", one.Type, one.Record)
			}
		case "platform.extension":
			if r.Name != "collector" || r.State != "Ready" || len(r.Events) != 2 {
				t.Errorf("%s: %s", one.Type, one.Record)
			}
		case "platform.telemetrySubscription", "platform.logsSubscription":
			if r.Name != "collector" || r.State != "Subscribed" || len(r.Types) != 3 {
				t.Errorf("%s: %s", one.Type, one.Record)
			}
		}
	}
	if !failed && slices.Contains(kinds(all), "platform.runtimeDone") {
		t.Error("nothing was told of the error")
	}
}

// An extension ends with its instance. What there is to tell of that end comes to
// whoever listens elsewhere on the machine.
func TestTheEndOfAnInstanceIsTold(t *testing.T) {
	tests := []struct{ path, api, schema, want string }{
		{"/crash", "/2022-07-01/telemetry", "2022-07-01", `"status":"failure","errorType":"Runtime.ExitError"`},
		{"/hang", "/2022-07-01/telemetry", "2022-07-01", `"status":"timeout"`},
		{"/crash", "/2020-08-15/logs", "2020-08-15", `Process exited before completing request`},
		{"/hang", "/2020-08-15/logs", "2020-08-15", `Task timed out after `},
	}
	for _, test := range tests {
		t.Run(test.path+" "+test.schema, func(t *testing.T) {
			var got await.Text
			elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&got, r.Body) }))
			defer elsewhere.Close()
			g := startLambda(t, &records{}, func(c *Config) {
				c.Env = env(t, "EXTENSION", testFunction(t, "extension"), "READY", filepath.Join(t.TempDir(), "ready"), "DESTINATION", elsewhere.URL,
					"SUBSCRIBE", test.api, "SCHEMA", test.schema)
				if test.path == "/hang" {
					c.Timeout = 200 * time.Millisecond
				}
			})
			if answer := g.get(t, test.path); answer.status < 500 {
				t.Errorf("got %+v", answer)
			}
			await.That(t, "the end was told", func() bool {
				return strings.Contains(got.String(), test.want) && strings.Contains(got.String(), "platform.report")
			})
		})
	}
}

package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/app"
	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/control/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a gateway of one file, and its log.
type world struct {
	t    *testing.T
	path string
	log  await.Text
	app  *app.App
}

func newWorld(t *testing.T, text string) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "weir.yaml")}
	w.write(text)
	return w
}

func (w *world) write(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path, []byte("listen: 127.0.0.1:0\n"+text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options() app.Options {
	return app.Options{
		Input: source.Input{Path: w.path}, Parts: app.Parts(), Drain: time.Minute, Level: &slog.LevelVar{}, Version: "test",
		Log: slog.New(slog.NewJSONHandler(&w.log, nil)), Stderr: &w.log, LogFormat: "json",
	}
}

func (w *world) start() {
	w.t.Helper()
	a, err := app.Start(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = a
	w.t.Cleanup(a.Stop) // a second Stop does nothing
}

func (w *world) url(path string) string {
	for _, address := range w.app.Addresses() {
		return "http://" + address + path
	}
	w.t.Fatal("nothing listens")
	return ""
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// entry gives the log's first entry with that message, nil for none.
func (w *world) entry(message string) map[string]any {
	for line := range strings.Lines(w.log.String()) {
		var e map[string]any
		if json.Unmarshal([]byte(line), &e) == nil && e["msg"] == message {
			return e
		}
	}
	return nil
}

const off = "admin: off\n"

func TestAccessLogHasALineForEachRequest(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("four")) }))
	defer backend.Close()
	address := backend.Listener.Addr().String()
	w := newWorld(t, off+"routes:\n  GET /orders/{id}:\n    to: http://"+address+"\n  GET /gone:\n    to: http://127.0.0.1:1\n")
	w.start()
	var lines []map[string]any
	for i, path := range []string{"/orders/7?secret=1", "/gone"} {
		get(t, w.url(path))
		await.That(t, "a line", func() bool { // which comes after the answer, perhaps after the next one
			lines = nil
			for line := range strings.Lines(w.log.String()) {
				var e map[string]any
				if json.Unmarshal([]byte(line), &e) == nil && e["msg"] == "request" {
					lines = append(lines, e)
				}
			}
			return len(lines) == i+1
		})
	}
	for i, want := range []map[string]any{
		{
			"level": "INFO", "method": "GET", "host": "127.0.0.1", "path": "/orders/7", "status": 200.0, "bytes": 4.0,
			"client": "127.0.0.1", "route": "GET /orders/{id}", "backend": "http://" + address, "endpoint": address, "attempts": 1.0,
		},
		{"level": "WARN", "path": "/gone", "status": 502.0, "problem": "backend-unreachable"},
	} {
		for key, value := range want {
			if lines[i][key] != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, lines[i][key], value)
			}
		}
		if id, _ := lines[i]["request_id"].(string); len(id) != 32 || lines[i]["took"] == nil {
			t.Errorf("line %d: %v", i, lines[i])
		}
		for key, value := range lines[i] {
			if value == "" {
				t.Errorf("line %d: %s is there and says nothing", i, key)
			}
		}
	}
	if strings.Contains(w.log.String(), "secret") {
		t.Error("the log holds a query, which may hold secrets")
	}
}

// running is a world whose gateway reads its file again when it is told to.
func (w *world) running(o app.Options) (reload func()) {
	w.t.Helper()
	again, started, ended := make(chan struct{}), make(chan *app.App), make(chan error, 1)
	o.Reload, o.Started = again, func(a *app.App) { started <- a }
	ctx, cancel := context.WithCancel(context.Background())
	go func() { ended <- app.Run(ctx, o) }()
	select {
	case w.app = <-started:
	case err := <-ended:
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	return func() { again <- struct{}{} }
}

// TestServingIsToldBeforeAnySocketServes: who catches signals only when all is started
// loses the requests of those who came before.
func TestServingIsToldBeforeAnySocketServes(t *testing.T) {
	w := newWorld(t, off+"routes:\n  GET /: respond:one\n")
	o, told := w.options(), 0
	o.Serving = func() {
		if told++; w.app != nil {
			t.Error("told when everything served")
		}
	}
	reload := w.running(o)
	two := off + "listen: { a: 127.0.0.1:0, b: unix:" + filepath.Join(t.TempDir(), "s") + " }\nroutes:\n  GET /: respond:two\n"
	if err := os.WriteFile(w.path, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	reload()
	await.That(t, "a second socket", func() bool { return len(w.app.Addresses()) == 2 })
	if told != 1 {
		t.Errorf("told %d times, want once", told)
	}
}

func TestMetricsTellWhatTheGatewayDoes(t *testing.T) {
	calls := 0
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte("four"))
	}))
	defer backend.Close()
	address := backend.Listener.Addr().String()
	routes := func(more string) string {
		return "admin: 127.0.0.1:0\nroutes:\n  GET /orders/{id}: { retry: 1, to: users }\n  GET /gone: http://127.0.0.1:1\n" + more +
			"services:\n  users: http://" + address + "\n"
	}
	w := newWorld(t, routes("  GET /old: respond:204\n"))
	reload := w.running(w.options())
	get(t, w.url("/orders/7"))
	get(t, w.url("/gone"))
	get(t, w.url("/old"))
	get(t, w.url("/nowhere"))
	scrape := func() string {
		status, body := get(t, "http://"+w.app.AdminAddress()+"/metrics")
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return body
	}
	holds := func(lines ...string) {
		t.Helper()
		var scraped string
		for _, line := range lines {
			await.That(t, line, func() bool { scraped = scrape(); return strings.Contains(scraped, "\n"+line+"\n") })
		}
	}
	holds(`weir_http_requests_total{code="200",method="GET",route="GET /orders/{id}"} 1`,
		`weir_http_response_body_bytes_total{route="GET /orders/{id}"} 4`,
		`weir_http_requests_total{code="502",method="GET",route="GET /gone"} 1`,
		`weir_http_faults_total{problem="backend-unreachable",route="GET /gone"} 1`,
		`weir_http_requests_total{code="404",method="GET",route="none"} 1`,
		`weir_backend_attempts_total{backend="users",outcome="server_error"} 1`,
		`weir_backend_attempts_total{backend="users",outcome="answered"} 1`,
		`weir_backend_retries_total{backend="users"} 1`,
		`weir_backend_endpoints{backend="users",state="healthy"} 1`,
		`weir_config_elements{kind="routes"} 3`,
		`weir_config_reloads_total{result="applied"} 1`)
	for name := range w.app.Addresses() {
		holds(`weir_connections_open{socket="`+name+`"} 0`, `weir_connections_accepted_total{socket="`+name+`"} 4`)
	}
	w.write("nonsense: 1\n")
	reload()
	holds(`weir_config_reloads_total{result="refused"} 1`, `weir_config_last_reload_successful 0`, `weir_config_elements{kind="routes"} 3`)
	w.write(routes(""))
	reload()
	holds(`weir_config_reloads_total{result="applied"} 2`, `weir_config_last_reload_successful 1`,
		`weir_http_requests_total{code="200",method="GET",route="GET /orders/{id}"} 1`, // it counts on
		`weir_backend_retries_total{backend="users"} 1`)
	await.That(t, "the series of a route that is gone have gone", func() bool { return !strings.Contains(scrape(), `route="GET /old"`) })
}

func TestAnAccessLogOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	text := func(format string) string {
		return off + "telemetry:\n  access_log: { to: " + filepath.ToSlash(path) + ", format: " + format + " }\nroutes:\n  GET /a: respond:204\n"
	}
	w := newWorld(t, text("combined"))
	reload := w.running(w.options())
	get(t, w.url("/a?token=swordfish"))
	content := func(path string) string {
		data, _ := os.ReadFile(path) // it may not be there yet
		return string(data)
	}
	await.That(t, "the line is written", func() bool {
		return strings.Contains(content(path), `"GET /a HTTP/1.1" 204 - "-" "Go-http-client/1.1"`)
	})
	if strings.Contains(content(path), "swordfish") || w.entry("request") != nil {
		t.Errorf("the file holds %s, the log %s", content(path), w.log.String())
	}
	if os.Rename(path, path+".1") == nil { // where open files may be renamed
		reload() // what SIGHUP does
		await.That(t, "a rotated file is opened again", func() bool {
			get(t, w.url("/a")) // a line before that is in the rotated one
			return strings.Contains(content(path), "GET /a")
		})
	}
	w.write(text("json"))
	reload()
	await.That(t, "the format has changed", func() bool {
		get(t, w.url("/a"))
		return strings.Contains(content(path), `"path":"/a"`)
	})
	w.write(off + "telemetry: { access_log: off }\nroutes:\n  GET /b: respond:204\n")
	reload()
	await.That(t, "the config without a log serves", func() bool { status, _ := get(t, w.url("/b")); return status == http.StatusNoContent })
	w.app.Stop() // what is still to be written is
	for line := range strings.Lines(content(path)) {
		// Before the config was there, /b was a 404 of the one that has a log.
		if strings.Contains(line, `"path":"/b"`) && !strings.Contains(line, `"status":404`) {
			t.Errorf("a line where the log is off: %s", line)
		}
	}
}

// TestTracesReachACollector goes the whole way: a client's traceparent, the backend's,
// the collector's spans and the access log's trace_id are one trace.
func TestTracesReachACollector(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	arrived := make(chan http.Header, 4)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Header
		if len(arrived) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer backend.Close()
	var sent await.Text
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&sent, r.Body) }))
	defer collector.Close()
	w := newWorld(t, off+"telemetry: { traces: "+collector.URL+" }\nroutes:\n  GET /orders/{id}: { retry: 1, to: "+backend.URL+" }\n")
	w.start()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url("/orders/7"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Traceparent", parent)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", res, err)
	}
	_ = res.Body.Close()
	first, second := (<-arrived).Get("Traceparent"), (<-arrived).Get("Traceparent")
	trace := parent[:36] // version and trace id
	if !strings.HasPrefix(first, trace) || !strings.HasPrefix(second, trace) || first == second || first == parent {
		t.Errorf("the backend got %q and %q", first, second)
	}
	w.app.Stop() // what waits is sent
	for _, want := range []string{"GET /orders/{id}", "http.request.resend_count", "service.name", "weir"} {
		if !strings.Contains(sent.String(), want) {
			t.Errorf("the collector did not get %q", want)
		}
	}
	if line := w.entry("request"); line == nil || line["trace_id"] != parent[3:35] {
		t.Errorf("the line is %v", line)
	}
}

func TestTheLastLinesAreWritten(t *testing.T) {
	w := newWorld(t, off+"routes:\n  GET /: respond:204\n")
	w.start()
	for range 20 {
		get(t, w.url("/"))
	}
	w.app.Stop()
	if n := strings.Count(w.log.String(), `"msg":"request"`); n != 20 {
		t.Errorf("%d lines of 20", n)
	}
}

func TestConfigThatCannotServeStartsNothing(t *testing.T) {
	for name, text := range map[string]string{
		"not valid":    off + "routes:\n  GET /:\n    too: x\n",
		"not compiled": off + "routes:\n  GET /:\n    to: dir:./missing\n",
		"no log file":  off + "telemetry: { access_log: ./missing/access.log }\nroutes: {}\n",
		"no token":     off + "telemetry: { metrics: { token: '${env:WEIR_TEST_IS_NOT_SET}' } }\nroutes: {}\n",
	} {
		w := newWorld(t, text)
		_, err := app.Start(w.options())
		if refused, ok := errors.AsType[*app.RefusedError](err); !ok || len(refused.Problems) == 0 || len(refused.Sources) != 1 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBusyAdminAddressStartsNothing(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	w := newWorld(t, "admin: "+busy.Addr().String()+"\nroutes:\n  GET /:\n    to: respond:204\n")
	_, err = app.Start(w.options())
	if _, refused := errors.AsType[*app.RefusedError](err); err == nil || refused || !strings.Contains(err.Error(), "admin API: listen on "+busy.Addr().String()) {
		t.Errorf("got %v", err)
	} else if !strings.Contains(err.Error(), "--admin off") || strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v does not tell the flag of the admin API", err)
	}
	// goleak tells whether the gateway that was serving by then has ended.
}

func TestAdminAnswersUntilTheLastRequestHasEnded(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(entered); <-leave }))
	defer slow.Close()
	w := newWorld(t, "admin: 127.0.0.1:0\nroutes:\n  GET /:\n    to: "+slow.URL+"\n")
	w.start()
	url, admin := w.url("/"), "http://"+w.app.AdminAddress()
	answered, stopped := make(chan int, 1), make(chan struct{})
	go func() { status, _ := get(t, url); answered <- status }()
	<-entered
	go func() { defer close(stopped); w.app.Stop() }()
	await.That(t, "the socket is closed", func() bool { return len(w.app.Addresses()) == 0 })
	if status, body := get(t, admin+"/v1/status"); status != http.StatusOK || !strings.Contains(body, `"in_flight": 1`) {
		t.Errorf("while it stops: %d %s", status, body)
	}
	close(leave)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the last request: %d", status)
	}
	<-stopped
	if c, err := net.Dial("tcp", strings.TrimPrefix(admin, "http://")); err == nil {
		_ = c.Close()
		t.Error("the admin API is still there")
	}
}

// TestReloadFollowsLimits changes the limit of memory, which is the process's,
// and the admin address, which is read at the start only.
func TestReloadFollowsLimits(t *testing.T) {
	if os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("GOMEMLIMIT is set")
	}
	before := debug.SetMemoryLimit(-1)
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	const routes = "routes:\n  GET /:\n    to: respond:204\n"
	w := newWorld(t, "admin: 127.0.0.1:0\nlimits: { memory: 1GiB }\n"+routes)
	reload := make(chan struct{})
	started, ended := make(chan *app.App), make(chan error, 1)
	o := w.options()
	o.Reload, o.Started = reload, func(a *app.App) { started <- a }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- app.Run(ctx, o) }()
	<-started
	if got := debug.SetMemoryLimit(-1); got > 1<<30 || got < 1<<29 {
		t.Errorf("the soft limit is %d of 1 GiB", got)
	}
	w.write("admin: off\nlimits: { memory: 4GiB }\n" + routes)
	reload <- struct{}{}
	await.That(t, "the limit has followed", func() bool { return debug.SetMemoryLimit(-1) > 1<<31 })
	await.That(t, "the admin address is said to need a restart", func() bool {
		return w.entry("the address and the token of the admin API are read at the start; restart to change them") != nil
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever asks the admin API must not take a config that was refused for the
// one that serves, nor the other way round.
func TestTheStatusTellsOfARefusedConfigBesideTheOneThatServes(t *testing.T) {
	w := newWorld(t, "admin: 127.0.0.1:0\nroutes:\n  GET /: respond:204\n")
	reload := make(chan struct{})
	started, ended := make(chan *app.App), make(chan error, 1)
	o := w.options()
	o.Reload, o.Started = reload, func(a *app.App) { started <- a }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- app.Run(ctx, o) }()
	admin := "http://" + (<-started).AdminAddress()
	type refused struct {
		Time     time.Time
		Problems []string
	}
	type status struct {
		Digest   string
		Applied  time.Time
		Problems []string
		Refused  *refused
	}
	ask := func() (s status) {
		if _, body := get(t, admin+"/v1/status"); json.Unmarshal([]byte(body), &s) != nil {
			t.Fatalf("got %s", body)
		}
		return s
	}
	first := ask()
	for name, c := range map[string]struct{ text, want string }{
		"a mistake in the file":        {"nonsense: 1\n", `unknown key "nonsense"`},
		"a mistake found by compiling": {"routes:\n  GET /: dir:./nothing\n", "nothing"},
		"an address that is taken":     {"admin: off\nroutes: {}\nlisten: " + strings.TrimPrefix(admin, "http://") + "\n", "in use"},
	} {
		if strings.Contains(c.text, "listen:") {
			if err := os.WriteFile(w.path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		} else {
			w.write(c.text)
		}
		reload <- struct{}{}
		await.That(t, name+" is told", func() bool {
			s := ask()
			return s.Refused != nil && strings.Contains(strings.Join(s.Refused.Problems, "\n"), c.want)
		})
		s := ask()
		if s.Digest != first.Digest || !s.Applied.Equal(first.Applied) || len(s.Problems) > 0 || !s.Refused.Time.After(first.Applied) {
			t.Errorf("%s: the status is %+v, at first it was %+v", name, s, first)
		}
	}
	if err := os.Remove(w.path); err != nil {
		t.Fatal(err)
	}
	reload <- struct{}{}
	await.That(t, "a missing file is told", func() bool { return strings.Contains(strings.Join(ask().Refused.Problems, ""), "no such file") })
	w.write("admin: off\nroutes:\n  GET /: respond:201\n")
	reload <- struct{}{}
	await.That(t, "a config that serves ends it", func() bool { s := ask(); return s.Refused == nil && s.Digest != first.Digest })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

package local

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// The test's program is its own guard, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process.GuardArgument {
		if err := process.GuardMain(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 2 && os.Args[1] == "builder" {
		builder(os.Args[2])
	}
	dir, err := os.MkdirTemp("", "weir-test-functions-")
	if err != nil {
		panic(err)
	}
	built.dir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// builder is a gateway that builds a function in dir until it is killed.
func builder(dir string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	definition := define([]string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", self, process.GuardArgument})
	if _, err := buildOf(definition, dir, program.HTTP); err != nil {
		panic(err)
	}
	<-time.After(time.Minute)
	os.Exit(1)
}

// buildOf begins a function whose program is built.
func buildOf(definition function.Definition, dir string, contract program.Contract) (function.Backend, error) {
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/f\n\ngo 1.26\n"), 0o600),
	)
	if err != nil {
		return nil, err
	}
	cfg, _ := definition.New().(*Config)
	cfg.Run, cfg.Contract = dir, contract
	return definition.Build(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve, Dir: dir}, "built", cfg)
}

// built are the test functions, compiled once in a run.
var built struct {
	dir string
	mu  sync.Mutex
}

// testFunction gives the program of testdata/NAME.
func testFunction(tb testing.TB, name string) string {
	tb.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	file := filepath.Join(built.dir, name)
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "build", "-o", file, "./testdata/"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return file
}

// guarded is a definition with this test's program as its guard.
func guarded(tb testing.TB) function.Definition {
	tb.Helper()
	self, err := os.Executable()
	must(tb, err)
	// The race detector would let each guard wait for a second before it ends.
	return define([]string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", self, process.GuardArgument})
}

// testRegion is where the functions of tests are told they run.
const testRegion = "eu-central-2"

// start builds a function and closes it after the test.
func start(tb testing.TB, log *records, change func(*Config)) function.Backend {
	tb.Helper()
	definition := guarded(tb)
	cfg, ok := definition.New().(*Config)
	if !ok {
		tb.Fatal("the config is of another type")
	}
	change(cfg)
	env := function.Env{Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Secret: secret.Resolve, Dir: tb.TempDir(), Region: testRegion}
	must(tb, definition.Check(env, cfg))
	b, err := definition.Build(env, "orders", cfg)
	must(tb, err)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		must(tb, b.Close(ctx))
		if s := b.Status(); s.Instances != 0 {
			tb.Errorf("%d instances are left after Close", s.Instances)
		}
	})
	return b
}

func startLambda(tb testing.TB, log *records, change func(*Config)) *gateway {
	tb.Helper()
	return serve(tb, start(tb, log, func(c *Config) {
		c.Run, c.Contract = testFunction(tb, "lambda"), program.Lambda
		change(c)
	}))
}

func startWeb(tb testing.TB, log *records, change func(*Config)) *gateway {
	tb.Helper()
	return serve(tb, start(tb, log, func(c *Config) {
		c.Run = testFunction(tb, "web")
		change(c)
	}))
}

func unchanged(*Config) {}

// gateway is the shortest road from a socket to a backend.
type gateway struct {
	function.Backend
	*httptest.Server
}

func serve(tb testing.TB, b function.Backend) *gateway {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange.Exchange{ID: r.Header.Get("X-Request-Id"), Start: time.Now(), Host: "shop.dev", Path: r.URL.Path}
		out, r := exchange.Begin(w, r, x)
		defer out.Finish(nil)
		_ = http.NewResponseController(w).EnableFullDuplex()
		res, err := b.RoundTrip(r)
		switch {
		case r.Context().Err() != nil:
		case err != nil:
			out.Fail(err)
		case res.StatusCode == http.StatusSwitchingProtocols:
			tunnel(out, res)
		default:
			answer(out, res)
		}
	}))
	tb.Cleanup(func() {
		server.Client().CloseIdleConnections()
		server.Close()
	})
	return &gateway{b, server}
}

func answer(out *exchange.Writer, res *http.Response) {
	defer func() { _ = res.Body.Close() }()
	for name, value := range exchange.ResponseHead(res).All() {
		out.Head().Add(name, value)
	}
	out.WriteHeader(res.StatusCode)
	piece := make([]byte, 4096)
	for {
		n, err := res.Body.Read(piece)
		if n > 0 {
			_, _ = out.Write(piece[:n])
			_ = http.NewResponseController(out).Flush()
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			out.Fail(err)
		}
	}
}

// tunnel asks of the body what the proxy asks: both directions, ended one by one.
func tunnel(out *exchange.Writer, res *http.Response) {
	backend, ok := res.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	if !ok {
		panic("the body of 101 is no tunnel")
	}
	client, err := out.Upgrade(exchange.ResponseHead(res))
	if err != nil {
		panic(err)
	}
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(backend, client)
		_ = backend.CloseWrite()
	})
	_, _ = io.Copy(client, backend)
	_ = client.Close()
	there.Wait()
	_ = backend.Close()
}

// reply is a whole response.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the body
}

func (g *gateway) get(tb testing.TB, path string) reply { tb.Helper(); return g.post(tb, path, "") }

func (g *gateway) post(tb testing.TB, path, body string) reply {
	tb.Helper()
	got, err := g.send(path, body)
	must(tb, err)
	return got
}

func (g *gateway) send(path, body string) (reply, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequest(method, g.URL+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("X-Request-Id", "id-of"+path)
	res, err := g.Client().Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(raw), err}, nil
}

// inTime is post, again where the function's time was over: of the little that a test gives it, a busy
// machine may take all.
func (g *gateway) inTime(tb testing.TB, path, body string) (got reply) {
	tb.Helper()
	await.That(tb, path+" is answered in time", func() bool {
		got = g.post(tb, path, body)
		return !strings.Contains(got.body, `"code":"function-timeout"`)
	})
	return got
}

// wantProblem compares a reply with a problem's status and code.
func wantProblem(tb testing.TB, got reply, status int, code string) {
	tb.Helper()
	var problem struct{ Code string }
	_ = json.Unmarshal([]byte(got.body), &problem)
	if got.status != status || problem.Code != code {
		tb.Errorf("got %d %s, want %d with code %s", got.status, got.body, status, code)
	}
}

func decode[T any](tb testing.TB, got reply) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		tb.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	return v
}

// records is a log of JSON.
type records struct{ await.Text }

// find gives the attributes of the records with that message.
func (l *records) find(message string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) == nil && record["msg"] == message {
			found = append(found, record)
		}
	}
	return found
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// modules starts a function of testdata's modules for Node.js or Python.
func modules(tb testing.TB, runtime program.Runtime, handler string, log *records, change func(*Config)) *gateway {
	tb.Helper()
	command := map[program.Runtime]string{program.Node: "node", program.Python: "python3"}[runtime]
	if _, err := exec.LookPath(command); err != nil {
		tb.Skipf("there is no %s here; test/deps.sh installs it", command)
	}
	folder, err := filepath.Abs(filepath.Join("testdata", string(runtime)))
	must(tb, err)
	return serve(tb, start(tb, log, func(c *Config) {
		c.Run, c.Handler = folder, handler
		c.Queue.Wait, c.Init, c.Timeout = time.Minute, new(time.Minute), time.Minute // interpreters start slowly on a busy machine
		change(c)
	}))
}

// wantReason asks for an answer that fails for a reason that only operators see.
func wantReason(tb testing.TB, g *gateway, path string, kind fault.Kind, reason string) {
	tb.Helper()
	r := exchange.With(httptest.NewRequest(http.MethodGet, path, http.NoBody), &exchange.Exchange{Path: path})
	_, err := g.RoundTrip(r)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != kind.Code || f.Detail != "" || !strings.Contains(f.Operator(), reason) {
		tb.Errorf("%s: the error is %v, want %s with %q", path, err, kind.Code, reason)
	}
}

func TestNodeHandlersOfAllForms(t *testing.T) {
	tests := []struct{ handler, path, body string }{
		{"", "/", "hello"}, // AWS's default, index.handler
		{"", "/undefined", "null"},
		{"", "/never", "null"}, // as on AWS: nothing is left to be done
		{"", "/greeting", `{"greeting":"hello"}`},
		{"index.callback", "/", "hello"},
		{"index.callback", "/late", `"late"`},
		{"index.callback", "/nothing", "null"},
		{"index.callback", "/succeed", `"succeeded"`},
		{"index.callback", "/at-once", `"at once"`}, // and a timer of it runs on: nothing ends by itself any more
		{"index.nested.deep.handler", "/", `"nested"`},
	}
	byHandler := map[string]*gateway{}
	for _, test := range tests {
		g := byHandler[test.handler]
		if g == nil {
			g = modules(t, program.Node, test.handler, &records{}, unchanged)
			byHandler[test.handler] = g
		}
		if got := g.post(t, test.path, "hello"); got.status != 200 || got.body != test.body {
			t.Errorf("%s%s: got %d %s, want %s", test.handler, test.path, got.status, got.body, test.body)
		}
	}
}

func TestNodeFindsModulesInFoldersAndPackages(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"src/orders.js":               "exports.handler = async () => require('tea')",
		"node_modules/tea/index.js":   "module.exports = 'Darjeeling'",
		"wrap/package.json":           `{"type":"module"}`,
		"wrap/api.js":                 "import tea from 'tea'; export const list = async () => tea",
		"node_modules/agent/index.js": "exports.handler = async () => 'an agent'",
	} {
		file := filepath.Join(folder, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(file), 0o700))
		must(t, os.WriteFile(file, []byte(text), 0o600))
	}
	must(t, os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"main":"src/orders.js"}`), 0o600))
	for handler, want := range map[string]string{"": "Darjeeling", "src/orders.handler": "Darjeeling", "wrap/api.list": "Darjeeling", "agent.handler": "an agent"} {
		t.Run(handler, func(t *testing.T) {
			g := modules(t, program.Node, handler, &records{}, func(c *Config) { c.Run = folder })
			if got := g.get(t, "/"); got.status != 200 || got.body != `"`+want+`"` {
				t.Errorf("got %d %s, want %s", got.status, got.body, want)
			}
		})
	}
}

func TestNodeErrorsAreTold(t *testing.T) {
	log := &records{}
	g := modules(t, program.Node, "", log, func(c *Config) { c.Scale.Max = 1 })
	wantReason(t, g, "/throw", fault.FunctionError, "TypeError: no such tea")
	wantReason(t, g, "/throw-text", fault.FunctionError, "string: only a text")
	wantReason(t, g, "/own-error", fault.FunctionError, "StockError: out of tea")
	wantReason(t, g, "/circular", fault.FunctionError, "Error: Unable to stringify response body")
	wantReason(t, g, "/unhandled", fault.FunctionError, "Runtime.UnhandledPromiseRejection: Error: lost promise")
	wantReason(t, g, "/uncaught", fault.FunctionError, "thrown by a timer")
	wantReason(t, g, "/exit", fault.FunctionCrashed, "exit status 3")
	if strings.Contains(log.String(), "bootstrap.cjs") {
		t.Error("a trace shows the bootstrap's frames")
	}
	if got := g.post(t, "/", "alive"); got.body != "alive" {
		t.Errorf("afterwards it answers %+v", got)
	}
	callback := modules(t, program.Node, "index.callback", log, unchanged)
	wantReason(t, callback, "/error", fault.FunctionError, "RangeError: called back")
	wantReason(t, callback, "/fail", fault.FunctionError, "Error: failed")
}

func TestNodeStreams(t *testing.T) {
	log := &records{}
	g := modules(t, program.Node, "index.stream", log, func(c *Config) { c.Scale.Max = 1 })
	got := g.get(t, "/")
	if got.status != 201 || got.body != "first second" || got.err != nil || got.header.Get("Content-Type") != "text/plain" ||
		!slices.Equal(got.header.Values("Set-Cookie"), []string{"a=1", "b=2"}) {
		t.Errorf("got %+v", got)
	}
	if got := g.get(t, "/raw"); got.status != 200 || got.body != "a,b" || got.header.Get("Content-Type") != "text/csv" {
		t.Errorf("got %+v", got)
	}
	if got := g.get(t, "/large"); got.err != nil || len(got.body) != 8<<20 {
		t.Errorf("got %d bytes, %v", len(got.body), got.err)
	}
	if got := g.get(t, "/midway"); got.err == nil || got.body != "first " {
		t.Errorf("got %q and the error %v, want the first part and an abort", got.body, got.err)
	}
	wantReason(t, g, "/before", fault.FunctionError, "Error: before the first byte")
	wantReason(t, g, "/quiet", fault.FunctionError, "Runtime.StreamNotEnded")
	if got := g.get(t, "/raw"); got.body != "a,b" {
		t.Errorf("afterwards it answers %+v", got)
	}
}

func TestNodeAnswersSeveralAtOnceWhereItMay(t *testing.T) {
	const together = 4
	log := &records{}
	g := modules(t, program.Node, "", log, func(c *Config) { c.Scale.Max, c.Scale.Concurrency = 1, together })
	for range 3 {
		var clients sync.WaitGroup
		for range together {
			clients.Go(func() {
				if got, err := g.send(fmt.Sprintf("/meet?of=%d", together), ""); err != nil || got.status != 200 || !strings.HasSuffix(got.body, `"met":4}`) {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
		clients.Wait()
	}
	lines := func() map[string]bool {
		ids := map[string]bool{}
		for line := range strings.Lines(log.String()) {
			if before, _, ok := strings.Cut(line, `\tINFO\twaits for the others`); ok {
				ids[before[strings.LastIndex(before, `\t`)+2:]] = true
			}
		}
		return ids
	}
	await.That(t, "each line has its own invocation's id", func() bool { return len(lines()) == 3*together })
	wantReason(t, g, "/throw", fault.FunctionError, "TypeError: no such tea")
	if got := g.post(t, "/undefined", "x"); got.body != "null" {
		t.Errorf("got %+v", got)
	}
}

func TestAnAgentIsToldOfInvocationsAndOfTheEnd(t *testing.T) {
	log := &records{}
	g := modules(t, program.Node, "agent.handler", log, func(c *Config) { c.Scale.Idle = shortestIdle })
	if got := g.get(t, "/"); got.body != "200" {
		t.Errorf("got %+v", got)
	}
	for _, event := range []string{"INVOKE", "got platform.initStart,platform.telemetrySubscription", "platform.report", "SHUTDOWN"} {
		await.That(t, "the agent says "+event, func() bool { return strings.Contains(log.String(), event) })
	}
	await.That(t, "the instance ends", func() bool { return g.Status().Instances == 0 })
}

func TestPythonHandlers(t *testing.T) {
	tests := []struct{ handler, path, body string }{
		{"", "/", "hello"}, // AWS's default, lambda_function.lambda_handler
		{"", "/decimal", `{"price": 4.2, "name": "Grüner Tee"}`},
		{"shop.orders.handler", "/", `"no function"`},
		{"shop/orders.handler", "/", `"no function"`},
	}
	for _, test := range tests {
		t.Run(test.handler+test.path, func(t *testing.T) {
			g := modules(t, program.Python, test.handler, &records{}, unchanged)
			if got := g.post(t, test.path, "hello"); got.status != 200 || got.body != test.body {
				t.Errorf("got %d %s, want %s", got.status, got.body, test.body)
			}
		})
	}
}

func TestPythonErrorsAreTold(t *testing.T) {
	log := &records{}
	g := modules(t, program.Python, "", log, func(c *Config) { c.Scale.Max = 1 })
	wantReason(t, g, "/throw", fault.FunctionError, "KeyError: 'no such tea'")
	await.That(t, "the log has the trace", func() bool { return strings.Contains(log.String(), "line 13, in lambda_handler") })
	wantReason(t, g, "/unmarshal", fault.FunctionError, "Runtime.MarshalError: Unable to marshal response: Object of type datetime is not JSON serializable")
	wantReason(t, g, "/exit", fault.FunctionCrashed, "exit status 3")
	if strings.Contains(log.String(), "bootstrap.py") {
		t.Error("a trace shows the bootstrap's frames")
	}
	got := decode[struct{ Left []string }](t, g.get(t, "/pid"))
	if slices.Contains(got.Left, "__pycache__") {
		t.Error("files are written beside the user's")
	}
}

func TestPythonIsAskedToEnd(t *testing.T) {
	log := &records{}
	g := modules(t, program.Python, "graceful.lambda_handler", log, func(c *Config) { c.Scale.Idle = shortestIdle })
	if got := g.get(t, "/"); got.body != `"alive"` {
		t.Errorf("got %+v", got)
	}
	await.That(t, "it says that it was asked", func() bool { return len(log.find("asked to end")) == 1 })
}

func TestHooksOfSnapshotsAreCalledWhereTheyAreAskedFor(t *testing.T) {
	const snapStart = "AWS_LAMBDA_INITIALIZATION_TYPE"
	for kind, want := range map[string]string{
		"snap-start": `["before: second", "before: first", "after: third", "after: fourth"]`, "on-demand": `[]`, // the latest first, and then the earliest
	} {
		g := modules(t, program.Python, "snapped.lambda_handler", &records{}, func(c *Config) { c.Env = env(t, snapStart, kind) })
		if got := g.get(t, "/"); got.body != want {
			t.Errorf("%s: got %s, want %s", kind, got.body, want)
		}
	}
	g := modules(t, program.Python, "snapped.lambda_handler", &records{}, func(c *Config) { c.Env = env(t, snapStart, "snap-start", "FAILS", "1") })
	wantReason(t, g, "/", fault.FunctionInit, "OSError: the connection cannot be made anew")
}

func TestModulesSeeTheirContext(t *testing.T) {
	for runtime, version := range map[program.Runtime]string{program.Node: "AWS_Lambda_nodejs", program.Python: "AWS_Lambda_python3."} {
		t.Run(string(runtime), func(t *testing.T) {
			g := modules(t, runtime, "", &records{}, func(c *Config) { c.Memory, c.Timeout = 256<<20, time.Minute })
			got := decode[struct {
				FunctionName, FunctionVersion, MemoryLimitInMB, AwsRequestID, InvokedFunctionArn, LogGroupName, Trace, Env string
				Left                                                                                                       int
			}](t, g.get(t, "/context"))
			if got.FunctionName != "orders" || got.FunctionVersion != "$LATEST" || got.MemoryLimitInMB != "256" || len(got.AwsRequestID) != 36 ||
				got.InvokedFunctionArn != "arn:aws:lambda:"+testRegion+":000000000000:function:orders" || got.LogGroupName != "/aws/lambda/orders" ||
				!strings.HasPrefix(got.Trace, "Root=1-") || !strings.HasPrefix(got.Env, version) || got.Left <= 0 || got.Left > 60_000 {
				t.Errorf("the context is %+v", got)
			}
		})
	}
}

func TestLinesOfModulesCarryTheInvocationsID(t *testing.T) {
	tests := map[program.Runtime][]string{
		program.Node:   {`\tINFO\tone 1"`, `\tERROR\ttwo\rlines"`},
		program.Python: {`"no newline, one"`, `"[WARNING]\t`, `\ttwo"`},
	}
	for runtime, want := range tests {
		t.Run(string(runtime), func(t *testing.T) {
			log := &records{}
			g := modules(t, runtime, "", log, unchanged)
			g.get(t, "/log")
			for _, part := range want {
				await.That(t, fmt.Sprintf("the log has %s", part), func() bool { return strings.Contains(log.String(), part) })
			}
			if strings.Contains(log.String(), "below the level") {
				t.Error("the level is not WARNING")
			}
		})
	}
}

func TestModulesThatCannotBeLoadedSayWhy(t *testing.T) {
	tests := []struct {
		runtime         program.Runtime
		handler, reason string
	}{
		{program.Node, "broken.handler", "Runtime.UserCodeSyntaxError: SyntaxError: Unexpected token ';'"},
		{program.Node, "lost.handler", "Runtime.ImportModuleError: Error: Cannot find module 'there-is-no-such-module'"},
		{program.Node, "missing.handler", "Runtime.ImportModuleError: Error: Cannot find module 'missing'"},
		{program.Node, "thrower.handler", "RangeError: while it was loaded"},
		{program.Node, "index.missing", "Runtime.HandlerNotFound: index.missing is undefined or not exported"},
		{program.Node, "index.text", "Runtime.HandlerNotFound: index.text is not a function"},
		{program.Node, "index.missing", "a server that listens on PORT is run by contract: http"},
		{program.Python, "broken.lambda_handler", "Runtime.UserCodeSyntaxError: Syntax error in module 'broken'"},
		{program.Python, "lost.lambda_handler", "Runtime.ImportModuleError: Unable to import module 'lost': No module named 'there_is_no_such_module'"},
		{program.Python, "thrower.lambda_handler", "RuntimeError: while it was loaded"},
		{program.Python, "lambda_function.missing", "Runtime.HandlerNotFound: Handler 'missing' missing on module 'lambda_function'"},
		{program.Python, "lambda_function.text", "Runtime.HandlerNotFound"},
	}
	for _, test := range tests {
		t.Run(test.handler, func(t *testing.T) {
			g := modules(t, test.runtime, test.handler, &records{}, unchanged)
			wantProblem(t, g.get(t, "/"), 503, "function-init-failed")
			if problem := g.Status().Problem; !strings.Contains(problem, test.reason) {
				t.Errorf("the status says %q, want %q", problem, test.reason)
			}
		})
	}
}

func TestNodesHeapIsPartOfItsMemory(t *testing.T) {
	g := modules(t, program.Node, "", &records{}, func(c *Config) { c.Memory = 512 << 20 })
	if got := g.get(t, "/pid"); !strings.Contains(got.body, `"--max-old-space-size=384"`) {
		t.Errorf("it was started with %s", got.body)
	}
	type bound struct{ Own, Worker float64 } // in MiB, room for what is new and young included
	if got := decode[bound](t, g.get(t, "/heap")); got.Own < 384 || got.Own > 512 || got.Worker < 384 || got.Worker > 512 {
		t.Errorf("the bounds of heaps are %+v MiB, want 384 and a little", got)
	}
}

func TestAnInstanceThatUsesTooMuchMemoryIsKilledAndSaysSo(t *testing.T) {
	if goruntime.GOOS != "linux" {
		t.Skip("memory is told there, and not held")
	}
	g := modules(t, program.Python, "eater.lambda_handler", &records{}, func(c *Config) { c.Memory, c.Scale.Max = 64<<20, 1 })
	for range 2 { // the second is another instance
		wantReason(t, g, "/", fault.FunctionCrashed, "killed for its memory")
	}
}

func TestWithoutAnInterpreterOneFunctionAnswers503(t *testing.T) {
	for runtime, fix := range map[program.Runtime]string{program.Node: "install Node.js", program.Python: "install Python"} {
		t.Run(string(runtime), func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			log := &records{}
			folder, err := filepath.Abs(filepath.Join("testdata", string(runtime)))
			must(t, err)
			change := func(c *Config) { c.Run = folder }
			g := serve(t, start(t, log, change))
			wantProblem(t, g.get(t, "/"), 503, "function-init-failed")
			if problem := g.Status().Problem; !strings.Contains(problem, fix) {
				t.Errorf("the status says %q, want %q", problem, fix)
			}
			definition := Definition()
			cfg := definition.New()
			change(cfg.(*Config))
			warned := definition.Warn(function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve, Dir: "."}, cfg)
			if len(warned) != 1 || !strings.Contains(warned[0].Fix, fix) {
				t.Errorf("the check warns %v", warned)
			}
		})
	}
}

func TestServersForInterpretersListenOnTheirPort(t *testing.T) {
	for file, text := range map[string]string{
		"server.mjs": `import { createServer } from 'node:http'
createServer((request, response) => response.end('served by node')).listen(process.env.PORT, process.env.HOST)`,
		"server.py": `import http.server, os
class Tea(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"served by python")
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Tea).serve_forever()`,
	} {
		t.Run(file, func(t *testing.T) {
			runtime := map[string]program.Runtime{".mjs": program.Node, ".py": program.Python}[filepath.Ext(file)]
			folder := t.TempDir()
			must(t, os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600))
			g := modules(t, runtime, "", &records{}, func(c *Config) { c.Run, c.Contract = filepath.Join(folder, file), program.HTTP })
			if got := g.get(t, "/"); got.body != "served by "+string(runtime) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAFolderOfTheVirtualEnvironmentWins(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 here; test/deps.sh installs it")
	}
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "lambda_function.py"), []byte("import sys\ndef lambda_handler(event, context):\n    return sys.prefix\n"), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "python3", "-m", "venv", "--without-pip", filepath.Join(folder, ".venv")).CombinedOutput()
	if err != nil {
		t.Skipf("python3 makes no virtual environments here: %v %s", err, out)
	}
	g := modules(t, program.Python, "", &records{}, func(c *Config) { c.Run = folder })
	if got := g.get(t, "/"); !strings.Contains(got.body, ".venv") {
		t.Errorf("it is run in %s", got.body)
	}
}

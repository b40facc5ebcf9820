package local

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// extended is a function with external extensions.
type extended struct {
	*gateway

	log  *records
	file string // the journal
}

// withExtensions starts the function of testdata/lambda with programs of testdata in its folder
// extensions: NAME=PROGRAM. how is what an agent does (see testdata/agent).
func withExtensions(t *testing.T, how string, change func(*Config), programs ...string) *extended {
	t.Helper()
	dir := t.TempDir()
	install(t, "lambda", filepath.Join(dir, "bootstrap"))
	for _, one := range programs {
		name, from, _ := strings.Cut(one, "=")
		install(t, from, filepath.Join(dir, "extensions", name))
	}
	e := &extended{log: &records{}, file: filepath.Join(t.TempDir(), "journal")}
	e.gateway = serve(t, start(t, e.log, func(c *Config) {
		c.Run = dir
		c.Env = env(t, "JOURNAL", e.file)
		if how != "" {
			c.Env["AGENT"] = env(t, "AGENT", how)["AGENT"]
		}
		change(c)
	}))
	return e
}

// install copies a program of testdata to where a function's folder has it.
func install(t *testing.T, name, to string) {
	t.Helper()
	if runtime.GOOS == "windows" && filepath.Base(to) != "bootstrap" {
		to += ".exe"
	}
	content, err := os.ReadFile(testFunction(t, name))
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(to), 0o700))
	must(t, os.WriteFile(to, content, 0o700))
}

// journal gives the lines that agents have written.
func (e *extended) journal() []string {
	raw, _ := os.ReadFile(e.file)
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

func (e *extended) awaitLine(t *testing.T, line string) {
	t.Helper()
	await.That(t, "the journal has "+line, func() bool { return slices.Contains(e.journal(), line) })
}

func TestExtensionsAreStartedBesideTheFunctionAndEndAfterIt(t *testing.T) {
	e := withExtensions(t, "tells", func(c *Config) { c.Scale.Max, c.Scale.Idle = 1, shortestIdle }, "one=agent", "two=agent")
	told := decode[struct{ Env []string }](t, e.get(t, "/env"))
	temp := ""
	for _, variable := range told.Env {
		if folder, ok := strings.CutPrefix(variable, "TMPDIR="); ok {
			temp = folder
		}
	}
	lines := e.journal()
	for _, want := range []string{
		"one begins " + temp, "two begins " + temp, "one registered", "two registered",
		"one has AWS_LAMBDA_FUNCTION_NAME=orders", "one has AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "two has JOURNAL=" + e.file, "one has AWS_REGION=" + testRegion,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is not in the journal", want)
		}
	}
	for _, line := range lines {
		for _, runtimes := range []string{"_HANDLER=", "LAMBDA_TASK_ROOT=", "LAMBDA_RUNTIME_DIR=", "AWS_EXECUTION_ENV=", "AWS_LAMBDA_LOG_"} {
			if strings.Contains(line, " has "+runtimes) {
				t.Errorf("an extension was told what is the runtime's: %s", line)
			}
		}
	}
	for _, name := range []string{"one", "two"} {
		await.That(t, "the line of "+name+" is logged", func() bool { return len(e.log.find("registered as "+name)) > 0 })
		if found := e.log.find("registered as " + name); len(found) != 1 || found[0]["extension"] != name || found[0]["function"] != nil && found[0]["stream"] != "stdout" {
			t.Errorf("the line of %s is logged as %v", name, found)
		}
		e.awaitLine(t, name+" shutdown SPINDOWN")
	}
	await.That(t, "nothing is left", func() bool { return e.Status().Instances == 0 })
	if note := e.Status().Note; !strings.Contains(note, "extensions one, two") {
		t.Errorf("the status says %q", note)
	}
}

func TestAnInstanceIsFreeWhenItsExtensionsAre(t *testing.T) {
	e := withExtensions(t, "works slowly", func(c *Config) { c.Scale.Max = 1 }, "one=agent")
	first, second := decode[struct{ PID int }](t, e.get(t, "/pid")), decode[struct{ PID int }](t, e.get(t, "/pid"))
	if first != second {
		t.Errorf("the second request was answered by another instance")
	}
	if done := slices.DeleteFunc(e.journal(), func(line string) bool { return !strings.HasPrefix(line, "one done with ") }); len(done) == 0 {
		t.Error("it was answered before the extension was done with the first one")
	}
}

func TestExtensionsThatFailKeepAnInstanceFromStarting(t *testing.T) {
	tests := map[string]string{
		"never registers":       "it was not ready after 1s; the extension one has not registered",
		"never asks":            "it was not ready after 5s; the extension one has not asked for its first event",
		"exits":                 "Extension.Crash: one: exit status 3",
		"exits when registered": "Extension.Crash: one: exit status 0",
		"refuses":               "Agent.NoKey: there is no key",
	}
	for how, want := range tests {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			e := withExtensions(t, how, func(c *Config) {
				switch c.Init = new(30 * time.Second); how {
				case "never registers":
					c.Init = new(time.Second)
				case "never asks": // which it is to reach on a slow machine, too
					c.Init = new(5 * time.Second)
				}
				c.Queue.Wait = 30 * time.Second
			}, "one=agent")
			wantProblem(t, e.get(t, "/pid"), http.StatusServiceUnavailable, "function-init-failed")
			if problem := e.Status().Problem; !strings.Contains(problem, want) {
				t.Errorf("the status says %q, want %q", problem, want)
			}
		})
	}
}

func TestAnExtensionThatCannotBeStartedIsToldByName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("what can be executed is told by a file's name there")
	}
	e := withExtensions(t, "", func(c *Config) {
		must(t, os.WriteFile(filepath.Join(c.Run, "extensions", "broken"), []byte("\x7fno program"), 0o700))
		must(t, os.WriteFile(filepath.Join(c.Run, "extensions", "config"), []byte("a: b"), 0o600))
		warnings := warn(function.Env{}, c)
		if len(warnings) != 1 || !strings.Contains(warnings[0].What, filepath.Join("extensions", "config")) || !strings.Contains(warnings[0].Fix, "chmod +x") {
			t.Errorf("the warnings are %+v", warnings)
		}
	}, "one=agent")
	wantProblem(t, e.get(t, "/pid"), http.StatusServiceUnavailable, "function-init-failed")
	if problem := e.Status().Problem; !strings.Contains(problem, "Extension.LaunchError: start ") || !strings.Contains(problem, "broken") {
		t.Errorf("the status says %q", problem)
	}
}

func TestAnExtensionThatEndsTakesItsInstanceWithIt(t *testing.T) {
	e := withExtensions(t, "exits at work", func(c *Config) { c.Timeout = time.Minute }, "one=agent")
	_, err := invoke(t, e.Backend, function.Invocation{Payload: []byte(`{"rawPath":"/hang"}`)})
	if failure := failureOf(t, err, fault.FunctionCrashed); failure.Type != "Extension.Crash" || failure.Message != "one: exit status 4" {
		t.Errorf("the failure is %+v", failure)
	}
}

func TestExtensionsAreToldWhyTheirInstanceEnds(t *testing.T) {
	for path, want := range map[string]struct {
		code, reason string
		status       int
	}{
		"/hang":  {"function-timeout", "TIMEOUT", http.StatusGatewayTimeout},
		"/crash": {"function-crashed", "FAILURE", http.StatusBadGateway},
	} {
		t.Run(path, func(t *testing.T) {
			e := withExtensions(t, "", func(c *Config) {
				if path == "/hang" {
					c.Timeout = 300 * time.Millisecond
				}
			}, "one=agent")
			wantProblem(t, e.get(t, path), want.status, want.code)
			e.awaitLine(t, "one shutdown "+want.reason)
		})
	}
}

func TestExtensionsThatHangAreKilled(t *testing.T) {
	for how, path := range map[string]string{"hangs at the end": "/pid", "hangs at work": "/pid"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			e := withExtensions(t, how, func(c *Config) {
				c.Scale.Idle = shortestIdle
				if how == "hangs at work" {
					c.Timeout = 5 * time.Second // in which it answers on a slow machine, too
				}
			}, "one=agent")
			if got := e.get(t, path); got.status != http.StatusOK {
				t.Errorf("got %+v", got)
			}
			await.That(t, "nothing is left", func() bool { return e.Status().Instances == 0 })
		})
	}
}

func TestLinesOfExtensionsAreToldAsSuch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "telemetry")
	e := withExtensions(t, "", func(c *Config) {
		maps.Copy(c.Env, env(t, "TELEMETRY", file, "READY", file+".ready", "SUBSCRIBE", "/2022-07-01/telemetry", "SCHEMA", "2022-12-13"))
		c.Scale.Max = 1
	}, "collector=extension", "one=agent")
	if got := e.get(t, "/loud"); got.status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	var streams map[string]string
	await.That(t, "all lines are told", func() bool {
		streams = streamsOf(t, file)
		return streams["registered as one"] != "" && streams["one"] != "" && streams["two"] != ""
	})
	if streams["registered as one"] != "extension" || streams["one"] != "function" || streams["two"] != "function" {
		t.Errorf("lines are told as %.300v", streams)
	}
}

// streamsOf gives the lines that a collector has written to file by now, with whose they are.
func streamsOf(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, _ := os.ReadFile(file) // it may not be there yet
	streams := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if !strings.HasSuffix(line, "\n") {
			break // half written
		}
		var one told
		must(t, json.Unmarshal([]byte(line), &one))
		var text string
		if json.Unmarshal(one.Record, &text) == nil {
			streams[text] = one.Type
		}
	}
	return streams
}

func TestOnlyProgramsAreExtensions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("what can be executed is told by a file's name there")
	}
	dir := t.TempDir()
	if got := program.Extensions(dir); got != nil {
		t.Errorf("without a folder: %q", got)
	}
	folder := filepath.Join(dir, "extensions")
	must(t, os.MkdirAll(filepath.Join(folder, "lib"), 0o700))
	for name, mode := range map[string]os.FileMode{"b": 0o755, "a.sh": 0o700, ".hidden": 0o755, "data.json": 0o644, "forgotten": 0o644} {
		must(t, os.WriteFile(filepath.Join(folder, name), nil, mode))
	}
	if got := program.Extensions(dir); !slices.Equal(got, []string{filepath.Join(folder, "a.sh"), filepath.Join(folder, "b")}) {
		t.Errorf("extensions are %q", got)
	}
	if got := program.LameExtensions(dir); !slices.Equal(got, []string{filepath.Join(folder, "forgotten")}) {
		t.Errorf("those that cannot be executed are %q", got)
	}
}

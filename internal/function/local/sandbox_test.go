package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// testGuest gives the module of testdata/guests/NAME.
func testGuest(tb testing.TB, name string) string {
	tb.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	file := filepath.Join(built.dir, name+".wasm")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	args := []string{"build", "-buildvcs=false", "-o", file}
	if name == "handler" {
		args = append(args, "-buildmode=c-shared")
	}
	cmd := exec.Command("go", append(args, "./testdata/guests/"+name)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return file
}

// startGuest runs a module. What is compiled is kept for the whole run of the tests.
func startGuest(tb testing.TB, log *records, name string, change func(*Config)) *gateway {
	tb.Helper()
	module := testGuest(tb, name)
	tb.Setenv("XDG_CACHE_HOME", built.dir)
	return serve(tb, start(tb, log, func(c *Config) {
		c.Run, c.Queue.Wait = module, 5*time.Minute // to compile it with the race detector takes long
		change(c)
	}))
}

func TestWasmHandlersAreKept(t *testing.T) {
	g := startGuest(t, &records{}, "handler", func(c *Config) { c.Scale.Max = 1 })
	for _, want := range []string{"1", "2", "3"} {
		if got := g.get(t, "/served"); got.body != want {
			t.Errorf("it has served %s, want %s", got.body, want)
		}
	}
	if got := g.post(t, "/echo", "hello"); got.status != 201 || got.body != "hello" || got.header.Get("Content-Length") != "5" {
		t.Errorf("got %+v", got)
	}
	if note := g.Status().Note; !strings.Contains(note, "contract wasm, for the file is a WebAssembly module") {
		t.Errorf("the status says %q", note)
	}
}

func TestWasmEnvironmentIsTheConfigs(t *testing.T) {
	g := startGuest(t, &records{}, "handler", func(c *Config) { c.Env, c.Args = env(t, "TABLE", "orders"), []string{"-v"} })
	if got := g.get(t, "/seen"); !strings.Contains(got.body, "env TABLE=orders, args orders -v\n") {
		t.Errorf("got %s", got.body)
	}
}

func TestWasmCommandsAreRunAnew(t *testing.T) {
	log := &records{}
	g := startGuest(t, log, "command", unchanged)
	if got := g.post(t, "/echo", "hello"); got.status != 201 || got.body != "hello" {
		t.Errorf("got %+v", got)
	}
	g.get(t, "/log")
	await.That(t, "its line is logged", func() bool { return len(log.find("to stderr")) > 0 })
	if found := log.find("to stderr"); len(found) != 1 || found[0]["stream"] != "stderr" || found[0]["request"] != "id-of/log" {
		t.Errorf("the log tells %v", found)
	}
	wantProblem(t, g.get(t, "/trap"), 502, "function-crashed")
	wantProblem(t, g.get(t, "/exit"), 502, "function-crashed")
	wantProblem(t, g.get(t, "/text"), 502, "function-invalid-response")
	if found := log.find("a run of the function ended by itself"); len(found) != 2 || !strings.Contains(found[0]["error"].(string), "panic: out of tea") {
		t.Errorf("the log tells %v", found)
	}
}

func TestWasmFailuresAreProblems(t *testing.T) {
	log := &records{}
	g := startGuest(t, log, "handler", unchanged)
	wantProblem(t, g.get(t, "/trap"), 502, "function-crashed")
	await.That(t, "its end is logged", func() bool { return len(log.find("an instance ended by itself")) > 0 })
	if found := log.find("an instance ended by itself"); len(found) != 1 || !strings.Contains(found[0]["error"].(string), "wasm stack trace") || !strings.Contains(found[0]["error"].(string), "panic: out of tea") {
		t.Errorf("the log tells %v", found)
	}
	wantProblem(t, g.get(t, "/next"), 502, "function-invalid-response")
	wantProblem(t, g.post(t, "/hello", strings.Repeat("x", 7<<20)), 413, "function-payload-too-large")
	hurried := startGuest(t, &records{}, "handler", func(c *Config) { c.Timeout = 500 * time.Millisecond })
	wantProblem(t, hurried.get(t, "/loop"), 504, "function-timeout")
	if got := hurried.inTime(t, "/hello", ""); got.body != "hello" {
		t.Errorf("afterwards it answers %+v", got)
	}
}

func TestWasmInitFailures(t *testing.T) {
	for how, test := range map[string]struct {
		init   time.Duration
		reason string
	}{
		"trap": {time.Minute, "cannot find my config"},
		"hang": {200 * time.Millisecond, "it was not ready after 200ms"},
	} {
		t.Run(how, func(t *testing.T) {
			g := startGuest(t, &records{}, "handler", func(c *Config) { c.Env, c.Init = env(t, "INIT", how), new(test.init) })
			wantProblem(t, g.get(t, "/hello"), 503, "function-init-failed")
			if problem := g.Status().Problem; !strings.Contains(problem, test.reason) {
				t.Errorf("the status says %q, want %q", problem, test.reason)
			}
		})
	}
}

// The pool scales sandboxes as it does processes.
func TestWasmScales(t *testing.T) {
	g := startGuest(t, &records{}, "handler", func(c *Config) { c.Scale.Max, c.Scale.Idle = 4, shortestIdle })
	g.get(t, "/hello")
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 20 {
				if got, err := g.send("/clock", ""); err != nil || got.status != 200 {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	clients.Wait()
	if s := g.Status(); s.Instances > 4 {
		t.Errorf("there are %d instances, at most 4 are allowed", s.Instances)
	}
	await.That(t, "the instances end", func() bool { return g.Status().Instances == 0 })
}

// A Go program is built as a module where the contract says so, and as one that is
// kept where it exports a handler.
func TestAGoFolderIsBuiltAsAModule(t *testing.T) {
	ownCache(t)
	t.Setenv("XDG_CACHE_HOME", built.dir) // what was compiled of the same module counts
	for name, path := range map[string]string{"command": "/echo", "handler": "/echo"} {
		g := serve(t, start(t, &records{}, func(c *Config) {
			c.Run, c.Contract, c.Queue.Wait = abs(t, "testdata/guests/"+name), program.Wasm, 3*time.Minute
		}))
		if got := g.post(t, path, "built"); got.status != 201 || got.body != "built" {
			t.Errorf("%s: got %+v; %s", name, got, g.Status().Problem)
		}
	}
}

func TestWhatIsNoModuleIsToldAtLoad(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"component": "\x00asm\x0d\x00\x01\x00", "half.wasm": "\x00as", "script": "#!/bin/sh\n"} {
		must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o700))
	}
	for run, want := range map[string]string{"component": "it is a component", "half.wasm": "no WebAssembly binary"} {
		c := defaults()
		c.Run = run
		if _, err := c.find(folder, "tea"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", run, err, want)
		}
	}
	c := defaults()
	c.Run, c.Contract = "script", program.Wasm
	if _, err := c.find(folder, "tea"); err == nil || !strings.Contains(err.Error(), "no WebAssembly binary") {
		t.Errorf("the error is %v", err)
	}
}

// moduleThatSays makes a module of 200 bytes that answers each request with text.
func moduleThatSays(text string) []byte {
	answer := "Content-Type: text/plain\n\n" + text
	section := func(id byte, content ...byte) []byte { return append([]byte{id, byte(len(content))}, content...) }
	name := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	const at = 8 // of the text, behind the vector that says where it is
	data := append([]byte{at, 0, 0, 0, byte(len(answer)), 0, 0, 0}, answer...)
	return slices.Concat(
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, 2, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f, 0x60, 0, 0),                                     // (i32 i32 i32 i32) -> i32, () -> ()
		section(2, slices.Concat([]byte{1}, name("wasi_snapshot_preview1"), name("fd_write"), []byte{0, 0})...), // function 0
		section(3, 1, 1),    // function 1
		section(5, 1, 0, 1), // a page of memory
		section(7, slices.Concat([]byte{2}, name("memory"), []byte{2, 0}, name("_start"), []byte{0, 1})...), // both exported
		section(10, 1, 14, 0, 0x41, 1, 0x41, 0, 0x41, 1, 0x41, 0xc0, 0, 0x10, 0, 0x1a, 0x0b),                // the text goes to stdout
		section(11, slices.Concat([]byte{1, 0, 0x41, 0, 0x0b, byte(len(data))}, data)...),
	)
}

func TestANewModuleTakesOverUnderLoadAndLosesNothing(t *testing.T) {
	ownCache(t)
	log := &records{}
	file := filepath.Join(t.TempDir(), "tea.wasm")
	put := func(module []byte) {
		t.Helper()
		must(t, os.WriteFile(file+".new", module, 0o600))
		must(t, os.Rename(file+".new", file))
	}
	put(moduleThatSays("1"))
	g := serve(t, start(t, log, func(c *Config) { c.Run, c.Scale.Max, c.Queue.Wait = file, 4, await.Patience }))
	await.That(t, "the version is known", func() bool { return g.Status().Version != "" })
	var clients sync.WaitGroup
	var served atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			newest := "1"
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := g.send("/", "")
				if err != nil || got.status != 200 || got.body < newest {
					t.Errorf("after version %s got %+v, %v", newest, got, err)
					return
				}
				newest = got.body
				served.Add(1)
			}
		})
	}
	for _, version := range []string{"2", "3"} {
		before := g.Status().Version
		put(moduleThatSays(version))
		await.That(t, "another version serves", func() bool { return g.Status().Version != before })
		if got := g.get(t, "/"); got.body != version {
			t.Errorf("version %s answers, want %s", got.body, version)
		}
	}
	good := g.Status().Version
	put([]byte("\x00asm\x01\x00\x00\x00 is half a module"))
	await.That(t, "the broken one is told", func() bool { return g.Status().Newer != "" })
	if got := g.get(t, "/"); got.body != "3" || g.Status().Version != good {
		t.Errorf("beside a broken one version %s answers", got.body)
	}
	put(moduleThatSays("4"))
	await.That(t, "the next one serves", func() bool { return g.Status().Version != good })
	close(stop)
	clients.Wait()
	if got := g.get(t, "/"); got.body != "4" || served.Load() == 0 {
		t.Errorf("version %s answers at the end, after %d", got.body, served.Load())
	}
}

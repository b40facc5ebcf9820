package local

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// versionOf gives the program of testdata/lambda in that version.
func versionOf(tb testing.TB, version string) string {
	tb.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	file := filepath.Join(built.dir, "lambda-"+version+filepath.Ext(os.Args[0]))
	if _, err := os.Stat(file); err == nil {
		return file
	}
	cmd := exec.Command("go", "build", "-ldflags=-X main.version="+version, "-o", file, "./testdata/lambda")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %s", err, out)
	}
	return file
}

// deploy puts a copy of program in the place of file, as `install` does.
func deploy(tb testing.TB, program, file string) {
	tb.Helper()
	raw, err := os.ReadFile(program)
	must(tb, err)
	beside := file + ".new"
	must(tb, os.WriteFile(beside, raw, 0o700))
	must(tb, os.Rename(beside, file))
}

// startDeployed runs version 1 of the function from a file that may be replaced.
func startDeployed(tb testing.TB, log *records, change func(*Config)) (g *gateway, file string) {
	tb.Helper()
	file = filepath.Join(tb.TempDir(), "bootstrap"+filepath.Ext(os.Args[0]))
	deploy(tb, versionOf(tb, "1"), file)
	g = serve(tb, start(tb, log, func(c *Config) {
		c.Run, c.Contract = file, program.Lambda
		change(c)
	}))
	await.That(tb, "the version is known", func() bool { return g.Status().Version != "" })
	return g, file
}

type whichVersion struct {
	Version string
	PID     int
}

func TestANewVersionTakesOverUnderLoadAndLosesNothing(t *testing.T) {
	ownCache(t)
	log := &records{}
	g, file := startDeployed(t, log, func(c *Config) { c.Scale.Max = 4 })
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
				got, err := g.send("/version", "")
				if err != nil || got.status != http.StatusOK {
					t.Errorf("got %+v, %v", got, err)
					return
				}
				if at := decode[whichVersion](t, got).Version; at < newest {
					t.Errorf("version %s answered after %s", at, newest)
				} else {
					newest = at
				}
				served.Add(1)
			}
		})
	}
	for _, version := range []string{"2", "3"} {
		before := g.Status().Version
		deploy(t, versionOf(t, version), file)
		await.That(t, "another version serves", func() bool { return g.Status().Version != before })
		if got := decode[whichVersion](t, g.get(t, "/version")).Version; got != version {
			t.Errorf("version %s answers, want %s", got, version)
		}
	}
	close(stop)
	clients.Wait()
	// It is told a moment after it is so.
	await.That(t, "both are told", func() bool { return len(log.find("a new version of the function serves")) == 2 })
	if served.Load() == 0 {
		t.Errorf("none were served, and the log says\n%s", log)
	}
}

func TestAVersionThatDoesNotStartLeavesTheOneBefore(t *testing.T) {
	ownCache(t)
	log := &records{}
	g, file := startDeployed(t, log, unchanged)
	first := decode[whichVersion](t, g.get(t, "/version"))
	id := g.Status().Version
	deploy(t, versionOf(t, "broken"), file)
	await.That(t, "it is said", func() bool { return strings.Contains(g.Status().Newer, "Runtime.ImportModuleError: no such module") })
	const logged = "a new version of the function cannot be started; the one before serves on"
	await.That(t, "it is logged", func() bool { return len(log.find(logged)) > 0 })
	if s := g.Status(); s.Version != id || s.Problem != "" || len(log.find(logged)) != 1 {
		t.Errorf("the status is %+v, and the log says\n%s", s, log)
	}
	kill(t, first.PID) // so that it must be started anew, from what is there no more
	await.That(t, "another instance of the same version serves", func() bool {
		got, err := g.send("/version", "")
		return err == nil && got.status == http.StatusOK && decode[whichVersion](t, got).PID != first.PID && decode[whichVersion](t, got).Version == "1"
	})
	deploy(t, versionOf(t, "1"), file)
	await.That(t, "all is well again", func() bool { return g.Status().Newer == "" })
	deploy(t, versionOf(t, "2"), file)
	await.That(t, "the next one serves", func() bool { return g.Status().Version != id })
	if got := decode[whichVersion](t, g.get(t, "/version")).Version; got != "2" {
		t.Errorf("version %s answers", got)
	}
}

// What is half written may look like a program. What counts is whether it starts.
func TestHalfAProgramIsNoVersion(t *testing.T) {
	ownCache(t)
	g, file := startDeployed(t, &records{}, unchanged)
	id := g.Status().Version
	whole, err := os.ReadFile(versionOf(t, "2"))
	must(t, err)
	must(t, os.Remove(file))
	must(t, os.WriteFile(file, whole[:len(whole)/2], 0o700))
	await.That(t, "it was tried", func() bool { return g.Status().Newer != "" })
	if got := decode[whichVersion](t, g.get(t, "/version")).Version; got != "1" || g.Status().Version != id {
		t.Errorf("version %s answers", got)
	}
	must(t, os.WriteFile(file, whole, 0o700))
	await.That(t, "the whole one serves", func() bool { return g.Status().Version != id })
}

func TestWithoutWatchAReloadTakesAChangeOver(t *testing.T) {
	ownCache(t)
	var cfg *Config
	g, file := startDeployed(t, &records{}, func(c *Config) { c.Watch, cfg = false, c })
	id := g.Status().Version
	deploy(t, versionOf(t, "2"), file)
	if got := decode[whichVersion](t, g.get(t, "/version")).Version; got != "1" && got != "2" { // it is started from what is there
		t.Errorf("version %s answers", got)
	}
	if g.Status().Version != id {
		t.Error("the change was taken over by itself")
	}
	g.Tune(cfg)
	await.That(t, "the new version serves", func() bool { return g.Status().Version != id })
	if got := decode[whichVersion](t, g.get(t, "/version")).Version; got != "2" {
		t.Errorf("version %s answers", got)
	}
}

const versionedMain = `package main

import (
	"fmt"
	"net/http"
	"os"

	"shop.dev/shared"
)

func main() {
	_ = http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, %q, shared.Text)
	}))
}
`

// goModule makes a module with a function, orders, that says "one a", and with the package it has the "a" of. It gives
// what writes its files.
func goModule(t *testing.T) (top string, write func(path, text string)) {
	t.Helper()
	top = t.TempDir()
	write = func(path, text string) {
		path = filepath.Join(top, filepath.FromSlash(path))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write("go.mod", "module shop.dev\n\ngo 1.24\n")
	write("shared/shared.go", "package shared\n\nconst Text = \"a\"\n")
	write("orders/main.go", fmt.Sprintf(versionedMain, "one "))
	return top, write
}

func TestAnEditOfGoSourceIsBuiltAndTakesOver(t *testing.T) {
	ownCache(t)
	top, write := goModule(t)
	g := serve(t, start(t, &records{}, func(c *Config) { c.Run, c.Queue.Wait = filepath.Join(top, "orders"), time.Minute }))
	answers := func(want string) {
		t.Helper()
		await.That(t, "it answers "+want, func() bool {
			got, err := g.send("/", "")
			if err != nil || got.status != http.StatusOK {
				t.Errorf("a request was lost: %+v, %v", got, err)
			}
			return got.body == want
		})
	}
	answers("one a")
	write("orders/main.go", fmt.Sprintf(versionedMain, "two "))
	answers("two a")
	await.That(t, "packages elsewhere are known", func() bool { return g.Backend.(*backend).changes.elsewhere.Load() != nil })
	write("shared/shared.go", "package shared\n\nconst Text = \"b\"\n")
	answers("two b")
	write("orders/main.go", "package main\n\nfunc main() { undefinedName() }\n")
	await.That(t, "it is said", func() bool { return strings.Contains(g.Status().Newer, "undefined: undefinedName") })
	answers("two b")
	write("orders/main.go", fmt.Sprintf(versionedMain, "three "))
	answers("three b")
	if newer := g.Status().Newer; newer != "" {
		t.Errorf("the status still says %q", newer)
	}
}

// TestAnEditElsewhereIsSeenFromTheStart edits what a program is built from beside its folder, in which nothing happens.
func TestAnEditElsewhereIsSeenFromTheStart(t *testing.T) {
	ownCache(t)
	top, write := goModule(t)
	g := serve(t, start(t, &records{}, func(c *Config) { c.Run, c.Queue.Wait = filepath.Join(top, "orders"), time.Minute }))
	answers := func(want string) {
		t.Helper()
		await.That(t, "it answers "+want, func() bool { got, err := g.send("/", ""); return err == nil && got.body == want })
	}
	answers("one a")
	await.That(t, "packages elsewhere are known", func() bool { return g.Backend.(*backend).changes.elsewhere.Load() != nil })
	write("shared/shared.go", "package shared\n\nconst Text = \"b\"\n")
	answers("one b")
}

func TestAnEditOfAModuleTakesOver(t *testing.T) {
	ownCache(t)
	// Python tells by size and second whether a module is what it has compiled before.
	for _, in := range []struct{ command, file, lib, text, before, after, broken string }{
		{
			"node", "index.mjs", "lib/text.mjs", "import { text } from './lib/text.mjs';\nexport const handler = async () => text;\n",
			"export const text = 'one';\n", "export const text = 'second';\n", "export const text = ;\n",
		},
		{
			"python3", "lambda_function.py", "text.py", "from text import text\ndef lambda_handler(event, context): return text\n",
			"text = 'one'\n", "text = 'second'\n", "text = \n",
		},
	} {
		t.Run(in.command, func(t *testing.T) {
			if _, err := exec.LookPath(in.command); err != nil {
				t.Skipf("there is no %s here; test/deps.sh installs it", in.command)
			}
			folder := t.TempDir()
			write := func(name, text string) {
				must(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700))
				must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
			}
			write(in.file, in.text)
			write(in.lib, in.before)
			g := serve(t, start(t, &records{}, func(c *Config) { c.Run, c.Init, c.Queue.Wait = folder, new(time.Minute), time.Minute }))
			if got := g.get(t, "/"); got.body != `"one"` {
				t.Fatalf("got %+v", got)
			}
			await.That(t, "the version is known", func() bool { return g.Status().Version != "" })
			before := g.Status().Version
			write(in.lib, in.after)
			await.That(t, "another version serves", func() bool { return g.Status().Version != before })
			if got := g.get(t, "/"); got.body != `"second"` {
				t.Errorf("got %+v", got)
			}
			write(in.lib, in.broken)
			await.That(t, "it is said", func() bool { return strings.Contains(g.Status().Newer, "yntax") })
			if got := g.get(t, "/"); got.body != `"second"` {
				t.Errorf("with a mistake in a newer version got %+v", got)
			}
		})
	}
}

// Of a function that could not be built at all nothing serves on.
func TestAFunctionThatIsMendedServes(t *testing.T) {
	ownCache(t)
	top := t.TempDir()
	main := filepath.Join(top, "main.go")
	must(t, os.WriteFile(filepath.Join(top, "go.mod"), []byte("module shop.dev\n\ngo 1.24\n"), 0o600))
	must(t, os.WriteFile(main, []byte("package main\n\nfunc main() { firstMistake() }\n"), 0o600))
	g := serve(t, start(t, &records{}, func(c *Config) { c.Run, c.Queue.Wait = top, time.Minute }))
	says := func(want string) {
		t.Helper()
		await.That(t, "it says "+want, func() bool { return strings.Contains(g.Status().Problem, want) })
	}
	says("firstMistake")
	must(t, os.WriteFile(main, []byte("package main\n\nfunc main() { secondMistake() }\n"), 0o600))
	says("secondMistake")
	if newer := g.Status().Newer; newer != "" {
		t.Errorf("the status says of a newer version: %s", newer)
	}
	web, err := os.ReadFile("testdata/web/main.go")
	must(t, err)
	must(t, os.WriteFile(main, web, 0o600))
	await.That(t, "it serves", func() bool {
		got, err := g.send("/", "hello")
		return err == nil && got.body == "hello"
	})
}

func TestANewerVersionIsNotKeptWaitingByOneThatHangs(t *testing.T) {
	ownCache(t)
	log := &records{}
	g, file := startDeployed(t, log, func(c *Config) { c.Init = new(time.Hour) })
	deploy(t, versionOf(t, "hanging"), file)
	await.That(t, "the one that hangs is being started", func() bool { return strings.Contains(log.String(), "hanging as ") })
	deploy(t, versionOf(t, "2"), file)
	await.That(t, "the newer one serves", func() bool { return decode[whichVersion](t, g.get(t, "/version")).Version == "2" })
}

func TestCloseGivesUpAVersionThatIsBeingStarted(t *testing.T) {
	ownCache(t)
	log := &records{}
	file := filepath.Join(t.TempDir(), "bootstrap"+filepath.Ext(os.Args[0]))
	deploy(t, versionOf(t, "1"), file)
	b := start(t, log, func(c *Config) { c.Run, c.Contract, c.Init = file, program.Lambda, new(time.Hour) })
	await.That(t, "the version is known", func() bool { return b.Status().Version != "" })
	deploy(t, versionOf(t, "hanging"), file)
	var pid int
	await.That(t, "the new version is being started", func() bool {
		for line := range strings.Lines(log.String()) {
			if _, rest, ok := strings.Cut(line, `"msg":"hanging as `); ok {
				_, err := fmt.Sscanf(rest, "%d", &pid)
				return err == nil
			}
		}
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	b.(*backend).pool.Close(ctx)
	b.(*backend).unfollow()
	if alive(pid) {
		t.Error("the instance of the new version is alive")
	}
}

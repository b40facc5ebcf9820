package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// env makes the env of a config from names and templates.
func env(tb testing.TB, pairs ...string) map[string]Value {
	tb.Helper()
	made := map[string]Value{}
	for i := 0; i < len(pairs); i += 2 {
		template, err := secret.Parse(pairs[i+1])
		must(tb, err)
		made[pairs[i]] = Value{config.Secret{Template: template}}
	}
	return made
}

func withEnv(c *Config) {
	token, _ := secret.Parse("${env:GATEWAY_SECRET}")
	plain, _ := secret.Parse("text")
	c.Env = map[string]Value{"TOKEN": {config.Secret{Template: token}}, "PLAIN": {config.Secret{Template: plain}}}
}

// childrenOf reads the pids that a test function has put out; none where it has not.
func childrenOf(tb testing.TB, log *records) []int {
	tb.Helper()
	var pids []int
	for line := range strings.Lines(log.String()) {
		if _, rest, ok := strings.Cut(line, `"msg":"children `); ok {
			numbers, _, _ := strings.Cut(rest, `"`)
			for number := range strings.FieldsSeq(numbers) {
				pid, err := strconv.Atoi(number)
				must(tb, err)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func kill(tb testing.TB, pid int) {
	tb.Helper()
	process, err := os.FindProcess(pid)
	must(tb, err)
	if err := process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		must(tb, err)
	}
}

// alive tells whether pid runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && rest != "" && rest[0] != 'Z' && rest[0] != 'X'
}

func TestConfigIsReadWithItsDefaults(t *testing.T) {
	definition := Definition()
	var problems doc.Problems
	node := doc.Parse("weir.yaml", []byte(`run: ./orders
env:
  TOKEN: ${env:TOKEN}
scale: { max: 3, idle: 5s }
`), &problems)
	cfg, _ := definition.New().(*Config)
	doc.Decode(node, cfg, &problems)
	for _, p := range problems.Sorted() {
		t.Error(p)
	}
	if cfg.Run != "./orders" || cfg.Contract != program.Guess || cfg.Scale != (Scale{Max: 3, Idle: 5 * time.Second, Starts: defaultStarts}) || cfg.told() != defaultMemory ||
		cfg.Timeout != defaultTimeout || len(cfg.Env["TOKEN"].Parts) != 1 {
		t.Errorf("the config is %+v", cfg)
	}
	if err := cfg.validate(); err != nil {
		t.Error(err)
	}
}

// To a program, a variable that is empty is another thing than one that is not there.
func TestAVariableMayBeEmpty(t *testing.T) {
	read := func(text string) (*Config, []doc.Problem) {
		var problems doc.Problems
		cfg, _ := Definition().New().(*Config)
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &problems), cfg, &problems)
		return cfg, problems.Sorted()
	}
	cfg, problems := read("run: ./orders\nenv: { NONE: \"\", BLANK: \" \", TOKEN: \"${env:TOKEN}\" }\n")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	printed := doc.Encode(cfg)
	for name, want := range map[string]string{"NONE": "", "BLANK": " "} {
		if value, err := cfg.Env[name].Read(secret.Resolve); err != nil || value.Reveal() != want {
			t.Errorf("%s is %q, %v", name, value.Reveal(), err)
		}
	}
	again, problems := read(string(printed))
	if len(problems) > 0 || len(again.Env) != 3 || !same(cfg, again) {
		t.Errorf("printed it reads %v, %v:\n%s", again.Env, problems, printed)
	}
	if _, problems := read("run: ./orders\nenv: { NONE: }\n"); len(problems) == 0 {
		t.Error("nothing at all is taken for an empty text")
	}
}

func TestTheExampleInTheReadmeIsAConfig(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	_, rest, _ := strings.Cut(string(readme), "```yaml fragment\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	var problems doc.Problems
	cfg, _ := Definition().New().(*Config)
	doc.Decode(doc.Parse("README.md", []byte(example), &problems), cfg, &problems)
	for _, p := range problems.Sorted() {
		t.Error(p)
	}
	if err := cfg.validate(); err != nil {
		t.Error(err)
	}
}

func TestMistakesInAConfigAreToldByKey(t *testing.T) {
	tests := map[string]func(*Config){
		"run:":               func(c *Config) { c.Run = "" },
		"contract:":          func(c *Config) { c.Contract = "grpc" },
		"scale.max:":         func(c *Config) { c.Scale.Max = 0 },
		"scale.min:":         func(c *Config) { c.Scale.Min = 9 },
		"scale.idle:":        func(c *Config) { c.Scale.Idle = 0 },
		"scale.starts:":      func(c *Config) { c.Scale.Starts = 0 },
		"scale.concurrency:": func(c *Config) { c.Scale.Concurrency = 5000 },
		"queue.size:":        func(c *Config) { c.Queue.Size = -1 },
		"queue.wait:":        func(c *Config) { c.Queue.Wait = 0 },
		"timeout:":           func(c *Config) { c.Timeout = 0 },
		"init: -1ns":         func(c *Config) { c.Init = new(time.Duration(-1)) },
		"init: 0s":           func(c *Config) { c.Init = new(time.Duration(0)) },
		"init: 1ns":          func(c *Config) { c.Init = new(time.Nanosecond) },
		"timeout: 1ns":       func(c *Config) { c.Timeout = 1 },
		"memory:":            func(c *Config) { c.Memory = 1000 },
		"args:":              func(c *Config) { c.Args = []string{"\x00"} },
		"env.PORT:":          func(c *Config) { c.Env = env(t, "PORT", "80") },
		"env.A B:":           func(c *Config) { c.Env = env(t, "A B", "x") },
		"env.NUL:":           func(c *Config) { c.Env = env(t, "NUL", "${env:A}\x00") },
	}
	for key, spoil := range tests {
		c := defaults()
		c.Run = "x"
		spoil(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: the error is %v", key, err)
		}
	}
}

func TestCheckLooksAtTheProgramAndBuildsNothing(t *testing.T) {
	definition := Definition()
	env := function.Env{Log: slog.New(slog.DiscardHandler), Secret: secret.Placeholder, Dir: "testdata"}
	for run, want := range map[string]string{"missing": "no file or folder", "broken": "", "lambda": ""} {
		cfg, _ := definition.New().(*Config)
		cfg.Run = run
		err := definition.Check(env, cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", run, err, want)
		}
	}
	cfg, _ := definition.New().(*Config)
	cfg.Run, cfg.Scale.Concurrency = "python", 2
	if err := definition.Check(env, cfg); err == nil || !strings.Contains(err.Error(), "scale.concurrency: a handler in Python takes one request at a time") {
		t.Errorf("a handler in Python with concurrency: the error is %v", err)
	}
}

func TestMemoryIsHeldWhereALambdaOrTheConfigSaysSo(t *testing.T) {
	for _, test := range []struct {
		contract program.Contract
		memory   doc.Size
		told     doc.Size
		allowed  doc.Size
	}{
		{program.Lambda, 0, 128 * doc.MiB, 128 * doc.MiB},
		{program.Lambda, 256 * doc.MiB, 256 * doc.MiB, 256 * doc.MiB},
		{program.HTTP, 0, 128 * doc.MiB, 0},
		{program.HTTP, 256 * doc.MiB, 256 * doc.MiB, 256 * doc.MiB},
	} {
		c := Config{Memory: test.memory}
		if told, allowed := c.told(), c.allowed(test.contract); told != test.told || allowed != test.allowed {
			t.Errorf("%s with %v: told %v, allowed %v", test.contract, test.memory, told, allowed)
		}
	}
}

func TestIdentityIsTheProgramAndItsEnvironment(t *testing.T) {
	definition := Definition()
	tests := []struct {
		change func(*Config)
		same   bool
	}{
		{func(*Config) {}, true},
		{func(c *Config) { c.Scale.Max, c.Scale.Min, c.Scale.Idle = 9, 1, time.Hour }, true},
		{func(c *Config) { c.Queue, c.Timeout, c.Init = Queue{1, 1}, 1, new(time.Second) }, true},
		{func(c *Config) { c.Pos = doc.Pos{Line: 7} }, true},
		{func(c *Config) { c.Run = "other" }, false},
		{func(c *Config) { c.Contract = "lambda" }, false},
		{func(c *Config) { c.Args = []string{"x"} }, false},
		{func(c *Config) { c.Env = env(t, "A", "2") }, false},
		{func(c *Config) { c.Scale.Concurrency = 2 }, false},
	}
	for i, test := range tests {
		a, _ := definition.New().(*Config)
		b, _ := definition.New().(*Config)
		a.Env, b.Env = env(t, "A", "1"), env(t, "A", "1")
		test.change(b)
		if got := definition.Same(a, b); got != test.same {
			t.Errorf("change %d: same is %v, want %v", i, got, test.same)
		}
	}
}

func TestAGoFolderIsBuiltAndRun(t *testing.T) {
	ownCache(t)
	log := &records{}
	g := serve(t, start(t, log, func(c *Config) { c.Run, c.Queue.Wait = abs(t, "testdata/web"), time.Minute }))
	if got := g.post(t, "/", "built"); got.body != "built" {
		t.Errorf("got %+v, for %s; the log says\n%s", got, g.Status().Problem, log)
	}
	if len(log.find("building the function")) != 1 || len(log.find("the function is built")) != 1 {
		t.Errorf("the build is told wrongly:\n%s", log)
	}
	if note := g.Status().Note; !strings.Contains(note, "http") || !strings.Contains(note, "does not import") {
		t.Errorf("the status says %q", note)
	}
}

// Whoever tidies up caches does not ask the gateways that run.
func TestABuiltProgramThatWasRemovedIsBuiltAgain(t *testing.T) {
	ownCache(t)
	g := serve(t, start(t, &records{}, func(c *Config) {
		c.Run, c.Queue.Wait, c.Scale.Idle = abs(t, "testdata/web"), time.Minute, shortestIdle
	}))
	pid := decode[struct{ PID int }](t, g.get(t, "/pid")).PID
	await.That(t, "the instance ends", func() bool { return !alive(pid) })
	must(t, os.RemoveAll(os.Getenv("XDG_CACHE_HOME")))
	if got := g.post(t, "/", "built again"); got.body != "built again" {
		t.Errorf("got %+v", got)
	}
}

func TestAGoFolderThatDoesNotCompileAnswersWithWhatTheCompilerSaid(t *testing.T) {
	ownCache(t)
	g := serve(t, start(t, &records{}, func(c *Config) { c.Run, c.Queue.Wait = abs(t, "testdata/broken"), time.Minute }))
	got := g.get(t, "/")
	wantProblem(t, got, 503, "function-init-failed")
	if problem := g.Status().Problem; !strings.Contains(problem, "undefined: undefinedName") || strings.Contains(got.body, "undefined") {
		t.Errorf("the status says %q, the client got %s", problem, got.body)
	}
}

// ownCache keeps built functions of a test to itself, but not the go command's own cache.
func ownCache(t *testing.T) {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	if os.Getenv("GOCACHE") == "" {
		t.Setenv("GOCACHE", filepath.Join(cache, "go-build"))
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

func abs(tb testing.TB, path string) string {
	tb.Helper()
	path, err := filepath.Abs(path)
	must(tb, err)
	return path
}

func BenchmarkWarm(b *testing.B) {
	for name, g := range map[string]*gateway{
		"lambda": startLambda(b, &records{}, unchanged), "http": startWeb(b, &records{}, unchanged),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := g.post(b, "/", "hello"); got.body != "hello" {
					b.Fatal(got)
				}
			}
		})
	}
}

func BenchmarkCold(b *testing.B) {
	for name, g := range map[string]*gateway{
		"lambda": startLambda(b, &records{}, func(c *Config) { c.Scale.Idle = shortestIdle }),
		"http":   startWeb(b, &records{}, func(c *Config) { c.Scale.Idle = shortestIdle }),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				await.That(b, "the instance ends", func() bool { return g.Status().Instances == 0 })
				b.StartTimer()
				if got := g.post(b, "/", "hello"); got.body != "hello" {
					b.Fatal(fmt.Sprint(got))
				}
			}
		})
	}
}

//go:build !windows

package cli_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/cli"
)

// copyFile copies a program.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// until waits until each text has been in a line, in whatever order, and gives the line of
// the first.
func (p *process) until(texts ...string) (first string) {
	p.t.Helper()
	deadline := time.After(60 * time.Second)
	missing := slices.Clone(texts)
	for len(missing) > 0 {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("weir ended before %q:\n%s", missing, p.log.String())
			}
			missing = slices.DeleteFunc(missing, func(text string) bool { return strings.Contains(line, text) })
			if first == "" && strings.Contains(line, texts[0]) {
				first = line
			}
		case <-deadline:
			p.t.Fatalf("no line with %q:\n%s", missing, p.log.String())
		}
	}
	return first
}

// TestDevRunsAFolderOfFunctions is the first minute with a folder without a config.
func TestDevRunsAFolderOfFunctions(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	built := builtFunctions(t)
	folder := t.TempDir()
	copyFile(t, filepath.Join(built, "lambda"), filepath.Join(folder, "functions", "orders", "bootstrap"))
	copyFile(t, filepath.Join(built, "web"), filepath.Join(folder, "functions", "web"))
	p := startCommand(t, "dev", folder)
	url := strings.TrimSpace(p.until("http://127.0.0.1:"))
	p.until("ANY /orders/**   fn:orders")
	p.until("orders   cold   contract lambda")
	p.until("web      cold   contract http")
	p.until("curl " + url + "/orders")

	if got := body(t, url+"/"); got != `{"functions":["/orders","/web"]}` {
		t.Errorf("/ answers %s", got)
	}
	if got := body(t, url+"/orders/loud"); got != `"loud"` {
		t.Errorf("the function answers %s", got)
	}
	if line := p.until("GET /orders/loud", "orders | one"); !regexp.MustCompile(`^\d\d:\d\d:\d\d  GET /orders/loud 200 \S+ fn:orders cold \S+$`).MatchString(line) {
		t.Errorf("the request's line is %q", line)
	}
	res, err := http.Get(url + "/web/any/path?a=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := res.Header.Get("X-Target"); !strings.HasSuffix(got, "/any/path?a=1") || strings.Contains(got, "/web") {
		t.Errorf("the function sees %s", got)
	}
	if got := body(t, url+"/orders/error"); !strings.Contains(got, "OrderError: no such order") {
		t.Errorf("what failed is told as %s", got)
	}
	p.until("GET /orders/error 502")

	copyFile(t, filepath.Join(built, "web"), filepath.Join(folder, "functions", "more"))
	p.until("added functions more")
	p.until("curl " + url + "/more")
	if got := body(t, url+"/more/"); got != "" {
		t.Errorf("the new function answers %s", got)
	}
	p.signal(os.Interrupt)
	p.until("stopping")
	if got := p.wait(); got != "exit status 0" {
		t.Errorf("it ended with %s: %s", got, p.log.String())
	}
}

// Each chooses a port where nobody has said any, and nobody else gets that.
func TestSeveralThatBeginAtOnceChooseTheirOwnPorts(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "index.mjs"), []byte("export const handler = () => 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all []*process
	for range 4 {
		all = append(all, startCommand(t, "dev", folder))
	}
	seen := map[string]bool{}
	for _, p := range all {
		url := strings.TrimSpace(p.until("http://127.0.0.1:"))
		if seen[url] {
			t.Errorf("%s was chosen twice", url)
		}
		seen[url] = true
	}
	for _, p := range all {
		p.signal(os.Interrupt)
		if got := p.wait(); got != "exit status 0" {
			t.Errorf("it ended with %s: %s", got, p.log.String())
		}
	}
}

// To read a pipe may take for ever, and who works in a folder has not named it.
func TestDevReadsNoPipeThatItFinds(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(folder, "weir.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := weir(false, "dev", folder); got.code != 2 || !strings.Contains(got.err, "weir.yaml is a pipe") {
		t.Errorf("got %s", got)
	}
}

func TestMistakesOfAFunctionAreToldOneByOneWhereTheyStand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	for text, wants := range map[string][]string{
		"    run: /bin/true\n    contract: soap\n    timeout: 0s\n    scale:\n      max: 0\n    env: { A.B: x, PORT: 80 }\n": {
			`:7:15: function "a": contract: "soap"`, `:8:14: function "a": timeout: 0s is shorter`,
			`:10:12: function "a": scale.max: 0`, `:11:26: function "a": env.PORT: `,
		},
		"    scale: {}\n    run: none\n":                          {`:7:10: function "a": run: there is no file or folder`},
		"    lambda: a\n    account: b\n":                         {`:7:14: function "a": account: `},
		"    lambda: a\n    region: eu-west-1\n    timeout: 0s\n": {`:8:14: function "a": timeout: `},
	} {
		if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nroutes:\n  ANY /**: fn:a\nfunctions:\n  a:\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := weir(false, "check", file)
		for _, want := range wants {
			if got.code != 2 || strings.Count(got.out+got.err, want) != 1 {
				t.Errorf("%s is not told by itself in %s", want, got)
			}
		}
	}
}

// TestDevShowsWhatBecomesOfAConfig holds that a change that cannot be served is told with
// its fix, and that what was there before serves on.
func TestDevShowsWhatBecomesOfAConfig(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "weir.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const text = "listen: 127.0.0.1:0\nadmin: off\nroutes:\n  GET /a/{id}: respond:A\n"
	write(text)
	p := startCommand(t, "dev", folder)
	url := strings.TrimSpace(p.until("http://127.0.0.1:"))
	p.until("GET /a/{id}   respond")
	p.until("curl " + url + "/a/1")
	write(strings.Replace(text, "respond:A", "{ too: respond:A }", 1))
	p.until("the change cannot be served; the previous config still is")
	p.until(`unknown key "too"`)
	if got := body(t, url+"/a/1"); got != "A" {
		t.Errorf("meanwhile it answers %s", got)
	}
	write(text)
	p.until("the files match the served config again")
	write(text + "  GET /b: respond:B\n")
	p.until("added routes GET /b")
	p.until("curl " + url + "/b")
	if got := body(t, url+"/aa/1"); !strings.Contains(got, "The closest is") {
		t.Errorf("a 404 tells nothing: %s", got)
	}
	p.until("GET /aa/1 404")
	p.signal(syscall.SIGTERM)
	if got := p.wait(); got != "exit status 0" {
		t.Errorf("it ended with %s: %s", got, p.log.String())
	}
}

// TestWhatDevPrintsIsAConfigToGoOnFrom holds it for its layout too.
func TestWhatDevPrintsIsAConfigToGoOnFrom(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"one/index.mjs": "export const handler = () => 1\n", "two/lambda_function.py": "def lambda_handler(event, context):\n    return 2\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for folder, want := range map[string]string{".": "3 routes, 0 services, 2 functions", "one": "1 route, 0 services, 1 function"} {
		got := weir(false, "dev", folder, "--print")
		file := filepath.Join(folder, "weir.yaml")
		if err := os.WriteFile(file, []byte(got.out), 0o600); err != nil || got.code != 0 {
			t.Fatalf("%v: %s", err, got)
		}
		if checked := weir(false, "check", file); checked.code != 0 || !strings.Contains(checked.out, want) {
			t.Errorf("check: %s\n%s", checked, got.out)
		}
		if laidOut := weir(false, "fmt", "-l", file); laidOut.out != "" {
			t.Errorf("%s is not in the standard layout:\n%s", file, got.out)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConsole(t *testing.T) {
	at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	record := func(level slog.Level, text string, attrs ...slog.Attr) slog.Record {
		r := slog.NewRecord(at, level, text, 0)
		r.AddAttrs(attrs...)
		return r
	}
	function, output := slog.String("function", "orders"), slog.String("stream", "stdout")
	for name, c := range map[string]struct {
		color  bool
		record slog.Record
		want   string
	}{
		"output":                 {false, record(slog.LevelInfo, "hello", function, output, slog.String("instance", "1")), "12:00:00  orders | hello\n"},
		"output of an extension": {false, record(slog.LevelInfo, "hello", function, output, slog.String("extension", "agent")), "12:00:00  orders/agent | hello\n"},
		"output of several rows": {false, record(slog.LevelInfo, "one\rtwo", function, output), "12:00:00  orders | one\n12:00:00  orders | two\n"},
		"a record of a function": {false, record(slog.LevelInfo, "built", function, slog.Int("took", 7)), "12:00:00  orders | built  took=7\n"},
		"an error":               {false, record(slog.LevelError, "no", slog.String("error", "first\nsecond\x1b[2J\n")), "12:00:00  no\n    first\n    second\\x1b[2J\n"},
		"in passing":             {false, record(slog.LevelInfo, "listening"), ""},
		"what breaks a line":     {false, record(slog.LevelWarn, "x", slog.String("path", "a\x1bb")), "12:00:00  x  path=a\\x1bb\n"},
		"what is no text":        {false, record(slog.LevelWarn, "x", slog.String("path", "\xff\u202eü\ufffd")), "12:00:00  x  path=\\xff\\u202eü\ufffd\n"},
		"colours":                {true, record(slog.LevelWarn, "slow", function), "\x1b[2m12:00:00\x1b[0m  \x1b[95morders\x1b[0m\x1b[2m | \x1b[0m\x1b[33mslow\x1b[0m\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := cli.DevLog(&out, c.color).Handle(context.Background(), c.record); err != nil || out.String() != c.want {
				t.Errorf("%v: got %q, want %q", err, out.String(), c.want)
			}
		})
	}
}

// TestDevShowsThePolyglotExampleLiving works on a copy of the example: each of its five
// functions answers, and what is saved of each is what answers then.
func TestDevShowsThePolyglotExampleLiving(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	for _, interpreter := range []string{"node", "python3"} {
		if _, err := exec.LookPath(interpreter); err != nil {
			t.Skip(err)
		}
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join("..", "..", "examples", "polyglot"))); err != nil {
		t.Fatal(err)
	}
	p := startCommand(t, "dev", folder, "--listen", "127.0.0.1:0", "--admin", "off")
	url := strings.TrimSpace(p.until("http://127.0.0.1:"))
	p.until("go       cold   contract http", "node     cold   contract lambda", "python   cold   contract lambda", "wasm     cold   contract wasm", "azure    cold   contract azure")
	functions := []struct{ name, file, greeting string }{
		{"go", "main.go", "Hello"}, {"node", "index.mjs", "Hei"}, {"python", "lambda_function.py", "Ciao"}, {"wasm", "main.go", "Salut"}, {"azure", "handler.go", "Hallo"},
	}
	answers := func(path, want string) func() bool { // a build may take longer than a request waits
		return func() bool { return strings.Contains(body(t, url+path), want) }
	}
	for _, f := range functions {
		p.eventually(f.name+" answers", answers("/"+f.name+"/Ann", f.greeting+", Ann"))
	}
	p.eventually("all of them answer at once", answers("/all/Ann", `{"greetings":["Hello, Ann","Hei, Ann","Ciao, Ann","Salut, Ann","Hallo, Ann"]}`))
	for _, f := range functions {
		file := filepath.Join(folder, "functions", f.name, f.file)
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte(f.greeting+", ")) {
			t.Fatalf("%s: %v", file, err)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(f.greeting+", "), []byte("Servus, ")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range functions {
		p.eventually(f.name+" answers anew", answers("/"+f.name+"/Ann", "Servus, Ann"))
	}
	body(t, url+"/azure/Ann?last")
	p.until("GET /azure/Ann?last 200")
	p.signal(os.Interrupt)
	if got := p.wait(); got != "exit status 0" {
		t.Errorf("it ended with %s: %s", got, p.log.String())
	}
}

// eventually polls for as long as five builds take on a busy machine. What the process
// puts out meanwhile is read, for it would wait otherwise.
func (p *process) eventually(what string, condition func() bool) {
	p.t.Helper()
	deadline, tick := time.After(5*time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for due := true; !due || !condition(); {
		due = false
		select {
		case <-tick.C:
			due = true
		case _, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("weir ended before %s:\n%s", what, p.log.String())
			}
		case <-deadline:
			p.t.Fatalf("not within five minutes: %s", what)
		}
	}
}

// TestDevServesRoutesThatSendLater holds that such a route can be worked on, and that nothing
// of it is left.
func TestDevServesRoutesThatSendLater(t *testing.T) {
	folder, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	got := make(chan string, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	defer backend.Close()
	text := "listen: 127.0.0.1:0\nadmin: off\nroutes:\n  POST /orders: { async: true, to: \"" + backend.URL + "\" }\n"
	if err := os.WriteFile(filepath.Join(folder, "weir.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startCommand(t, "dev", folder)
	url := strings.TrimSpace(p.until("http://127.0.0.1:"))
	res, err := http.Post(url+"/orders", "text/plain", strings.NewReader("tea"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("got %d", res.StatusCode)
	}
	if body := await.From(t, "the backend is asked later", got); body != "tea" {
		t.Errorf("it got %q", body)
	}
	p.signal(syscall.SIGTERM)
	if end := p.wait(); end != "exit status 0" {
		t.Errorf("it ended with %s: %s", end, p.log.String())
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "weir-dev-*")); len(left) > 0 {
		t.Errorf("it has left %v", left)
	}
}

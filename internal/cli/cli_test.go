package cli_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/cli"
)

var update = flag.Bool("update", false, "write the goldens anew")

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// weir runs one command in this process.
func weir(color bool, args ...string) result {
	var out, err bytes.Buffer
	code := cli.Main(args, "v0.0.0-test", cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err, Color: color})
	return result{code, out.String(), err.String()}
}

// String is the result as goldens hold it.
func (r result) String() string {
	var b strings.Builder
	for _, part := range []struct{ name, text string }{{"stdout", r.out}, {"stderr", r.err}} {
		if part.text != "" {
			fmt.Fprintf(&b, "-- %s --\n%s", part.name, part.text)
		}
	}
	fmt.Fprintf(&b, "-- exit %d --\n", r.code)
	return b.String()
}

// files of the folder that the commands run in.
const (
	valid = `listen: :8080
routes:
  GET /hello:
    to: respond:Hello
  ANY /api/**:
    strip: /api
    to: http://localhost:9000
`
	broken = `lisen: :8080
routes:
  GET /hello:
    too: respond:Hello
  GET /{:
    to: http//localhost
`
	tested = `tests:
  - request: GET /hello
    route: GET /hello
    status: 200
  - request: { line: GET /api/users, headers: { x-a: "1" } }
    backend: http://localhost:9000
`
	failing = `  - request: PUT /hello
    route: GET /hello
    status: 200
`
	warned    = "listen: :8080\nroutes:\n  GET /hello:\n    to: http://localhost:9000/\n"
	untidy    = "# kept\nlisten:   ':8080'\nroutes: {GET /hello: {to: 'respond:Hello'}}\n"
	unparsed  = "routes: {\n"
	other     = "listen: :8080\nroutes:\n  GET /hello:\n    timeout: 5s\n    to: respond:Hello\n  GET /bye: respond:Bye\n"
	batched   = "listen: :8080\nroutes:\n  POST /batch: { batch: true }\n"
	unchecked = "listen: :8080\nroutes:\n  GET /:\n    to: dir:./missing\n"
)

func TestCommands(t *testing.T) {
	golden, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"weir.yaml": valid, "broken.yaml": broken, "warned.yaml": warned, "untidy.yaml": untidy, "unparsed.yaml": unparsed,
		"unchecked.yaml": unchecked, "tidy/weir.yaml": valid, "other.yaml": other, "batched.yaml": batched, "empty.json": "",
		"functions/hello/main.go": "package main\n\nfunc main() {}\n", "functions/hello/go.mod": "module hello\n",
		"functions/tea/index.mjs": "export const handler = async () => 'tea'\n", "nothing/readme.md": "",
		"nothing/lost/main.go": "package main\n\nfunc main() {}\n",
		"tested.yaml":          valid + tested, "failing.yaml": valid + tested + failing,
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		golden string
		color  bool
		args   string
	}{
		{golden: "root", args: ""},
		{golden: "help-run", args: "run --help"},
		{golden: "help-dev", args: "dev --help"},
		{golden: "help-register", args: "register --help"},
		{golden: "dev-nothing", args: "dev nothing"},
		{golden: "dev-print", args: "dev functions --print"},
		{golden: "help-invoke", args: "invoke --help"},
		{golden: "help-check", args: "check --help"},
		{golden: "help-explain", args: "explain --help"},
		{golden: "help-test", args: "test --help"},
		{golden: "test", args: "test tested.yaml -v"},
		{golden: "test-failing", args: "test failing.yaml"},
		{golden: "test-json", args: "test failing.yaml --json --run hello"},
		{golden: "test-none", args: "test weir.yaml"},
		{golden: "test-wrong-run", args: "test weir.yaml --run ("},
		{golden: "check-tested", args: "check tested.yaml"},
		{golden: "check-failing", args: "check failing.yaml"},
		{golden: "run-failing", args: "run failing.yaml"},
		{golden: "help-status", args: "status --help"},
		{golden: "help-diff", args: "diff --help"},
		{golden: "help-rollback", args: "rollback --help"},
		{golden: "diff", args: "diff weir.yaml other.yaml"},
		{golden: "diff-none", args: "diff weir.yaml tidy"},
		{golden: "diff-unknown", args: "diff weir.yaml elsewhere"},
		{golden: "rollback-wrong", args: "rollback --release 5f2a"},
		{golden: "status-token", args: "status --token hunter2"},
		{golden: "status-no-token", args: "status --token ${file:/none/at/all}"},
		{golden: "help-expand", args: "expand --help"},
		{golden: "help-fmt", args: "fmt --help"},
		{golden: "help-init", args: "init --help"},
		{golden: "help-schema", args: "schema --help"},
		{golden: "help-version", args: "version --help"},
		{golden: "version", args: "version"},
		{golden: "version-flag", args: "--version"},
		{golden: "unknown-command", args: "chek weir.yaml"},
		{golden: "unknown-command-far", args: "frobnicate"},
		{golden: "unknown-flag", args: "check --fast weir.yaml"},
		{golden: "missing-argument", args: "check"},
		{golden: "check", args: "check weir.yaml"},
		{golden: "check-warned", args: "check warned.yaml"},
		{golden: "check-broken", args: "check broken.yaml"},
		{golden: "check-broken-color", args: "check broken.yaml", color: true},
		{golden: "check-unparsed", args: "check unparsed.yaml"},
		{golden: "check-compiled", args: "check unchecked.yaml"},
		{golden: "check-missing", args: "check missing.yaml"},
		{golden: "expand", args: "expand weir.yaml"},
		{golden: "expand-broken", args: "expand broken.yaml"},
		{golden: "explain", args: "explain weir.yaml GET /api/users?page=2"},
		{golden: "explain-json", args: "explain weir.yaml GET /hello --json"},
		{golden: "explain-no-data", args: "explain weir.yaml POST /hello -d @missing.json"},
		{golden: "explain-empty-data", args: "explain batched.yaml POST /batch -H Content-Type:application/json -d @empty.json"},
		{golden: "explain-wrong-url", args: "explain weir.yaml GET orders"},
		{golden: "fmt", args: "fmt untidy.yaml"},
		{golden: "fmt-list", args: "fmt -l untidy.yaml tidy"},
		{golden: "fmt-list-tidy", args: "fmt -l tidy"},
		{golden: "fmt-unparsed", args: "fmt unparsed.yaml"},
		{golden: "init-print", args: "init -"},
		{golden: "init-exists", args: "init weir.yaml"},
		{golden: "run-broken", args: "run broken.yaml"},
		{golden: "run-wrong-log", args: "run weir.yaml --log loud"},
		{golden: "run-wrong-log-format", args: "run weir.yaml --log-format xml"},
		{golden: "run-wrong-listen", args: "run weir.yaml --listen api=:1"},
		{golden: "run-wrong-url", args: "run http://"},
		{golden: "run-empty-engine", args: "run weir.yaml --engine="},
		{golden: "run-empty-admin", args: "run weir.yaml --admin="},
		{golden: "dev-empty-admin", args: "dev functions --admin="},
		{golden: "explain-no-text", args: "explain weir.yaml GET /hello --data="},
		{golden: "explain-empty-caller", args: "explain weir.yaml GET /hello --as="},
		{golden: "jobs-empty-state", args: "jobs list --state="},
		{golden: "status-empty-token", args: "status --token="},
		{golden: "register-empty-zone", args: "register orders --port 9000 --zone= -- sleep 1"},
	} {
		t.Run(c.golden, func(t *testing.T) {
			compare(t, filepath.Join(golden, c.golden+".txt"), weir(c.color, strings.Fields(c.args)...).String())
		})
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, got)
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	goldens, err := filepath.Glob("testdata/help-*.txt")
	if err != nil || len(goldens) < 8 {
		t.Fatalf("%d goldens, %v", len(goldens), err)
	}
	for _, path := range goldens {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "Examples:\n  weir ") {
			t.Errorf("%s has none (%v)", path, err)
		}
	}
}

func TestInitWritesAConfigThatHolds(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := weir(false, "init"); got.code != 0 || got.out != "wrote weir.yaml; next: weir run weir.yaml\n" {
		t.Fatalf("init: %s", got)
	}
	if got := weir(false, "check", "weir.yaml"); got.code != 0 || !strings.HasPrefix(got.out, "ok: 1 route,") || got.err != "" {
		t.Errorf("check: %s", got)
	}
	if got := weir(false, "fmt", "-l", "weir.yaml"); got.code != 0 || got.out != "" {
		t.Errorf("the starter is not in the standard layout: %s", got)
	}
	before, err := os.ReadFile("weir.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := weir(false, "init"); got.code != 2 {
		t.Errorf("init over a file: %s", got)
	}
	if after, err := os.ReadFile("weir.yaml"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestEveryCommentedExampleOfTheStarterHolds(t *testing.T) {
	t.Chdir(t.TempDir())
	text := weir(false, "init", "-").out
	var lines []string
	for line := range strings.Lines(text) {
		if line == "# functions:\n" || line == "# auth:\n" {
			line = strings.TrimPrefix(line, "# ")
		} else if body, ok := strings.CutPrefix(line, "#   "); ok {
			line = "  " + body
		} else if code, ok := strings.CutPrefix(line, "  # "); ok && (strings.HasPrefix(code, "  ") || strings.HasPrefix(code, "GET /") || strings.HasPrefix(code, "POST /") || strings.HasPrefix(code, "ANY /")) {
			line = "  " + code
		}
		lines = append(lines, line)
	}
	if err := os.MkdirAll("functions/latest", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"weir.yaml": strings.Join(lines, ""), "functions/latest/main.go": "package main\n\nfunc main() {}\n", "functions/latest/go.mod": "module latest\n\ngo 1.26\n",
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("public", 0o755); err != nil {
		t.Fatal(err)
	}
	if got := weir(false, "check", "weir.yaml"); got.code != 0 || !strings.HasPrefix(got.out, "ok: 7 routes, 0 services, 1 function") {
		t.Errorf("%s\n%s", got, strings.Join(lines, ""))
	}
}

func TestFmtWritesThroughALink(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("real.yaml", []byte("listen:   :8080\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.yaml", "weir.yaml"); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if got := weir(false, "fmt", "-w", "weir.yaml"); got.code != 0 {
		t.Fatalf("fmt -w: %s", got)
	}
	if text, err := os.ReadFile("real.yaml"); err != nil || string(text) != "listen: :8080\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if target, err := os.Readlink("weir.yaml"); err != nil || target != "real.yaml" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func TestFmtWritesOnlyWhatChanges(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("weir.yaml", []byte(untidy), 0o640); err != nil {
		t.Fatal(err)
	}
	printed := weir(false, "fmt", "weir.yaml")
	if got := weir(false, "fmt", "-w", "weir.yaml"); got.code != 0 || got.out != "" {
		t.Fatalf("fmt -w: %s", got)
	}
	written, err := os.ReadFile("weir.yaml")
	if err != nil || string(written) != printed.out {
		t.Errorf("written:\n%s\nprinted:\n%s (%v)", written, printed.out, err)
	}
	before, err := os.Stat("weir.yaml")
	if err != nil || before.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", before.Mode(), err)
	}
	if got := weir(false, "fmt", "-w", "weir.yaml"); got.code != 0 {
		t.Errorf("fmt -w again: %s", got)
	}
	if after, err := os.Stat("weir.yaml"); err != nil || !os.SameFile(before, after) {
		t.Errorf("a tidy file was written again (%v)", err)
	}
	if left, _ := filepath.Glob(".*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestSchemaIsJSON(t *testing.T) {
	got := weir(false, "schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(got.out), &schema); err != nil || got.code != 0 || schema["$schema"] == nil {
		t.Errorf("%v: %s", err, got)
	}
}

func TestRecordAddsTestsThatHold(t *testing.T) {
	t.Chdir(t.TempDir())
	const commented = "# kept\n" + valid + "  GET /hidden: # kept too\n    match: { when: \"=request.headers['x'] == 'y'\" }\n    to: http://localhost:9000\n"
	for name, text := range map[string]string{"weir.yaml": commented, "folder/a.yaml": valid, "failing.yaml": valid + tested + failing} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if got := weir(false, "test", "--record", "weir.yaml"); got.code != 0 || got.out != "recorded 2 tests in weir.yaml\n" ||
		got.err != "no request was found that leads to GET /hidden; write a test for it by hand\n" {
		t.Errorf("record: %s", got)
	}
	text, err := os.ReadFile("weir.yaml")
	if err != nil || !strings.HasPrefix(string(text), commented) {
		t.Errorf("the file was changed elsewhere too (%v):\n%s", err, text)
	}
	if got := weir(false, "test", "weir.yaml"); got.code != 0 || got.out != "ok: 2 tests\n" {
		t.Errorf("test: %s", got)
	}
	if got := weir(false, "fmt", "-l", "weir.yaml"); got.code != 0 {
		t.Errorf("not in the standard layout: %s", got)
	}
	if got := weir(false, "test", "--record", "weir.yaml"); got.code != 0 || got.out != "recorded 0 tests in weir.yaml\n" {
		t.Errorf("record again: %s", got)
	}
	if again, err := os.ReadFile("weir.yaml"); err != nil || !bytes.Equal(again, text) {
		t.Errorf("recording again has changed the file (%v):\n%s", err, again)
	}
	if got := weir(false, "test", "--record", "folder"); got.code != 0 || got.out != "recorded 2 tests in "+filepath.Join("folder", "tests.yaml")+"\n" {
		t.Errorf("record in a folder: %s", got)
	}
	if got := weir(false, "test", "folder", "--run", "hello"); got.code != 0 || got.out != "ok: 1 test\n" {
		t.Errorf("test a folder: %s", got)
	}
	if got := weir(false, "test", "--record", "failing.yaml"); got.code != 2 || !strings.Contains(got.err, "nothing was recorded") {
		t.Errorf("record beside a test that fails: %s", got)
	}
}

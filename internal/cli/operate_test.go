//go:build !windows

package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// An operator's hour: look, compare, change, go back, let go.
func TestAnOperatorsHour(t *testing.T) {
	t.Setenv("WEIR_ADMIN_TOKEN", "right")
	t.Setenv("WEIR_WRONG_TOKEN", "wrong")
	path := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("listen: :8080\nadmin: { token: '${env:WEIR_ADMIN_TOKEN}' }\nroutes:\n  GET /: respond:"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	p := start(t, path, "--watch=false", "--state", filepath.Join(t.TempDir(), "state"))
	url := p.line("serving on ") + "/"
	admin := strings.TrimPrefix(p.line("admin on "), "http://")
	ask := func(code int, want string, arguments ...string) string {
		t.Helper()
		got := weir(false, append(arguments, "--admin", admin)...)
		if got.code != code || !strings.Contains(got.out+got.err, want) {
			t.Fatalf("weir %q: %s\nwant exit %d and %q", arguments, got, code, want)
		}
		return got.out
	}

	ask(0, "from          "+path+", as given to weir run\n", "status")
	ask(0, `"source": "input"`, "status", "--json")
	ask(0, "nothing", "diff", path)
	write("two")
	ask(3, "routes ~1", "diff", path)
	ask(3, "    -       body: 'one'\n    +       body: 'two'\n", "diff", path)
	p.signal(syscall.SIGHUP)
	await.That(t, "the change serves", func() bool { return body(t, url) == "two" })

	var newest, oldest string
	await.That(t, "both are told as history", func() bool { // what serves is kept a moment later
		_, list, _ := strings.Cut(ask(0, "history", "status"), "history")
		newest, list, _ = strings.Cut(strings.TrimSpace(list), " ")
		_, list, _ = strings.Cut(list, "\n")
		oldest, _, _ = strings.Cut(strings.TrimSpace(list), " ")
		return oldest != ""
	})
	ask(3, "routes ~1", "diff", oldest[:6], "running")
	ask(0, "nothing", "diff", newest, path)

	if got := weir(false, "rollback", "--admin", admin, "--token", "${env:WEIR_WRONG_TOKEN}"); got.code != 1 || !strings.Contains(got.err, "needs `Authorization") && !strings.Contains(got.err, "need `Authorization") {
		t.Errorf("with a wrong token: %s", got)
	}
	ask(0, "serving "+oldest+" (routes ~1), until the files change", "rollback")
	if got := body(t, url); got != "one" {
		t.Errorf("one step back: %q", got)
	}
	ask(0, "hold          rollback since", "status")
	ask(2, `No configuration with the digest "ffffffff" is kept.`, "rollback", "ffffffff")
	ask(0, "serving "+newest+" (routes ~1)\n", "rollback", "--release")
	if got := body(t, url); got != "two" {
		t.Errorf("let go of: %q", got)
	}
	ask(0, `"hold": {`, "rollback", oldest[:4], "--json")

	write("one\n  GET /: again")
	p.signal(syscall.SIGHUP)
	await.That(t, "the mistake is told", func() bool { return weir(false, "status", "--admin", admin).code == 2 })
	ask(2, path+" since", "status")
	p.signal(syscall.SIGTERM)
	_ = p.wait()
	if got := weir(false, "status", "--admin", admin); got.code != 1 || !strings.Contains(got.err, "no gateway answers at "+admin+" (--admin ADDRESS): ") {
		t.Errorf("once it has ended: %s", got)
	}
}

// A registry whose file is damaged goes on, and says so wherever an operator looks.
func TestTheStatusTellsOfADamagedRegistry(t *testing.T) {
	folder := t.TempDir()
	path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
	if err := os.WriteFile(path, []byte("listen: :8080\nregistry: 127.0.0.1:0\nroutes:\n  GET /: registry:users\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, path, "--state", state)
	admin := strings.TrimPrefix(p.line("admin on "), "http://")
	status := func() string {
		t.Helper()
		got := weir(false, "status", "--admin", admin)
		if got.code != 0 {
			t.Fatal(got)
		}
		return got.out
	}
	_, rest, _ := strings.Cut(status(), "socket        127.0.0.1:0 at ")
	at, _, _ := strings.Cut(rest, "\n")
	put := func(id string) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPut, "http://"+at+"/v1/registry/services/users/instances/"+id, strings.NewReader(`{"port": 9000}`))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	put("a")
	if got := status(); !strings.Contains(got, "registry      1 instance of 1 service, 0 suspect\n") || strings.Contains(got, "in memory only") {
		t.Errorf("the status is\n%s", got)
	}
	files, err := filepath.Glob(filepath.Join(state, "*", "registry", "registry.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the files are %q, %v", files, err)
	}
	await.That(t, "it is written", func() bool { // else it could be written as a whole after it was cut off
		text, _ := os.ReadFile(files[0])
		return strings.Contains(string(text), "users")
	})
	if err := os.Truncate(files[0], 0); err != nil {
		t.Fatal(err)
	}
	put("b")
	await.That(t, "the status tells of it", func() bool { return strings.Contains(status(), "in memory only: the file is broken") })
	if got := status(); !strings.Contains(got, "registry      2 instances of 1 service") {
		t.Errorf("the status is\n%s", got)
	}
	if got := body(t, "http://"+admin+"/metrics"); !strings.Contains(got, "\nweir_registry_file_failed 1\n") {
		t.Error("the metrics do not tell of it")
	}
	p.signal(syscall.SIGTERM)
	if end := p.wait(); end != "exit status 0" {
		t.Errorf("it ended with %s:\n%s", end, p.log.String())
	}
}

package compile_test

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
)

func TestFiltersStandInTheirOrderWhateverTheFileSays(t *testing.T) {
	w := newWorld(t)
	for _, order := range [][]string{{"last", "inner", "outer"}, {"inner", "outer", "last"}, {"outer", "last", "inner"}} {
		text := "routes:\n  GET /:\n"
		for _, name := range order {
			text += "    " + name + ": x\n"
		}
		w.serve(w.load(text + "    to: fn:hello\nfunctions:\n  hello:\n    echo: hi\n"))
		w.diary.take()
		w.get("/")
		if got := w.diary.take(); got != "outer, inner, last" {
			t.Errorf("written %v: passed %s", order, got)
		}
	}
}

func TestFileWithABadPartIsRefusedWithItsPlace(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ text, want string }{
		"a filter":            {"routes:\n  GET /:\n    inner: broken\n    to: respond:204\n", "4:5: filter inner; it was told to fail"},
		"a filter of a share": {"routes:\n  GET /:\n    to:\n      - use: respond:204\n        last: broken\n", "6:9: filter last; it was told to fail"},
		"a function":          {"functions:\n  hello:\n    echo: broken\nroutes:\n  GET /:\n    to: fn:hello\n", `3:3: function "hello": it cannot say "broken"`},
		"a folder":            {"routes:\n  GET /**:\n    to: dir:./missing\n", `4:9: backend "dir:./missing"; `},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.load(c.text)
			_, checked := compile.Check(w.parts, cfg, "")
			pending, compiled := w.compiler.Compile(cfg, "")
			if pending != nil {
				t.Fatal("it was accepted")
			}
			if !slices.Equal(lines(checked), lines(compiled)) {
				t.Errorf("check and run differ:\n%v\n%v", checked, compiled)
			}
			if got := lines(compiled); len(got) != 1 || !strings.Contains(got[0], "weir.yaml:"+c.want) {
				t.Errorf("got %q, want one problem %q", got, c.want)
			}
		})
	}
}

// object makes routes look as if they came from Kubernetes objects.
func object(cfg *config.Config) *config.Config {
	for i := range cfg.Routes {
		cfg.Routes[i].Origin = config.Origin{Object: "HTTPRoute shop/" + cfg.Routes[i].Name}
	}
	return cfg
}

func TestBadObjectBreaksOnlyItsOwnRoute(t *testing.T) {
	w := newWorld(t)
	cfg := object(w.load("routes:\n  GET /good:\n    to: fn:hello\n  GET /good/bad:\n    inner: broken\n    to: fn:hello\n  ANY /**:\n    to: fn:hello\nfunctions:\n  hello:\n    echo: hi\n"))
	for range 2 { // the config is not changed by being compiled
		pending, problems := w.compiler.Compile(cfg, "")
		if pending == nil || len(problems) != 1 || problems[0].Severity != doc.Warning || !strings.Contains(problems[0].What, "GET /good/bad answers 500") {
			t.Fatalf("got %v, %v", pending, problems)
		}
		w.gateway.Swap(pending.Snapshot)
		pending.Commit()(t.Context())
		for path, want := range map[string]int{"/good": 200, "/other": 200, "/good/bad": 500} {
			if got := w.get(path); got.Code != want {
				t.Errorf("%s: got %d %s, want %d", path, got.Code, got.Body, want)
			}
		}
	}
}

func TestCheckStartsNothingAndNeedsNoSecrets(t *testing.T) {
	w := newWorld(t)
	const name = "WEIR_TEST_NEVER_SET"
	if _, set := os.LookupEnv(name); set {
		t.Skip(name + " is set")
	}
	cfg := w.load("routes:\n  GET /:\n    outer: x\n    to: fn:hello\n  GET /s:\n    to: users\n" +
		"functions:\n  hello:\n    echo: hi\nservices:\n  users:\n    endpoints: [192.0.2.1:443]\n    tls:\n      ca: ${env:" + name + "}\n")
	s, problems := compile.Check(w.parts, cfg, "")
	if len(problems) > 0 || s == nil {
		t.Fatalf("got %v", problems)
	}
	if got := w.diary.take(); got != "end outer" {
		t.Errorf("it did: %s", got)
	}
	if pending, problems := w.compiler.Compile(cfg, ""); pending != nil || !strings.Contains(strings.Join(lines(problems), "\n"), name) {
		t.Errorf("to run it needs the secret: got %v, %v", pending, problems)
	}
}

func TestAMissingSecretIsToldWhereItStands(t *testing.T) {
	w := newWorld(t)
	const name = "WEIR_TEST_NEVER_SET"
	if _, set := os.LookupEnv(name); set {
		t.Skip(name + " is set")
	}
	cfg := w.load(`listen: :8080
routes:
  GET /:
    headers:
      response:
        add:
          X-Key: plain ${env:WEIR_TEST_NEVER_SET}
    to: http://192.0.2.1
  GET /s:
    to: users
services:
  users:
    endpoints: [192.0.2.1:443]
    tls:
      ca: ${env:WEIR_TEST_NEVER_SET}
`)
	pending, problems := w.compiler.Compile(cfg, "")
	if pending != nil {
		t.Fatal("a missing secret does not matter")
	}
	path := filepath.Join(w.folder, "weir.yaml")
	want := []string{
		path + ":7:18: filter headers; response.add.X-Key: environment variable " + name + " is not set or empty",
		path + `:15:11: service "users": tls.ca: environment variable ` + name + " is not set or empty",
	}
	slices.Sort(want)
	if got := lines(problems); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSharesMayAnswerByThemselves(t *testing.T) {
	w := newWorld(t)
	w.serve(w.load("routes:\n  GET /:\n    to:\n      - when: =request.headers['x-beta'] == '1'\n        use: respond:beta\n      - fn:hello\nfunctions:\n  hello:\n    echo: hi\n"))
	for beta, want := range map[string]string{"1": "beta", "0": "hi"} {
		if got := w.get("/", "X-Beta", beta).Body.String(); got != want {
			t.Errorf("x-beta %s: got %q, want %q", beta, got, want)
		}
	}
}

func TestNamesOfOnesOwnGroupComeFirst(t *testing.T) {
	w := newWorld(t)
	// Validated files have unique names; objects of two namespaces may not.
	cfg := w.load("routes:\n  GET /own:\n    to: users\n  GET /other:\n    to: users\nservices:\n  users:\n    endpoints: [127.0.0.1:1]\n")
	own, global := backend(t, "own"), backend(t, "global")
	team := cfg.Services[0]
	team.Group = "team"
	team.Endpoints = []config.Endpoint{{Address: own.Listener.Addr().String(), Weight: 1}}
	cfg.Services[0].Endpoints = []config.Endpoint{{Address: global.Listener.Addr().String(), Weight: 1}}
	cfg.Services = append(cfg.Services, team)
	cfg.Routes[0].Backends[0].Ref.Group = "team"
	cfg.Groups = []config.Group{{Name: "team", Reach: egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}}
	w.serve(cfg)
	for path, want := range map[string]string{"/own": "own ", "/other": "global "} {
		if got := w.get(path); got.Code != http.StatusOK || !strings.HasPrefix(got.Body.String(), want) {
			t.Errorf("%s: got %d %s, want %s", path, got.Code, got.Body, want)
		}
	}
}

func TestLimitsOfRequestsFollowTheSnapshot(t *testing.T) {
	w := newWorld(t)
	for _, limit := range []int{3, 7} {
		cfg := w.load("routes:\n  GET /:\n    to: respond:204\n")
		cfg.Limits.InFlight = limit
		w.serve(cfg)
		if got := w.gateway.Current().InFlight; got != limit {
			t.Errorf("got %d, want %d", got, limit)
		}
	}
}

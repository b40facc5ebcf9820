package compile_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/control/compile"
)

// composed is a config with a composition of every kind of backend.
const composed = `routes:
  GET /home/{user}:
    outer: ok
    last: ok
    compose:
      said: fn:hello
      file: { to: "dir:./public", path: /a.json }
      users: { to: users, path: "/users/{user}" }
      nested: { to: named, path: "/{who=path.user}" }
  GET /named/{who}: named
  GET /same/{who}: compose:named
compositions:
  named:
    steps:
      direct: { to: "$", path: "/{who}", headers: { Host: named.dev } }
functions:
  hello: { echo: '"hi"' }
services:
  users: $
`

func TestCompositionsCallWhatRoutesCall(t *testing.T) {
	w := newWorld(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`"` + r.Host + r.URL.Path + `"`))
	}))
	defer s.Close()
	public := filepath.Join(w.folder, "public")
	if err := os.MkdirAll(public, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(public, "a.json"), []byte(`{"a": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(composed, "$", s.URL)
	w.serve(w.load(text))
	host := strings.TrimPrefix(s.URL, "http://")
	for path, want := range map[string]string{
		"/home/ann":  `{"said":"hi","file":{"a": 1},"users":"` + host + `/users/ann","nested":{"direct":"named.dev/ann"}}`,
		"/named/bob": `{"direct":"named.dev/bob"}`,
		"/same/bob":  `{"direct":"named.dev/bob"}`,
	} {
		if answer := w.get(path); answer.Code != http.StatusOK || answer.Body.String() != want {
			t.Errorf("%s: got %d %s, want %s", path, answer.Code, answer.Body, want)
		}
	}
	if got := w.diary.take(); !strings.Contains(got, "outer, last") {
		t.Errorf("the route's filters: %s", got)
	}
	w.serve(w.load(strings.ReplaceAll(text, "/users/{user}", "/people/{user}")))
	if answer := w.get("/home/ann"); !strings.Contains(answer.Body.String(), "/people/ann") {
		t.Errorf("after a reload: got %s", answer.Body)
	}
	if got := w.diary.take(); strings.Contains(got, "close") || strings.Contains(got, "build") {
		t.Errorf("a changed step disturbed the function: %s", got)
	}
}

func TestCachesOfStepsCountOnOverAReload(t *testing.T) {
	w := newWorld(t)
	metrics := telemetry.New("test")
	w.compiler = compile.New(w.parts, compile.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve, Metrics: metrics})
	const kept = "routes:\n  GET /home: { compose: { said: { to: fn:hello, cache: 1m } } }\nfunctions:\n  hello: { echo: '\"hi\"' }\n"
	counts := func() string {
		answer := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(answer, httptestRequest("/metrics"))
		var list []string
		for line := range strings.Lines(answer.Body.String()) {
			if text, ok := strings.CutPrefix(line, `weir_step_cache_requests_total{composition="GET /home",result="`); ok && !strings.HasSuffix(line, " 0\n") {
				list = append(list, strings.TrimSpace(text))
			}
		}
		return strings.Join(list, ", ")
	}
	for i, step := range []struct{ config, want string }{
		{kept, `miss",step="said"} 1`},
		{kept + "  other: { echo: '1' }\n", `hit",step="said"} 1, miss",step="said"} 1`},    // the composition is the same
		{strings.ReplaceAll(kept, "1m", "2m"), `hit",step="said"} 1, miss",step="said"} 2`}, // it is another one
		{strings.ReplaceAll(kept, ", cache: 1m", ""), ""},
	} {
		w.serve(w.load(step.config))
		if answer := w.get("/home"); answer.Code != http.StatusOK {
			t.Fatalf("config %d: %d %s", i, answer.Code, answer.Body)
		}
		if got := counts(); got != step.want {
			t.Errorf("config %d: %s, want %s", i, got, step.want)
		}
	}
}

func TestWhatACompositionCannotBeMadeOfIsToldOnce(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string][]string{
		// The function's own mistake is told where it stands, and not again by whoever calls it.
		"functions:\n  hello: { echo: broken }\nroutes:\n  GET /: { compose: { a: fn:hello } }\n": {`weir.yaml:3:3: function "hello": it cannot say "broken"`},
		"routes:\n  GET /: home\ncompositions:\n  home: { steps: { a: 'dir:./nowhere' } }\n":      {`weir.yaml:5:3: composition "home": step a: `},
		"routes:\n  GET /: { compose: { a: { to: 'http://a:1', headers: { X: '${env:COMPOSE_NOT_SET}' } } } }\n": {
			`weir.yaml:3:3: composition "GET /": step a: X: `,
		},
	} {
		pending, problems := w.compiler.Compile(w.load(text), "digest")
		if pending != nil {
			t.Fatalf("%s is served", text)
		}
		got := lines(problems)
		if !slices.EqualFunc(got, want, strings.Contains) {
			t.Errorf("%s\ngot %q, want %q", text, got, want)
		}
	}
}

func TestCheckExplainsACompositionWithoutStartingAnything(t *testing.T) {
	w := newWorld(t)
	if err := os.MkdirAll(filepath.Join(w.folder, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, problems := compile.Check(w.parts, w.load(strings.ReplaceAll(composed, "$", "http://users:80")), "digest")
	if diary := w.diary.take(); len(problems) > 0 || strings.Contains(diary, "build") {
		t.Fatalf("problems: %v, diary: %s", problems, diary)
	}
	e := s.Explain(":8080", httptest.NewRequest(http.MethodGet, "/home/7", nil), netip.AddrPort{}, nil)
	var calls []string
	for _, step := range e.Backends[0].Steps {
		calls = append(calls, step.Name+": "+step.Call)
	}
	want := []string{"said: GET / of fn:hello", "file: GET /a.json of dir:./public", "users: GET /users/{user} of users", "nested: GET /{who=path.user} of named"}
	if !slices.Equal(calls, want) || e.Backends[0].Request != nil {
		t.Errorf("explained as %q, want %q", calls, want)
	}
}

// TestStepsAreInFlightTogetherAndEndWithTheirClient has a server that answers nobody
// before both steps have come, and then a client that leaves while they wait.
func TestStepsAreInFlightTogetherAndEndWithTheirClient(t *testing.T) {
	w := newWorld(t)
	var here sync.WaitGroup
	ended := make(chan string, 2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here.Done()
		here.Wait() // nobody goes on alone
		if r.URL.Query().Get("stay") == "" {
			_, _ = w.Write([]byte("1"))
			return
		}
		<-r.Context().Done()
		ended <- r.URL.Path
	}))
	defer s.Close()
	w.serve(w.load(strings.ReplaceAll(`routes:
  GET /home:
    compose:
      a: { to: "$/a", query: { stay: =query.stay } }
      b: { to: "$/b", query: { stay: =query.stay }, else: 2 }
`, "$", s.URL)))
	here.Add(2)
	if answer := w.get("/home"); answer.Body.String() != `{"a":1,"b":1}` {
		t.Errorf("got %d %s", answer.Code, answer.Body)
	}
	ctx, leave := context.WithCancel(t.Context())
	here.Add(2)
	go func() { here.Wait(); leave() }()
	answer := httptest.NewRecorder()
	w.gateway.Handler(":8080").ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/home?stay=1", nil).WithContext(ctx))
	paths := []string{<-ended, <-ended}
	slices.Sort(paths)
	if !slices.Equal(paths, []string{"/a", "/b"}) || answer.Code != 499 {
		t.Errorf("%v have ended, the client got %d", paths, answer.Code)
	}
}

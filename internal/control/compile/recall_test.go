package compile_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
)

// note is a filter that writes into the diary when it is built. It may ask for a
// secret, a backend and kept state.
type noteConfig struct {
	Name   string         `doc:"name,required"`
	Secret *config.Secret `doc:"secret"`
	Calls  string         `doc:"calls"`
	State  string         `doc:"state"`
}

func (w *world) note() filter.Definition {
	return filter.Define("note", "notes that it is built", filter.StageLimit, func() noteConfig { return noteConfig{} },
		func(env filter.Env, c *noteConfig) (filter.Policy, error) {
			text := c.Name
			if c.Secret != nil {
				value, err := env.Secret(c.Secret.Template)
				if err != nil {
					return filter.Policy{}, err
				}
				text += " " + value.Reveal()
			}
			if c.Calls != "" {
				if _, err := env.Backend(config.Ref{Rest: c.Calls}); err != nil {
					return filter.Policy{}, err
				}
			}
			if c.State != "" {
				if _, err := keep.In(env.Keep, c.State, func() (*int, func(context.Context), error) { return new(int), func(context.Context) {}, nil }); err != nil {
					return filter.Policy{}, err
				}
			}
			w.diary.notef("%s", text)
			guard := func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if _, err := env.Backend(config.Ref{Scheme: "http", Rest: "//127.0.0.1:1"}); err == nil {
						w.t.Error("a filter that keeps its Env can still ask for a backend, so it keeps the whole build")
					}
					next.ServeHTTP(rw, r)
				})
			}
			return filter.Policy{Guard: guard, Close: func() { w.diary.notef("end %s", text) }}, nil
		})
}

func newNotes(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.parts.Filters = append(w.parts.Filters, w.note())
	w.compiler = w.newCompiler()
	return w
}

// Each row serves one config and then another one; want is what is built and ended
// for the second.
func TestOneChangeCostsWhatItConcerns(t *testing.T) {
	const plain = "routes:\n  GET /a:\n    note: { name: a }\n    to: respond:a\n  GET /b:\n    note: { name: b }\n    to: http://127.0.0.1:1\n"
	const named = "routes:\n  GET /a:\n    note: { name: a }\n    to: users\n  GET /b:\n    note: { name: b, calls: users }\n    to: respond:b\n  GET /c:\n    note: { name: c }\n    to: respond:c\nservices:\n  users: { endpoints: [127.0.0.1:1], timeout: 5s }\n"
	const secret = "routes:\n  GET /a:\n    note: { name: a, secret: '${file:token}' }\n    to: respond:a\n  GET /b:\n    note: { name: b }\n    to: respond:b\n"
	const auth = "auth:\n  key: { keys: { ada: 'a-long-prefix-${file:token}' } }\nroutes:\n  GET /a:\n    note: { name: a }\n    auth: key\n    to: respond:a\n  GET /b:\n    note: { name: b }\n    to: respond:b\n"
	const composed = "routes:\n  GET /a:\n    note: { name: a }\n    compose: { x: 'http://127.0.0.1:1', y: named }\n  GET /b:\n    note: { name: b }\n    to: named\n  GET /c:\n    note: { name: c }\n    to: respond:c\n" +
		"compositions:\n  named: { steps: { z: 'http://127.0.0.1:2' } }\n"
	for name, c := range map[string]struct {
		before, after string
		token         string // what a secret holds afterwards
		want          string
	}{
		"nothing":                  {plain, plain, "", ""},
		"a filter":                 {plain, strings.Replace(plain, "name: a", "name: aa", 1), "", "aa, end a"},
		"a backend":                {plain, strings.Replace(plain, "127.0.0.1:1", "127.0.0.1:2", 1), "", "b, end b"},
		"a time":                   {plain, strings.Replace(plain, "    to: respond:a", "    timeout: 1s\n    to: respond:a", 1), "", "a, end a"},
		"a route less":             {plain, strings.Replace(plain, "  GET /a:\n    note: { name: a }\n    to: respond:a\n", "", 1), "", "end a"},
		"a route more":             {plain, plain + "  GET /c: respond:c\n", "", ""},
		"places":                   {plain, "routes:\n\n  # moved\n" + strings.TrimPrefix(plain, "routes:\n"), "", ""},
		"the order":                {plain, "routes:\n  GET /b:\n    note: { name: b }\n    to: http://127.0.0.1:1\n  GET /a:\n    note: { name: a }\n    to: respond:a\n", "", ""},
		"a listener":               {plain, "listen: [':8080', ':9090']\n" + plain, "", ""},
		"the body that all may":    {plain, plain + "limits: { body: 1MB }\n", "", "a, b, end a, end b"},
		"a service's endpoint":     {named, strings.Replace(named, "127.0.0.1:1", "127.0.0.1:2", 1), "", ""},
		"a service's time":         {named, strings.Replace(named, "5s", "6s", 1), "", "a, b, end a, end b"},
		"a secret":                 {secret, secret, "two", "a two, end a one"},
		"a secret that is lost":    {secret, secret, "-", ""},
		"a way to recognise":       {auth, strings.Replace(auth, "ada:", "bob:", 1), "", "a, end a"},
		"a way that is said anew":  {auth, "# moved\n" + auth, "", ""},
		"a secret behind a way":    {auth, auth, "two", "a, end a"},
		"a step":                   {composed, strings.Replace(composed, "127.0.0.1:1", "127.0.0.1:3", 1), "", "a, end a"},
		"a step of a step":         {composed, strings.Replace(composed, "127.0.0.1:2", "127.0.0.1:3", 1), "", "a, b, end a, end b"},
		"a composition moved":      {composed, "# moved\n" + composed, "", "a, b, end a, end b"},
		"a composition as it was":  {composed, composed, "", ""},
		"what a route is named by": {plain, strings.Replace(plain, "    note: { name: a }\n", "    name: one\n    note: { name: a }\n", 1), "", "a, end a"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newNotes(t)
			token := filepath.Join(w.folder, "token")
			write := func(text string) {
				t.Helper()
				if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("one")
			w.serve(w.load(c.before))
			w.diary.take()
			switch c.token {
			case "":
			case "-":
				if err := os.Remove(token); err != nil {
					t.Fatal(err)
				}
			default:
				write(c.token)
			}
			w.serve(w.load(c.after))
			if got := w.diary.sorted(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			w.get("/a")
			w.serve(w.load(c.after))
			if got := w.diary.take(); got != "" {
				t.Errorf("the same once more: %q", got)
			}
		})
	}
}

// What a route tells of its places follows the file, though the route is not built again.
func TestPlacesFollowARouteThatIsNotBuiltAgain(t *testing.T) {
	w := newNotes(t)
	const text = "routes:\n  GET /a:\n    note: { name: a }\n    headers: { response: { set: { X-A: '1' } } }\n    to: http://127.0.0.1:1\n"
	const inherits = text + "defaults: { forwarded: none }\n"
	places := func() string {
		e := w.gateway.Current().Explain(":8080", httptestRequest("/a"), peer(), nil)
		var all []string
		for _, f := range e.Filters {
			all = append(all, filepath.Base(f.Origin))
		}
		return fmt.Sprintln(filepath.Base(e.Route.Origin), all, filepath.Base(e.Backends[0].Origin), filepath.Base(e.Forwarded.Origin))
	}
	w.serve(w.load(inherits))
	if got := places(); got != "weir.yaml:3:3 [weir.yaml:5:5 weir.yaml:4:5] weir.yaml:6:9 weir.yaml:7:13\n" {
		t.Errorf("at first: %s", got)
	}
	before := w.gateway.Current()
	w.diary.take()
	// A config that is compiled and given up moves nothing that serves.
	w.compile(w.load("# one\n# two\n" + inherits)).Abort(context.Background())
	if got := places(); got != "weir.yaml:3:3 [weir.yaml:5:5 weir.yaml:4:5] weir.yaml:6:9 weir.yaml:7:13\n" || w.gateway.Current() != before {
		t.Errorf("after a config that was given up: %s", got)
	}
	w.serve(w.load("# moved\n" + inherits))
	if got := places(); got != "weir.yaml:4:3 [weir.yaml:6:5 weir.yaml:5:5] weir.yaml:7:9 weir.yaml:8:13\n" {
		t.Errorf("moved: %s", got)
	}
	w.serve(w.load("# moved\n" + text + "    forwarded: none\n"))
	if got := places(); got != "weir.yaml:4:3 [weir.yaml:6:5 weir.yaml:5:5] weir.yaml:7:9 weir.yaml:4:3\n" {
		t.Errorf("said by the route itself: %s", got)
	}
	if got := w.diary.take(); got != "" {
		t.Errorf("built again: %q", got)
	}
}

// A rule without a name is called by its place while it serves.
func TestARuleThatIsCalledByItsPlaceFollowsIt(t *testing.T) {
	w := newNotes(t)
	const text = "routes:\n  GET /a:\n    note: { name: a }\n    allow: =client.ip != '192.0.2.1'\n    to: respond:a\n"
	w.serve(w.load(text))
	w.serve(w.load("# moved\n" + text))
	if got := w.diary.take(); got != "a, a, end a" {
		t.Errorf("got %q", got)
	}
}

// A function whose secret has changed is made again.
func TestAFunctionIsMadeAgainForAnotherSecret(t *testing.T) {
	w := newNotes(t)
	token := filepath.Join(w.folder, "token")
	const text = "routes:\n  GET /: fn:hello\nfunctions:\n  hello: { echo: hi, secret: '${file:token}' }\n"
	for _, value := range []string{"one", "one", "two"} {
		if err := os.WriteFile(token, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
		w.serve(w.load(text))
	}
	if got := w.diary.take(); got != "build hi, tune hi to max 1, build hi, close hi" {
		t.Errorf("got %q", got)
	}
}

// A warning that a route gives is given again, so that nobody takes it for gone.
func TestAWarningIsGivenEachTime(t *testing.T) {
	w := newNotes(t)
	cfg := w.load("routes:\n  GET /a:\n    to: respond:a\n")
	cfg.Routes[0].Origin.Object = "HTTPRoute shop/a"
	cfg.Routes[0].Filters[0].Name = "unheard"
	for range 2 {
		pending, problems := w.compiler.Compile(cfg, "")
		if pending == nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "answers 500") {
			t.Fatalf("got %v", problems)
		}
		w.gateway.Swap(pending.Snapshot)
		pending.Commit()(context.Background())
		if got := w.get("/a").Code; got != http.StatusInternalServerError {
			t.Errorf("it answers %d", got)
		}
	}
}

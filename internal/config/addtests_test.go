package config_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// further are tests of every form.
func further() []config.Test {
	return []config.Test{
		{Request: config.TestRequest{Method: "GET", Path: "/a"}, Route: "GET /a", Status: 200},
		{Request: config.TestRequest{
			Method: "POST", Host: "shop.dev", Path: "/b?c=d", Listener: ":8080", As: `{"sub":"ada"}`, Client: "192.0.2.1",
			Headers: []config.FieldMatch{{Name: "x-a", Value: "1"}, {Name: "x-b", Value: ": #"}}, Body: "{}\n",
		}, Route: "none", Backend: "none"},
	}
}

func TestTestsAreAddedWhereTheyBelong(t *testing.T) {
	const routes = "listen: :8080\nroutes:\n  GET /a: http://a:1\n"
	for name, c := range map[string]struct{ text, before string }{
		"a file without tests":          {routes, "# kept\n"},
		"a file without an end of line": {strings.TrimSuffix(routes, "\n"), ""},
		"a file with tests":             {routes + "tests:\n  - request: GET /old # kept\n    status: 404\n", "# kept\n"},
		"tests in the middle":           {"tests:\n    -   request: GET /old\n        status: 404\n\n# of the listener\n" + routes, "# of the listener\nlisten: :8080\n"},
		"tests that are not indented":   {"tests:\n- request: GET /old\n  status: 404\n" + routes, "listen: :8080\n"},
		"an empty file":                 {"# nothing yet\n", "# nothing yet\n"},
		"no text at all":                {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.text == routes {
				c.text = "# kept\n" + c.text
			}
			out, err := config.AddTests(config.Source{Path: "weir.yaml", Data: []byte(c.text)}, further())
			if err != nil {
				t.Fatal(err)
			}
			var ps doc.Problems
			if again := doc.Format("weir.yaml", out, &ps); !bytes.Equal(again, out) {
				t.Errorf("not in the standard layout:\n%s", out)
			}
			if !strings.Contains(string(out), c.before) {
				t.Errorf("%q is lost:\n%s", c.before, out)
			}
			text := string(out)
			if !strings.Contains(text, "routes:") {
				text = routes + text
			}
			cfg := load(t, text)
			want := len(further())
			if strings.Contains(c.text, "tests:") {
				want++
			}
			if len(cfg.Tests) != want {
				t.Fatalf("%d tests, want %d:\n%s", len(cfg.Tests), want, out)
			}
			for i, wanted := range further() {
				if got := cfg.Tests[want-len(further())+i]; !config.Same(got, wanted) {
					t.Errorf("got %+v, want %+v", got, wanted)
				}
			}
			if !config.Same(load(t, routes).Routes, cfg.Routes) {
				t.Errorf("the routes have changed:\n%s", out)
			}
		})
	}
}

func TestWhereTestsCannotBeAddedNothingIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"tests: [{ request: GET /, status: 404 }]\n": "brackets",
		"tests: []\n":           "holds no list",
		"{ listen: ':8080' }\n": "has a layout that tests cannot be added to",
		"routes: {\n":           "cannot be read",
	} {
		if out, err := config.AddTests(config.Source{Path: "weir.yaml", Data: []byte(text)}, further()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %q, %v, want %q", text, out, err, want)
		}
	}
	if out, err := config.AddTests(config.Source{Data: []byte("routes: {\n")}, nil); err != nil || string(out) != "routes: {\n" {
		t.Errorf("nothing to add: %q, %v", out, err)
	}
}

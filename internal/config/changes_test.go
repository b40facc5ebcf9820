package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
)

const before = `listen: :8080
limits: { body: 1MB }
services:
  users: [10.0.0.1:80, 10.0.0.2:80]
routes:
  GET /a: http://a:1
  GET /b:
    headers: { set: { x-a: "1" } }
    to: users
  GET /c:
    match: { headers: { x-c: "1" } }
    to: [{ share: 5%, use: "http://a:1" }, http://b:1]
tests:
  - { request: GET /a, route: GET /a }
`

func TestChangesTellsWhatDiffersAndNoMore(t *testing.T) {
	replaced := func(pairs ...string) string {
		text := strings.NewReplacer(pairs...).Replace(before)
		if text == before {
			t.Fatalf("%q replaces nothing", pairs)
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                       {before, "nothing"},
		"comments and places":           {"# moved\n\n" + replaced("GET /b:", "GET /b: # here"), "nothing"},
		"the order of routes":           {replaced("  GET /a: http://a:1\n", "", "tests:", "  GET /a: http://a:1\ntests:"), "nothing"},
		"a backend":                     {replaced("GET /a: http://a:1", "GET /a: http://a:2"), "routes ~1"},
		"a value deep in a filter":      {replaced(`x-a: "1"`, `x-a: "2"`), "routes ~1"},
		"a share":                       {replaced("5%", "6%"), "routes ~1"},
		"a condition":                   {replaced(`x-c: "1"`, `x-c: "2"`), "routes ~1"},
		"a path, which is its name too": {replaced("GET /b:", "GET /bb:"), "routes +1 -1"},
		"an endpoint":                   {replaced("10.0.0.2:80", "10.0.0.3:80"), "services ~1"},
		"a limit and a test":            {replaced("1MB", "2MB", "request: GET /a", "request: GET /a?x"), "limits ~1, tests ~1"},
		"the engine that is usual":      {before + "engine: own\n", "nothing"},
		"the other engine":              {before + "engine: std\n", "engine ~1"},
		"a listener":                    {replaced("listen: :8080", "listen: [':8080', ':8081']"), "sockets +1, listeners +1"},
	} {
		t.Run(name, func(t *testing.T) {
			changes := config.Changes(load(t, before), load(t, c.text))
			if got := config.Summary(changes); got != c.want {
				t.Errorf("got %s, want %s: %v", got, c.want, changes)
			}
		})
	}
	if got := config.Summary(config.Changes(nil, load(t, "listen: :8080", "routes:", "  GET /: http://a:1"))); !strings.Contains(got, "routes +1") {
		t.Errorf("from nothing: %s", got)
	}
}

func TestChangesNamesElements(t *testing.T) {
	after := strings.NewReplacer("GET /a: http://a:1", "GET /z: http://a:1", "10.0.0.2", "10.0.0.3", "route: GET /a", "route: GET /z", "request: GET /a,", "request: GET /z,").Replace(before)
	var got []string
	for _, c := range config.Changes(load(t, before), load(t, after)) {
		got = append(got, c.String())
	}
	want := []string{"removed routes GET /a", "added routes GET /z", "changed services users", "changed tests"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every good config is the same as itself read twice, and each element of it has a
// text of its own, without places.
func TestElementsAreTheLongFormWithoutPlaces(t *testing.T) {
	c := load(t, before)
	if !config.Same(c, load(t, before)) {
		t.Error("a config differs from itself")
	}
	var names []string
	for _, e := range config.Elements(c) {
		names = append(names, strings.TrimSpace(e.Kind+" "+e.Name))
		if strings.Contains(e.Text, "weir.yaml") || e.Text == "" {
			t.Errorf("%s %s: %q", e.Kind, e.Name, e.Text)
		}
	}
	want := []string{"version", "problems", "engine", "listen :8080", "admin", "telemetry", "limits", "shutdown", "services users", "routes GET /a", "routes GET /b", "routes GET /c", "tests GET /a"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	moved := config.Elements(load(t, "# moved\n"+before))
	if fmt.Sprint(moved) != fmt.Sprint(config.Elements(c)) {
		t.Error("the texts of elements depend on where they stand")
	}
}

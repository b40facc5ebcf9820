package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func source(path string, text ...string) config.Source {
	return config.Source{Path: path, Data: []byte(strings.Join(text, "\n"))}
}

// load reads one file and fails where it has errors.
func load(t *testing.T, text ...string) *config.Config {
	t.Helper()
	r := config.Load([]config.Source{source("weir.yaml", text...)}, vocabulary())
	if r.Config == nil {
		t.Fatalf("problems:\n%s", lines(r.Problems))
	}
	return r.Config
}

func TestBadNamesEveryFileThatHasAPartInAnError(t *testing.T) {
	main := source("main.yaml", "listen: :8080", "groups: {x: {}, y: {}, z: {}}")
	x := source("x.yaml", "group: x", "routes:", "  GET /a: http://x:1")
	y := source("y.yaml", "group: y", "routes:", "  GET /a: http://y:1")
	z := source("z.yaml", "group: z", "routes:", "  GET /z: http://z:1")
	typo := source("z.yaml", "group: z", "routs: {}")
	broken := source("z.yaml", "group: z", "routes: {")
	unread := config.Source{Path: "z.yaml", Unread: errors.New("no permission")}
	empty := source("z.yaml")
	for name, c := range map[string]struct {
		sources []config.Source
		want    []string
	}{
		"one file's mistake is its own":         {[]config.Source{main, x, typo}, []string{"z.yaml"}},
		"a file that cannot be read is its own": {[]config.Source{main, x, broken}, []string{"z.yaml"}},
		"neither is one that cannot be opened":  {[]config.Source{main, x, unread}, []string{"z.yaml"}},
		"nor one that is about to be written":   {[]config.Source{main, x, empty}, []string{"z.yaml"}},
		"a clash is of both files, not of more": {[]config.Source{main, x, y, z}, []string{"x.yaml", "y.yaml"}},
		"the last good versions load again":     {[]config.Source{main, x, z}, nil},
	} {
		r := config.Load(c.sources, vocabulary())
		if got := slices.Sorted(maps.Keys(r.Bad)); !slices.Equal(got, c.want) {
			t.Errorf("%s: bad are %v, want %v\n%s", name, got, c.want, lines(r.Problems))
		}
		if (r.Config == nil) != (len(c.want) > 0) {
			t.Errorf("%s: config is %v", name, r.Config)
		}
	}
}

// problems holds that exactly the problems of a config are told that want hints
// at, in their order.
func problems(t *testing.T, name, text string, want ...string) {
	t.Helper()
	r := config.Load([]config.Source{source("weir.yaml", text)}, vocabulary())
	if len(r.Problems) != len(want) {
		t.Errorf("%s: want %q, got\n%s", name, want, lines(r.Problems))
		return
	}
	for i, p := range r.Problems {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("%s: want %q, got %s", name, want[i], p)
		}
	}
}

func TestOneMistakeIsToldOnce(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a service and not who names it": {
			"listen: :8080\nroutes: {GET /: orders}\nservices:\n  orders: {endpoint: 'a:1'}", `unknown key "endpoint"`},
		"a listener and not who names it": {
			"listen:\n  a: {address: ':1', protocl: HTTP}\n  b: ':2'\nroutes:\n  GET a.dev/: {to: 'http://a:1', listeners: a}\n" +
				"tests: [{request: {line: GET /, listener: a}, status: 200}]", `"protocl"`},
		"the only listener": {
			"listen:\n  a: {address: ':1', protocl: HTTP}\nroutes:\n  GET /: http://a:1", `"protocl"`},
		"the listener of a host": {
			"listen:\n  a: {address: ':1', hostname: a.dev}\n  b: {address: ':2', hostnam: b.dev}\nroutes:\n  GET b.dev/: http://b:1", `"hostnam"`},
		"a listener that is nothing": {
			"listen:\nroutes:\n  GET /: http://a:1", `"listen" has no value`},
		"a route and not its test": {
			"listen: :8080\nroutes:\n  GET /: {to: 'http://a:1', tiemout: 1s}\ntests: [{request: GET /, route: GET /}]", `"tiemout"`},
		"a key and not what it captures": {
			"listen: :8080\nroutes:\n  get /a/{id}: {to: 'http://a:1/x/{id}', match: {when: =path.id != ''}, strip: none}", "not in capitals"},
		"an expression that is nothing": {
			"listen: :8080\nroutes:\n  GET /: {to: 'http://a:1', match: {when: '='}}", "expression is empty"},
		"a filter that would answer": {
			"listen: :8080\nroutes:\n  GET /: {respond: {status: 204, bodi: x}}", `"bodi"`},
		"a list of listeners": {
			"listen: :8080\nroutes:\n  GET /: {to: 'http://a:1', listeners: [[x]]}", "is among the elements of listeners"},
		"a list of hosts": {
			"listen: :8080\nroutes:\n  GET /: {to: 'http://a:1', hosts: [[x]]}", "is among the elements of hosts"},
	} {
		problems(t, name, c.text, c.want)
	}
}

// TestOneMistakeInARouteHidesNoOther holds that what a typo keeps from being read
// whole is checked as far as it was read.
func TestOneMistakeInARouteHidesNoOther(t *testing.T) {
	problems(t, "short", strings.Join([]string{
		"listen: {public: ':8080'}",
		"routes:",
		"  GET /a/:x:",
		"    tiemout: 5s",
		"    match: {when: =query.a}",
		"    listeners: publik",
		"    retry: 99",
		"    to: usres",
		"  get /b:",
		"    to:",
		"      - {share: 5%, sticky: =clint.ip, use: usres}",
		"      - {when: =hots == '', use: 'fn:ordres', headers: {value: =path.nope}}",
		"      - http://a:1",
		"services:",
		"  users: http://users:1",
	}, "\n"),
		`names the listener "publik", which does not exist`,
		`retry has 99 further tries`,
		`warning: the segment ":x" of the route "GET /a/:x" is literal text`,
		`unknown key "tiemout"`,
		`weir.yaml:5:25: when: must be true or false, this is a string`,
		`there is no service, function or composition "usres"`,
		`the method "get" is not in capitals`,
		`sticky: 'clint' is not a known name`,
		`there is no service, function or composition "usres"`,
		`when: 'hots' is not a known name`,
		`there is no function "ordres"`)
}

func TestWarningsDoNotRefuse(t *testing.T) {
	r := config.Load([]config.Source{source("weir.yaml", "listen: :8080",
		"routes:", "  GET /a/:id: http://a:1", "  GET /b: http://b:1/")}, vocabulary())
	if r.Config == nil || len(r.Problems) != 2 || len(r.Bad) > 0 {
		t.Fatalf("config is %v, bad are %v, problems are\n%s", r.Config, r.Bad, lines(r.Problems))
	}
	for _, p := range r.Problems {
		if p.Severity != doc.Warning {
			t.Errorf("%s is no warning", p)
		}
	}
	if f := r.Config.Routes[1].Backends[0].Filters; len(f) > 0 {
		t.Errorf("a slash at the end made the filters %v", f)
	}
}

// TestInheritanceReplacesWholeFields holds the one rule of defaults: the nearest
// field counts whole, and none switches an inherited one off.
func TestInheritanceReplacesWholeFields(t *testing.T) {
	c := load(t, "listen: :8080",
		"defaults:",
		"  timeout: {connect: 1s, total: 9s}",
		"  headers: {set: {from: defaults}}",
		"  cors: {origins: https://a.dev}",
		"groups:",
		"  g:",
		"    defaults:",
		"      headers: {set: {by: group}}",
		"    routes:",
		"      GET /inherits: http://a:1",
		"      GET /replaces: {to: http://a:1, timeout: {connect: 2s}, cors: {origins: https://b.dev}}",
		"      GET /switches-off: {to: http://a:1, timeout: none, headers: none, cors: none}")
	type seen struct {
		timeouts config.Timeouts
		via      string
		filters  string
	}
	got := map[string]seen{}
	for _, r := range c.Routes {
		s := seen{timeouts: r.Timeouts, via: r.Via["timeout"].Via}
		for _, f := range r.Filters {
			s.filters += f.Name + "(" + f.Origin.Via + ")"
		}
		got[strings.TrimPrefix(r.Name, "g: GET /")] = s
	}
	want := map[string]seen{
		"inherits":     {config.Timeouts{Connect: time.Second, Total: 9 * time.Second}, "defaults", "cors(defaults)headers(group g)"},
		"replaces":     {config.Timeouts{Connect: 2 * time.Second}, "", "cors()headers(group g)"},
		"switches-off": {config.Timeouts{Total: config.NoTimeout}, "", ""},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v,\nwant %v", got, want)
	}
}

// TestLongFormInheritsToo holds that a guard in defaults cannot be left out by
// writing a route in the long form.
// TestBackendsOfTheLongFormWeighOne holds where no weight is written: the only backend
// gets everything, and several get alike.
func TestBackendsOfTheLongFormWeighOne(t *testing.T) {
	c := load(t, `listen: :8080
routes:
  - name: r
    matches: [{ path: / }]
    backends:
      - { when: "=query.beta == '1'", use: "http://a:1" }
      - { use: "http://b:1" }
      - { weight: 0, use: "http://c:1" }
      - { weight: 3, use: "http://d:1" }
`)
	var weights []int
	for _, b := range c.Routes[0].Backends {
		weights = append(weights, b.Weight)
	}
	if want := []int{0, 1, 0, 3}; !slices.Equal(weights, want) {
		t.Errorf("weights are %v, want %v", weights, want)
	}
}

func TestLongFormInheritsToo(t *testing.T) {
	c := load(t, "listen: :8080",
		"defaults:", "  bearer: {token: '${env:TOKEN}'}",
		"routes:",
		"  - name: guarded",
		"    matches: [{path: /a}]",
		"    backends: [{weight: 1, use: 'http://a:1'}]",
		"  - name: open",
		"    matches: [{path: /b}]",
		"    filters: [{bearer: none}]",
		"    backends: [{weight: 1, use: 'http://a:1'}]")
	if len(c.Routes[0].Filters) != 1 || c.Routes[0].Filters[0].Name != "bearer" {
		t.Errorf("the long form escapes its defaults: %+v", c.Routes[0].Filters)
	}
	if len(c.Routes[1].Filters) != 0 {
		t.Errorf("none does not switch off: %+v", c.Routes[1].Filters)
	}
}

// TestFiltersHaveConfigsOfTheirOwn holds that routes that inherit a filter do not
// share its config.
func TestFiltersHaveConfigsOfTheirOwn(t *testing.T) {
	c := load(t, "listen: :8080", "defaults:", "  cors: {origins: https://a.dev}",
		"routes:", "  GET /a: http://a:1", "  GET /b: http://a:1")
	a, b := c.Routes[0].Filters[0].Config, c.Routes[1].Filters[0].Config
	if a == b || !reflect.DeepEqual(a, b) {
		t.Errorf("configs are %p and %p, want two equal ones", a, b)
	}
}

func TestExpandPrintsNoSecret(t *testing.T) {
	c := load(t, "listen: :8080",
		"admin: {address: 127.0.0.1:8081, token: hunter2}",
		"routes:", "  GET /: {bearer: {token: 'Bearer ${env:TOKEN} hunter2'}, to: http://a:1}")
	text := string(config.Expand(c, vocabulary()))
	if strings.Contains(text, "hunter2") || !strings.Contains(text, "${env:TOKEN}") {
		t.Errorf("a literal is printed, or a reference is not:\n%s", text)
	}
}

// TestSecretsThatWereNotPrintedDoNotLoad holds that the word in place of a secret
// is never taken for one.
func TestSecretsThatWereNotPrintedDoNotLoad(t *testing.T) {
	c := load(t, "listen:",
		"  a: {address: ':8443', tls: {cert: /a.crt, key: \"-----BEGIN KEY-----\\nhunter2\"}}",
		"admin: {address: 127.0.0.1:8081, token: hunter2}",
		"routes:",
		"  GET /: {bearer: {token: 'Bearer ${env:TOKEN} hunter2'}, to: http://a:1}",
		"  GET /b: {bearer: {token: '${env:TOKEN}'}, to: http://a:1}")
	text := string(config.Expand(c, vocabulary()))
	r := config.Load([]config.Source{{Path: "expanded.yaml", Data: []byte(text)}}, vocabulary())
	var places []int
	for _, p := range r.Problems {
		if !strings.Contains(p.String(), "the text of a secret has been left out here ([secret]); a printed config holds no secrets") {
			t.Errorf("another problem: %s", p)
		}
		places = append(places, p.Pos.Line)
	}
	var commented []int
	for i, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "# its text is not printed, so this does not load") {
			commented = append(commented, i+1)
		}
	}
	if r.Config != nil || len(places) != 3 || !slices.Equal(places, commented) {
		t.Errorf("problems are at %v, comments at %v, of\n%s", places, commented, text)
	}
}

func TestReadTakesFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := config.Read(dir); err == nil || !strings.Contains(err.Error(), "holds no file whose name ends in .yaml or .yml") {
		t.Errorf("an empty directory: %v", err)
	}
	write("b.yml", "b")
	write("a.yaml", "a")
	write("notes.txt", "-")
	write(".hidden.yaml", "-")
	write("sub/c.yaml", "-")
	write("..2026/config.yaml", "mounted")
	if err := os.Symlink("..2026", filepath.Join(dir, "..data")); err == nil { // a ConfigMap's way; not every system has links
		if err := os.Symlink(filepath.Join("..data", "config.yaml"), filepath.Join(dir, "m.yaml")); err != nil {
			t.Fatal(err)
		}
	} else {
		write("m.yaml", "mounted")
	}
	sources, err := config.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range sources {
		got = append(got, filepath.Base(s.Path)+"="+string(s.Data))
	}
	if want := []string{"a.yaml=a", "b.yml=b", "m.yaml=mounted"}; !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	if err := os.Symlink("missing", filepath.Join(dir, "z.yaml")); err == nil {
		sources, err := config.Read(dir)
		if err != nil || len(sources) != 4 || sources[3].Unread == nil {
			t.Errorf("a link that leads nowhere: %v, %v", sources, err)
		}
	}
	if one, err := config.Read(filepath.Join(dir, "notes.txt")); err != nil || len(one) != 1 {
		t.Errorf("a file named outright: %v, %v", one, err)
	}
	if _, err := config.Read(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// objects is a config as a controller makes it: named by objects, no places in files.
func objects() *config.Config {
	at := func(name string) config.Origin { return config.Origin{Object: name} }
	return &config.Config{
		Limits:    config.DefaultLimits(),
		Sockets:   []config.Socket{{Name: "web", Address: ":80", Origin: at("Gateway shop/web")}},
		Listeners: []config.Listener{{Name: "web", Socket: "web", Protocol: config.HTTP, Origin: at("Gateway shop/web")}},
		Services:  []config.Service{{Name: "Service shop/a port 80", Origin: at("Service shop/a"), Source: config.Ref{Scheme: "k8s", Rest: "shop/a:80"}}},
		Routes: []config.Route{{
			Name: "HTTPRoute shop/a rule 0", Origin: at("HTTPRoute shop/a"),
			Matches:  []config.Match{{Path: config.PathMatch{Prefix: "/a/{x}"}, Origin: at("HTTPRoute shop/a")}},
			Backends: []config.Backend{{Weight: 1, Ref: config.Ref{Rest: "Service shop/a port 80"}}, {Weight: 1, Status: 500, Reason: "no such service"}},
		}},
	}
}

func TestValidateTakesWhatObjectsBecome(t *testing.T) {
	if problems := config.Validate(objects(), vocabulary()); len(problems) > 0 {
		t.Errorf("problems:\n%s", lines(problems))
	}
	c := objects()
	c.Routes[0].Broken = "its filter is unknown"
	c.Routes[0].Filters = []config.Filter{{Name: "nonsense"}}
	if problems := config.Validate(c, vocabulary()); len(problems) > 0 {
		t.Errorf("a broken route is told again:\n%s", lines(problems))
	}
}

func TestValidateNamesTheObject(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		`HTTPRoute shop/a: unknown filter "core"; did you mean "cors"?`: func(c *config.Config) {
			c.Routes[0].Filters = []config.Filter{{Name: "core", Config: 1, Origin: c.Routes[0].Origin}}
		},
		`HTTPRoute shop/a: the filter "cors" has the config int`: func(c *config.Config) {
			c.Routes[0].Filters = []config.Filter{{Name: "cors", Config: 1, Origin: c.Routes[0].Origin}}
		},
		`HTTPRoute shop/a: a match has more than one path`: func(c *config.Config) { c.Routes[0].Matches[0].Path.Exact = "/x" },
		`HTTPRoute shop/a: the time-out "head" is negative`: func(c *config.Config) {
			c.Routes[0].Timeouts.Head = -5 * time.Second
		},
		`HTTPRoute shop/b: there is a second route "HTTPRoute shop/a rule 0"; the first is at HTTPRoute shop/a`: func(c *config.Config) {
			again := c.Routes[0]
			again.Origin.Object = "HTTPRoute shop/b"
			c.Routes = append(c.Routes, again)
		},
		`Gateway shop/web: the listener "web" is on the socket "wab", which does not exist`: func(c *config.Config) {
			c.Listeners[0].Socket = "wab"
		},
	} {
		c := objects()
		change(c)
		if got := lines(config.Validate(c, vocabulary())); !strings.Contains(got, want) {
			t.Errorf("want %s\ngot %s", want, got)
		}
	}
}

func TestIdenticalMatchesAreSettledByRank(t *testing.T) {
	twice := func(rank string) *config.Config {
		c := objects()
		again := c.Routes[0]
		again.Name, again.Origin.Object = "HTTPRoute shop/b rule 0", "HTTPRoute shop/b"
		c.Routes = append(c.Routes, again)
		for i := range c.Routes {
			c.Routes[i].Policy.Rank = rank
		}
		return c
	}
	if got := lines(config.Validate(twice(""), vocabulary())); !strings.Contains(got, "matches the same requests") {
		t.Errorf("without a rank: %q", got)
	}
	if got := config.Validate(twice("2026-01-01 shop/a"), vocabulary()); len(got) > 0 {
		t.Errorf("with one: %s", lines(got))
	}
}

// TestGroupsSecretsAreFoundWhereverTheyStand holds that no shape of a filter's
// config hides a secret from the group's grant.
func TestGroupsSecretsAreFoundWhereverTheyStand(t *testing.T) {
	hidden := config.Secret{Template: secret.Template{Parts: []secret.Part{{Source: "env", Text: "ADMIN"}}}}
	for name, value := range map[string]any{
		"a pointer":     &struct{ S *config.Secret }{&hidden},
		"a list":        &struct{ S []config.Secret }{[]config.Secret{hidden}},
		"a map":         &struct{ S map[string]config.Secret }{map[string]config.Secret{"a": hidden}},
		"an interface":  &struct{ S any }{hidden},
		"not exported":  &struct{ s config.Secret }{hidden},
		"the template":  &struct{ S secret.Template }{hidden.Template},
		"a nested list": &struct{ S [][]any }{[][]any{{nil, hidden}}},
	} {
		c := objects()
		c.Groups = []config.Group{{Name: "shop", Secrets: []string{"env:SHOP_*"}}}
		c.Routes[0].Group = "shop"
		c.Routes[0].Filters = []config.Filter{{Name: "cors", Config: value, Origin: c.Routes[0].Origin}}
		if got := lines(config.Validate(c, vocabulary())); !strings.Contains(got, `may not reach the secret "env:ADMIN"`) {
			t.Errorf("in %s: %s", name, got)
		}
	}
}

func TestTimeoutsAreCompletedFromOutside(t *testing.T) {
	route, service := config.Timeouts{Head: time.Second}, config.Timeouts{Head: 2 * time.Second, Total: 3 * time.Second}
	got := route.Or(service).Or(config.DefaultTimeouts())
	want := config.Timeouts{Connect: 5 * time.Second, Head: time.Second, Idle: 5 * time.Minute, Total: 3 * time.Second}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestATimeOutIsOnlyRetriedWhereItIsAskedFor holds what counts as a failure: 504,
// and with it a head that is late, by a written retry, and by the default none.
func TestATimeOutIsOnlyRetriedWhereItIsAskedFor(t *testing.T) {
	if r := config.DefaultRetry(); r.Attempts != 2 || len(r.Statuses) > 0 {
		t.Errorf("the default is %+v", r)
	}
	c := load(t, "listen: :8080", "routes:",
		"  GET /a: {to: http://a:1, retry: 2}", "  GET /b: {to: http://a:1, retry: {attempts: 1, statuses: [503]}}", "  GET /c: {to: http://a:1, retry: none}", "  GET /d: {to: http://a:1, retry: {statuses: [503]}}")
	for i, want := range []config.Retry{{Attempts: 2, Statuses: []int{502, 503, 504}}, {Attempts: 1, Statuses: []int{503}}, {}, {Attempts: 2, Statuses: []int{503}}} {
		if got := c.Routes[i].Retry; got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %+v, want %+v", c.Routes[i].Name, got, want)
		}
	}
}

// Who bounds further tries need not repeat how many there are.
func TestABudgetNeedsNoAttempts(t *testing.T) {
	c := load(t, "listen: :8080", "services:", "  a: {source: http://a:1, retry: {budget: 10%}}", "routes:", "  GET /: a")
	want := config.Retry{Attempts: 2, Statuses: []int{502, 503, 504}, Budget: &config.Budget{Share: 10, Least: 10}}
	if got := c.Services[0].Retry; got == nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/broken/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	v := vocabulary()
	f.Fuzz(func(t *testing.T, data []byte) {
		r := config.Load([]config.Source{{Path: "weir.yaml", Data: data}}, v)
		failed := slices.ContainsFunc(r.Problems, func(p doc.Problem) bool { return p.Severity == doc.Error })
		switch {
		case failed != (r.Config == nil) || failed != r.Bad["weir.yaml"]:
			t.Fatalf("errors: %t, config: %v, bad: %v", failed, r.Config, r.Bad)
		case r.Config == nil:
			return
		}
		expanded := config.Expand(r.Config, vocabulary())
		if strings.Contains(string(expanded), "[secret]") {
			return // what is no reference is not printed, and so not read back
		}
		again := config.Load([]config.Source{{Path: "expanded.yaml", Data: expanded}}, v)
		if again.Config == nil {
			t.Fatalf("the long form does not load:\n%s\n%s", lines(again.Problems), expanded)
		}
		if !reflect.DeepEqual(placeless(r.Config), placeless(again.Config)) {
			t.Fatalf("the long form loads as another config:\n%s", expanded)
		}
	})
}

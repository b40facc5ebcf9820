package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/edits"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// at is a plain endpoint.
func at(address string) discovery.Endpoint { return discovery.Endpoint{Address: address, Weight: 1} }

func TestWhatStandsInAFile(t *testing.T) {
	for name, c := range map[string]struct {
		file, part, text string
		want             []discovery.Endpoint
		wrong            string // begins what is told
	}{
		"addresses":         {text: "- 10.0.0.2:80\n- 10.0.0.1:80\n- '[::1]:80'\n- users-1.internal:80\n", want: []discovery.Endpoint{at("10.0.0.1:80"), at("10.0.0.2:80"), at("[::1]:80"), at("users-1.internal:80")}},
		"in brackets":       {text: "[10.0.0.1:80]", want: []discovery.Endpoint{at("10.0.0.1:80")}},
		"none":              {text: "[]"},
		"JSON":              {file: "a.json", text: "[\n\t{\"address\": \"10.0.0.1:80\",\n\t \"weight\": 3}\n]", want: []discovery.Endpoint{{Address: "10.0.0.1:80", Weight: 3}}},
		"everything":        {text: "- address: 10.0.0.1:80\n  weight: 0\n  zone: a\n  node: n\n  id: i\n  state: draining\n", want: []discovery.Endpoint{{ID: "i", Address: "10.0.0.1:80", Zone: "a", Node: "n", Condition: discovery.Draining}}},
		"not ready":         {text: "[{ address: 10.0.0.1:80, state: not_ready }, { address: 10.0.0.2:80, state: ready }]", want: []discovery.Endpoint{{Address: "10.0.0.1:80", Weight: 1, Condition: discovery.NotReady}, at("10.0.0.2:80")}},
		"a socket":          {text: "[unix:/run/app.sock]", want: []discovery.Endpoint{at("unix:/run/app.sock")}},
		"file_sd":           {file: "a.json", text: `[{"targets": ["10.0.0.1:80", "10.0.0.2:80"], "labels": {"zone": "a", "weight": "2", "job": "users", "__meta_x": "y"}}, {"targets": ["10.0.0.3:80"]}]`, want: []discovery.Endpoint{{Address: "10.0.0.1:80", Weight: 2, Zone: "a"}, {Address: "10.0.0.2:80", Weight: 2, Zone: "a"}, at("10.0.0.3:80")}},
		"empty labels":      {file: "a.json", text: `[{"targets": ["10.0.0.1:80"], "labels": {"zone": "", "id": "", "state": ""}}]`, want: []discovery.Endpoint{at("10.0.0.1:80")}},
		"empty members":     {file: "a.json", text: `[{"address": "10.0.0.1:80", "zone": "", "node": ""}]`, want: []discovery.Endpoint{at("10.0.0.1:80")}},
		"no targets":        {text: "- targets: []\n  labels: { zone: a }\n"},
		"twice":             {text: "[{ address: 10.0.0.1:80, state: not_ready, id: old }, { address: 10.0.0.1:80, id: new }]", want: []discovery.Endpoint{{ID: "new", Address: "10.0.0.1:80", Weight: 1}}},
		"a part":            {part: "users", text: "users: [10.0.0.1:80]\norders: [10.0.0.2:80]\n", want: []discovery.Endpoint{at("10.0.0.1:80")}},
		"a part not there":  {part: "carts", text: "users: [10.0.0.1:80]\n"},
		"nothing":           {text: " \n", wrong: "users.yaml is empty; write [] where"},
		"half of it":        {text: "[10.0.0.1:80, ", wrong: "users.yaml:1:"},
		"half of an entry":  {text: "- 10.0.0.1:80\n- 10.0.0", wrong: `users.yaml:2:3: the address "10.0.0" is not understood; not of the form host:port`},
		"no port":           {text: "- address: users\n", wrong: `users.yaml:1:3: the address "users" is not understood`},
		"no address":        {text: "- { zone: a }\n", wrong: "users.yaml:1:3: this endpoint has no address"},
		"both":              {text: "- { address: 'a:1', targets: ['b:1'] }\n", wrong: "users.yaml:1:3: this is an address and targets at once"},
		"a key of nobody":   {text: "- { adress: 'a:1' }\n", wrong: `users.yaml:1:5: unknown key "adress"`},
		"a weight":          {text: "- { address: 'a:1', weight: -1 }\n", wrong: "users.yaml:1:29: its weight is -1, and not from 0 to 1000000"},
		"a label's weight":  {text: "- { targets: ['a:1'], labels: { weight: much } }\n", wrong: "users.yaml:1:41: "},
		"much weight":       {text: "- { address: 'a:1', weight: 1000001 }\n", wrong: "users.yaml:1:29: its weight is 1000001, and not from 0 to 1000000"},
		"a zone":            {text: "- address: a:1\n  zone: \"a\\e[2Jb\"\n", wrong: `users.yaml:2:9: its zone holds what cannot be printed: "a\x1b[2Jb"`},
		"a label's node":    {file: "a.json", text: `[{"targets": ["a:1"], "labels": {"node": "\u0007"}}]`, wrong: `a.json:1:42: its node holds what cannot be printed: "\a"`},
		"an odd socket":     {text: `["unix:/run/a\e[2J.sock"]`, wrong: `users.yaml:1:2: the address "unix:/run/a\x1b[2J.sock" is not understood; it holds what cannot be printed`},
		"a state":           {text: "- { address: 'a:1', state: up }\n", wrong: `users.yaml:1:3: "up" is no state; write`},
		"two mistakes":      {text: "[a, b]\n", wrong: `users.yaml:1:2: the address "a" is not understood; not of the form host:port; IPv6 stands in brackets, as in [::1]:8080 (and 1 more)`},
		"a map":             {text: "users: [10.0.0.1:80]\n", wrong: "users.yaml:1:1: this is a map;"},
		"a list, by a part": {part: "users", text: "[10.0.0.1:80]\n", wrong: "users.yaml:1:1: this is a list;"},
		"a part of text":    {part: "users", text: "users: none\n", wrong: `users.yaml:1:8: "users" is a value`},
		"a text":            {text: "users\n", wrong: "users.yaml:1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			if c.file == "" {
				c.file = "users.yaml"
			}
			got, err := parse(c.file, c.part, []byte(c.text))
			switch {
			case c.wrong == "" && (err != nil || !slices.Equal(got, c.want)):
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			case c.wrong != "" && (err == nil || !strings.HasPrefix(err.Error(), c.wrong)):
				t.Errorf("told %v, want %q", err, c.wrong)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"- 10.0.0.1:80\n", `[{"targets": ["a:1"], "labels": {"zone": "a"}}]`, "users: [a:1]\n", "- { address: 'a:1', weight: 2 }\n"} {
		f.Add([]byte(seed), "users")
		f.Add([]byte(seed), "")
	}
	f.Fuzz(func(t *testing.T, text []byte, part string) {
		list, err := parse("users.json", part, text)
		if err != nil && len(list) > 0 {
			t.Errorf("what is not understood has endpoints: %v", list)
		}
		for _, e := range list {
			if e.Weight < 0 || check(e.Address) != nil {
				t.Errorf("%+v", e)
			}
		}
	})
}

func TestReferences(t *testing.T) {
	for rest, want := range map[string][2]string{
		"/etc/weir/users.yaml": {"/etc/weir/users.yaml"},
		"users.json":           {"users.json"},
		"./users.json":         {"./users.json"},
		"../shared/all.yaml#a": {"../shared/all.yaml", "a"},
		"/a#b#c":               {"/a", "b#c"},
	} {
		name, part, err := split(rest)
		if name != want[0] || part != want[1] || err != nil {
			t.Errorf("%s: %q, %q, %v", rest, name, part, err)
		}
	}
	for rest, want := range map[string]string{
		"":                         "the path of a file is missing",
		"#users":                   "the path of a file is missing",
		"/etc/weir/":               "the path of a file is missing",
		"///etc/users.yaml":        "write file:/etc/users.yaml",
		"/run/shop/../other.yaml":  "write file:/run/other.yaml",
		"/run//users.yaml":         "write file:/run/users.yaml",
		"users.yaml#":              "the name after # is missing",
		"./../shop/../secret.yaml": "write file:../secret.yaml",
	} {
		if _, _, err := split(rest); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rest, err)
		}
	}
	d := Definition()
	for _, s := range d.Schemes {
		rest, ok := strings.CutPrefix(s.Example, s.Name+":")
		if !ok || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil {
			t.Errorf("%+v", s)
		}
	}
	if _, err := d.New(discovery.Env{}, config.Service{Source: config.Ref{Scheme: scheme}}); err == nil {
		t.Error("a service without a path is made")
	}
}

// running is a provider that runs, with what it tells.
type running struct {
	sets   chan []discovery.Endpoint
	looked chan error
}

// run runs the provider of a reference until the test ends.
func run(t *testing.T, d discovery.Definition, ref config.Ref) *running {
	t.Helper()
	r := &running{make(chan []discovery.Endpoint, 100), make(chan error, 100)}
	env := discovery.Env{Log: slog.New(slog.DiscardHandler), Looked: func(err error) { r.looked <- err }}
	p, err := d.New(env, config.Service{Source: ref})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx, func(list []discovery.Endpoint) { r.sets <- list }) }()
	t.Cleanup(func() {
		stop()
		if err := await.From(t, "the end of the provider", ended); err != nil {
			t.Error(err)
		}
	})
	return r
}

// have waits for a set of these addresses.
func (r *running) have(t *testing.T, addresses ...string) {
	t.Helper()
	list := await.From(t, "a set of "+strings.Join(addresses, ", "), r.sets)
	var got []string
	for _, e := range list {
		got = append(got, e.Address)
	}
	if !slices.Equal(got, addresses) {
		t.Fatalf("the set is %v, want %v", got, addresses)
	}
	if err := r.look(t, ""); err != nil {
		t.Fatalf("a set, and told of %v", err)
	}
}

// look waits for word of a look. One that found a file empty, where none is waited for, has come
// between the two halves of writing it in place.
func (r *running) look(t *testing.T, why string) error {
	t.Helper()
	for {
		err := await.From(t, "word of a look", r.looked)
		if err == nil || why == empty || !strings.Contains(err.Error(), empty) {
			return err
		}
	}
}

// empty is what is said of a file without any text.
const empty = "is empty"

// keeps waits for a look that found nothing, and holds that no set came of it.
func (r *running) keeps(t *testing.T, why string) {
	t.Helper()
	err := r.look(t, why)
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Fatalf("told of %v, want %s", err, why)
	}
	if len(r.sets) > 0 {
		t.Fatalf("there is a set: %v", <-r.sets)
	}
}

// ground is a folder in which files change.
type ground struct {
	*testing.T

	folder string
}

func (g ground) path(name string) string { return filepath.Join(g.folder, filepath.FromSlash(name)) }

func (g ground) write(name, text string) {
	g.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(g.path(name)), 0o755), os.WriteFile(g.path(name), []byte(text), 0o600)); err != nil {
		g.Fatal(err)
	}
}

func (g ground) rename(from, to string) {
	g.Helper()
	if err := os.Rename(g.path(from), g.path(to)); err != nil {
		g.Fatal(err)
	}
}

func (g ground) link(target, name string) {
	g.Helper()
	if err := os.Symlink(target, g.path(name)); err != nil {
		g.Skip("no symbolic links here:", err)
	}
}

func quick(poll time.Duration) discovery.Definition {
	return define(edits.Options{What: "a test", Log: slog.New(slog.DiscardHandler), Settle: 5 * time.Millisecond, Poll: poll})
}

// Each way in which files change in the field, told by the system alone and found by looking alone.
func TestAChangeOfTheFileIsAChangeOfTheSet(t *testing.T) {
	for how, poll := range map[string]time.Duration{"told by the system": time.Hour, "found by looking": 10 * time.Millisecond} {
		t.Run(how, func(t *testing.T) {
			g := ground{t, t.TempDir()}
			d := quick(poll)
			r := run(t, d, config.Ref{Scheme: scheme, Rest: "users.yaml", Origin: config.Origin{Pos: doc.Pos{File: g.path("weir.yaml")}}})
			if err := await.From(t, "word of a look", r.looked); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("told of %v", err)
			}
			g.write("users.yaml", "[10.0.0.1:80]")
			r.have(t, "10.0.0.1:80")
			g.write(".users.yaml.swp", "[10.0.0.1:80, 10.0.0.2:80]")
			g.rename(".users.yaml.swp", "users.yaml")
			r.have(t, "10.0.0.1:80", "10.0.0.2:80")
			g.write("users.yaml", "[10.0.0.1:80, 10.0.")
			r.keeps(t, "users.yaml:1:1")
			g.write("users.yaml", "")
			r.keeps(t, empty)
			g.rename("users.yaml", "users.yaml~")
			r.keeps(t, "no such file")
			g.write("users.yaml", "[]")
			r.have(t)
		})
	}
}

func TestAConfigMapIsFollowed(t *testing.T) {
	g := ground{t, t.TempDir()}
	g.write("mount/..1/users.yaml", "[10.0.0.1:80]")
	g.link("..1", "mount/..data")
	g.link("..data/users.yaml", "mount/users.yaml")
	r := run(t, quick(time.Hour), config.Ref{Scheme: scheme, Rest: g.path("mount/users.yaml")})
	r.have(t, "10.0.0.1:80")
	for version := 2; version < 4; version++ {
		g.write(fmt.Sprintf("mount/..%d/users.yaml", version), fmt.Sprintf("[10.0.0.%d:80]", version))
		g.link(fmt.Sprintf("..%d", version), "mount/..data_tmp")
		g.rename("mount/..data_tmp", "mount/..data")
		r.have(t, fmt.Sprintf("10.0.0.%d:80", version))
	}
}

// A pipe would keep its reader for good, and with it the gateway's end.
func TestWhatIsNoRegularFileIsNotRead(t *testing.T) {
	g := ground{t, t.TempDir()}
	g.write("folder/file", "")
	g.link("folder", "users.yaml")
	g.link(os.DevNull, "null.yaml")
	for _, name := range []string{"users.yaml", "null.yaml"} {
		if list, err := (&provider{path: g.path(name)}).read(); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	g.write("large.yaml", strings.Repeat(" ", largest+1))
	if list, err := (&provider{path: g.path("large.yaml")}).read(); err == nil || !strings.Contains(err.Error(), "has more than") {
		t.Errorf("%v, %v", list, err)
	}
}

// TestManyServicesOfOneFile holds that services share what watches files, of which a system
// has few, and shows how long a change takes to be a set.
func TestManyServicesOfOneFile(t *testing.T) {
	const services = 200
	g := ground{t, t.TempDir()}
	text := func(host string) string {
		var b strings.Builder
		for i := range services {
			fmt.Fprintf(&b, "s%d: [\"%s:%d\"]\n", i, host, i+1)
		}
		return b.String()
	}
	g.write("all.yaml", text("10.0.0.1"))
	d := define(edits.Options{What: "a test", Log: slog.New(slog.DiscardHandler), Poll: time.Hour})
	var all []*running
	for i := range services {
		all = append(all, run(t, d, config.Ref{Scheme: scheme, Rest: fmt.Sprintf("%s#s%d", g.path("all.yaml"), i)}))
	}
	for i, r := range all {
		r.have(t, fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	g.write("next.yaml", text("10.0.0.2"))
	start := time.Now()
	g.rename("next.yaml", "all.yaml")
	for i, r := range all {
		r.have(t, fmt.Sprintf("10.0.0.2:%d", i+1))
		if i == 0 {
			t.Logf("from the change to the first set: %v", time.Since(start))
		}
	}
	t.Logf("to the last of %d: %v", services, time.Since(start))
}

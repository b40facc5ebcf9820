package source_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/control/source"
)

// marked takes what holds a file called run, and files called run-*, for functions.
func marked(path string) error {
	if strings.HasPrefix(filepath.Base(path), "run-") {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, "run")); err != nil {
		return errors.New("run: it has no file called run")
	}
	return nil
}

func TestAFolderOfFunctionsIsAConfig(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  source.Found
	}{
		"its folders": {
			[]string{"b/run", "a/run", "docs/page.md", ".git/run", "_old/run", "node_modules/run", "run-me.py"},
			source.Found{Functions: []source.Function{{"a", "./a"}, {"b", "./b"}}},
		},
		"those of its folder functions, and files there": {
			[]string{"other/run", "functions/a/run", "functions/run-b.py", "functions/.hidden/run", "functions/readme.md"},
			source.Found{Functions: []source.Function{{"a", "./functions/a"}, {"run-b", "./functions/run-b.py"}}},
		},
		"what looks like one": {
			[]string{"a/run", "b/main.go", "functions.txt"},
			source.Found{Functions: []source.Function{{"a", "./a"}}, Left: []source.Left{{"b", "it has no file called run"}}},
		},
		"two of one name": {
			[]string{"functions/run-a.js", "functions/run-a.py"},
			source.Found{Functions: []source.Function{{"run-a", "./functions/run-a.js"}}, Left: []source.Left{{filepath.Join("functions", "run-a.py"), "there is another function of that name"}}},
		},
		"a name that a config cannot have": {
			[]string{"ä/run"},
			source.Found{Left: []source.Left{{"ä", "a function's name has letters, digits, '-', '_' and '.'"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, file := range c.files {
				files[filepath.FromSlash(file)] = ""
			}
			got, err := source.Input{Path: write(t, files), Runs: marked}.Find()
			if err != nil {
				t.Fatal(err)
			}
			if name == "a name that a config cannot have" {
				got.Left = got.Left[:min(1, len(got.Left))]
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAConfigOfItsOwnWins(t *testing.T) {
	const own, other = "listen: :1\n", "listen: :2\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string // what the sources hold
	}{
		"weir.yaml and nothing beside it": {map[string]string{"weir.yaml": own, "compose.yaml": other, "a/run": ""}, own},
		"a folder that is a function":     {map[string]string{"run": "", "compose.yaml": other}, "listen: 127.0.0.1:8080\n\nproblems: verbose\n\nroutes:\n  ANY /**: fn:"},
		"a folder of configs":             {map[string]string{"base.yaml": own, "team.yaml": other}, own + other},
	} {
		t.Run(name, func(t *testing.T) {
			sources, err := source.Input{Path: write(t, c.files), Runs: marked}.Read()
			if err != nil {
				t.Fatal(err)
			}
			text := ""
			for _, s := range sources {
				text += string(s.Data)
			}
			if !strings.HasPrefix(text, c.want) {
				t.Errorf("got %s", text)
			}
		})
	}
	_, err := source.Input{Path: write(t, map[string]string{"b/main.go": ""}), Runs: marked}.Read()
	if err == nil || !strings.Contains(err.Error(), "there is nothing to run in ") || !strings.Contains(err.Error(), "\n  b: it has no file called run\na function is a folder with ") {
		t.Errorf("nothing to run: %v", err)
	}
	for _, name := range []string{"main.go", "host.json"} { // one folder was meant to be a function itself
		_, err = source.Input{Path: write(t, map[string]string{name: ""}), Runs: marked}.Read()
		if err == nil || !strings.Contains(err.Error(), "and there is none in it\n  .: it has no file called run\na function is") {
			t.Errorf("a function that cannot be run: %v", err)
		}
	}
}

func TestEveryAddressCanBeKeptToThisMachine(t *testing.T) {
	folder := write(t, map[string]string{"weir.yaml": "listen:\n  a: :8080\n  b: 192.0.2.1:8081\n  c: localhost:8082\n  d: '[::1]:8083'\n  e: unix:/run/weir.sock\nadmin: { address: ':8084', token: '${env:X}' }\n"})
	c := load(t, source.Input{Path: folder, Loopback: true}).Config
	var got []string
	for _, s := range c.Sockets {
		got = append(got, s.Address)
	}
	got = append(got, c.Admin.Address)
	want := []string{"127.0.0.1:8080", "127.0.0.1:8081", "localhost:8082", "[::1]:8083", "unix:/run/weir.sock", "127.0.0.1:8084"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("addresses %q, want %q", got, want)
	}
}

// TestANewFunctionIsAChange holds that what makes another config of a folder of
// functions is noticed, wherever in it that is.
func TestANewFunctionIsAChange(t *testing.T) {
	for name, change := range map[string]func(g ground){
		"a folder":                 func(g ground) { g.write("c/run", "") },
		"a file that was missing":  func(g ground) { g.write("b/run", "") },
		"a file of functions":      func(g ground) { g.write("functions/run-d", "") },
		"one that goes":            func(g ground) { g.must(os.Remove(g.path("a/run"))) },
		"a config":                 func(g ground) { g.write("weir.yaml", "listen: :8080\n") },
		"the folder itself is one": func(g ground) { g.write("run", "") },
	} {
		t.Run(name, func(t *testing.T) {
			g := ground{t, t.TempDir()}
			g.write("a/run", "")
			g.write("b/notes", "")
			in := source.Input{Path: g.folder, Runs: marked}
			sources, err := in.Read()
			g.must(err)
			w := source.Watch(source.WatchOptions{Input: in, Settle: 20 * time.Millisecond, Poll: time.Hour, Log: slog.New(slog.DiscardHandler)})
			t.Cleanup(w.Close)
			w.Follow(sources, nil)
			w.Follow(sources, nil) // the first is being looked at no more
			change(g)
			select {
			case <-w.Changed():
			case <-time.After(30 * time.Second):
				t.Error("the change was not noticed")
			}
		})
	}
}

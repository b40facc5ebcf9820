package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/source"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
)

func vocabulary() config.Vocabulary {
	return compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions()}.Vocabulary()
}

// write puts files into a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func load(t *testing.T, in source.Input) source.Loaded {
	t.Helper()
	loaded, err := in.Load(vocabulary())
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Config == nil {
		t.Fatalf("refused: %v", loaded.Problems)
	}
	return loaded
}

func TestAURLIsAConfigOfItsOwn(t *testing.T) {
	for target, want := range map[string]struct{ ref, path string }{
		"http://localhost:9000":          {"http://localhost:9000", ""},
		"http://localhost:9000/":         {"http://localhost:9000", ""},
		"https://api.example.com/v2":     {"https://api.example.com", "/v2/**"},
		"http://localhost:9000/a%20b/":   {"http://localhost:9000", "/a%20b/**"},
		"http://[::1]:9000":              {"http://[::1]:9000", ""},
		"HTTP://localhost:9000":          {"http://localhost:9000", ""},
		"https://api.example.com:444/x/": {"https://api.example.com:444", "/x/**"},
	} {
		t.Run(target, func(t *testing.T) {
			c := load(t, source.Input{Path: target}).Config
			r := c.Routes[0]
			if got := r.Backends[0].Ref.String(); got != want.ref || len(c.Routes) != 1 || r.Matches[0].Method != "" {
				t.Errorf("got %d routes, %+v to %s", len(c.Routes), r.Matches, got)
			}
			rewrites := len(r.Filters) + len(r.Backends[0].Filters)
			if (want.path != "") != (rewrites == 1) {
				t.Errorf("%d rewrites, want path %q", rewrites, want.path)
			}
			if text, _ := source.Proxy(target); !strings.Contains(text, want.ref+want.path+"\n") {
				t.Errorf("got %s", text)
			}
			if c.Problems != config.VerboseProblems || c.Sockets[0].Address != "127.0.0.1:8080" {
				t.Errorf("problems %q on %v", c.Problems, c.Sockets)
			}
		})
	}
}

func TestAURLThatIsNoneSaysWhatToWrite(t *testing.T) {
	for target, want := range map[string]string{
		"http://":                       "write it as http://localhost:9000",
		"http://user:secret@host":       "has no user, query or fragment",
		"http://host/?q=1":              "has no user, query or fragment",
		"http://host/#there":            "has no user, query or fragment",
		"http://host:port":              "write it as http://localhost:9000",
		"http://ho st/":                 "write it as http://localhost:9000",
		"http://host/x\n  GET /evil: {": "write it as http://localhost:9000",
		"ftp://host/x":                  "begins with http:// or https://, not ftp://",
		"-":                             "name /dev/stdin",
	} {
		loaded, err := source.Input{Path: target}.Load(vocabulary())
		switch {
		case err != nil && strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "secret"):
		case err == nil && loaded.Config == nil && strings.Contains(loaded.Problems[0].String(), want):
		default:
			t.Errorf("%q: got %v, %v, want %q", target, loaded.Problems, err, want)
		}
	}
}

func TestListenReplacesAddresses(t *testing.T) {
	folder := write(t, map[string]string{"weir.yaml": "listen: [':8080', ':9090']\nroutes:\n  GET /:\n    to: respond:204\n"})
	for name, c := range map[string]struct {
		listen []string
		want   string // addresses, or the error
	}{
		"none":             {nil, ":8080 :9090"},
		"the first one":    {[]string{"127.0.0.1:1"}, "127.0.0.1:1 :9090"},
		"a named one":      {[]string{":9090=127.0.0.1:2"}, ":8080 127.0.0.1:2"},
		"both":             {[]string{"127.0.0.1:1", ":9090=127.0.0.1:2"}, "127.0.0.1:1 127.0.0.1:2"},
		"a Unix socket":    {[]string{"unix:/run/a=b.sock"}, `--listen unix:/run/a=b.sock: there is no listener "unix:/run/a"; there are: :8080, :9090`},
		"one there is not": {[]string{"api=:1"}, `--listen api=:1: there is no listener "api"; there are: :8080, :9090`},
	} {
		t.Run(name, func(t *testing.T) {
			loaded, err := source.Input{Path: folder, Listen: c.listen}.Load(vocabulary())
			if err != nil {
				if err.Error() != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
				return
			}
			var got []string
			for _, s := range loaded.Config.Sockets {
				got = append(got, s.Address)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}

func TestAdminReplacesItsAddress(t *testing.T) {
	folder := write(t, map[string]string{"weir.yaml": "listen: :8080\nadmin: 127.0.0.1:7000\nroutes:\n  GET /:\n    to: respond:204\n"})
	for admin, want := range map[string]string{"": "127.0.0.1:7000", "off": "off", "127.0.0.1:0": "127.0.0.1:0"} {
		if got := load(t, source.Input{Path: folder, Admin: admin}).Config.Admin.Address; got != want {
			t.Errorf("--admin %q: got %q, want %q", admin, got, want)
		}
	}
}

func TestAFolderIsOneConfig(t *testing.T) {
	folder := write(t, map[string]string{
		"a.yaml": "listen: :8080\n", "b.yaml": "routes:\n  GET /b:\n    to: respond:b\n", "team/c.yml": "routes:\n  GET /c:\n    to: respond:c\n",
		"notes.txt": "no config", ".hidden.yaml": "no: config",
	})
	loaded := load(t, source.Input{Path: folder})
	if len(loaded.Config.Routes) != len(loaded.Sources)-1 {
		t.Errorf("%d routes of %d files", len(loaded.Config.Routes), len(loaded.Sources))
	}
	if _, err := (source.Input{Path: t.TempDir()}).Load(vocabulary()); err == nil {
		t.Error("an empty folder is a config")
	}
	if _, err := (source.Input{Path: filepath.Join(folder, "missing.yaml")}).Load(vocabulary()); err == nil || !strings.Contains(err.Error(), "missing.yaml") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestDigestNamesWhatWasWrittenAndNothingElse(t *testing.T) {
	const text = "listen: :8080\nroutes:\n  GET /:\n    to: respond:204\n"
	folder := write(t, map[string]string{"weir.yaml": text})
	in := source.Input{Path: folder}
	first := load(t, in).Digest
	for name, same := range map[string]source.Input{
		"the same input":   in,
		"another folder":   {Path: write(t, map[string]string{"weir.yaml": text})},
		"the file by name": {Path: filepath.Join(folder, "weir.yaml")},
		"--listen":         {Path: folder, Listen: []string{":1"}},
		"--admin":          {Path: folder, Admin: "off"},
	} {
		if again := load(t, same).Digest; again != first || len(first) != 16 {
			t.Errorf("%s: %q, not %q", name, again, first)
		}
	}
	seen := map[string]string{first: "the plain one"}
	for name, change := range map[string]func() source.Input{
		"a comment": func() source.Input {
			return source.Input{Path: write(t, map[string]string{"weir.yaml": text + "# changed\n"})}
		},
		"another name": func() source.Input {
			return source.Input{Path: write(t, map[string]string{"web.yaml": text})}
		},
		"a file more": func() source.Input {
			return source.Input{Path: write(t, map[string]string{"weir.yaml": text, "b.yaml": "routes:\n  GET /b:\n    to: respond:b\n"})}
		},
	} {
		digest := load(t, change()).Digest
		if other, taken := seen[digest]; taken {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[digest] = name
	}
}

func TestAnAddressWithoutASchemeIsToldItsURL(t *testing.T) {
	t.Chdir(t.TempDir())
	for given, want := range map[string]string{
		"localhost:9000":     "http://localhost:9000",
		"127.0.0.1:9000/v2":  "http://127.0.0.1:9000/v2",
		"[::1]:9000":         "http://[::1]:9000",
		":9000":              "http://localhost:9000",
		"9000":               "http://localhost:9000",
		"weir.yaml":          "",
		"http:/localhost:90": "",
		"a:b":                "",
		"99999":              "",
	} {
		_, err := source.Input{Path: given}.Load(vocabulary())
		_, told := errors.AsType[*source.InputError](err)
		if err == nil || told != (want != "") || told && !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("%s: %v, want %q", given, err, want)
		}
	}
}

func TestAFileMayBeNamedLikeAnAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("9000", []byte("listen: :8080\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load(t, source.Input{Path: "9000"})
}

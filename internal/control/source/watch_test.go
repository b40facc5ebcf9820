package source_test

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ground is a folder in which tests change files.
type ground struct {
	t      *testing.T
	folder string
}

func (g ground) path(name string) string { return filepath.Join(g.folder, filepath.FromSlash(name)) }

func (g ground) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g ground) write(name, text string) {
	g.t.Helper()
	g.must(os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
	g.must(os.WriteFile(g.path(name), []byte(text), 0o600))
}

// over writes what a file holds already over it, which is never shorter meanwhile: half of it would be a change.
func (g ground) over(name, text string) {
	g.t.Helper()
	file, err := os.OpenFile(g.path(name), os.O_WRONLY, 0)
	g.must(err)
	_, err = file.WriteString(text)
	g.must(errors.Join(err, file.Close()))
}

func (g ground) link(target, name string) {
	g.t.Helper()
	g.must(os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
	if err := os.Symlink(filepath.FromSlash(target), g.path(name)); err != nil {
		g.t.Skip("no symbolic links here:", err)
	}
}

func (g ground) rename(from, to string) {
	g.t.Helper()
	g.must(os.Rename(g.path(from), g.path(to)))
}

// configMap writes a folder as the kubelet does: files are links through ..data,
// which points to a folder with the time in its name.
func (g ground) configMap(version string, files map[string]string) {
	g.t.Helper()
	for name, text := range files {
		g.write("mount/.."+version+"/"+name, text)
		if _, err := os.Lstat(g.path("mount/" + name)); err != nil {
			g.link("..data/"+name, "mount/"+name)
		}
	}
	g.link(".."+version, "mount/..data_tmp")
	g.rename("mount/..data_tmp", "mount/..data")
}

// watch begins to watch an input of which everything was read.
func (g ground) watch(path string, poll time.Duration, named ...string) *source.Watcher {
	g.t.Helper()
	w := source.Watch(source.WatchOptions{
		Input: source.Input{Path: g.path(path)}, Log: slog.New(slog.DiscardHandler), Settle: 20 * time.Millisecond, Poll: poll,
	})
	g.t.Cleanup(w.Close)
	g.follow(w, path, named...)
	return w
}

func (g ground) follow(w *source.Watcher, path string, named ...string) {
	g.t.Helper()
	sources, err := config.Read(g.path(path))
	if err != nil {
		sources = nil
	}
	files := source.Content{}
	for _, name := range named {
		files[g.path(name)] = secret.FileDigest(g.path(name))
	}
	w.Follow(sources, files)
}

func told(t *testing.T, w *source.Watcher, after string) {
	t.Helper()
	await.From(t, "word of a change, after: "+after, w.Changed())
}

// never stands for a poll that does not come, so that only the system can have told.
const never = time.Hour

// Each row is a way in which files change in the field; the change must be told by
// the system's word alone, and by polling alone.
func TestEveryWayToChangeFilesIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		input  string
		named  string
		lay    func(ground)
		change func(ground)
	}{
		{
			name: "an editor that writes into the file", input: "weir.yaml",
			lay:    func(g ground) { g.write("weir.yaml", "one") },
			change: func(g ground) { g.write("weir.yaml", "two") },
		},
		{
			name: "an editor that renames over the file", input: "weir.yaml",
			lay:    func(g ground) { g.write("weir.yaml", "one") },
			change: func(g ground) { g.write(".weir.yaml.swp", "two"); g.rename(".weir.yaml.swp", "weir.yaml") },
		},
		{
			name: "an editor that moves the file away first", input: "weir.yaml",
			lay:    func(g ground) { g.write("weir.yaml", "one") },
			change: func(g ground) { g.rename("weir.yaml", "weir.yaml~"); g.write("weir.yaml", "two") },
		},
		{
			name: "a link pointed elsewhere", input: "weir.yaml",
			lay: func(g ground) {
				g.write("a/real.yaml", "one")
				g.write("b/real.yaml", "two")
				g.link("a/real.yaml", "weir.yaml")
			},
			change: func(g ground) {
				g.link("b/real.yaml", "new")
				g.rename("new", "weir.yaml")
			},
		},
		{
			name: "the file behind a link", input: "weir.yaml",
			lay:    func(g ground) { g.write("a/real.yaml", "one"); g.link("a/real.yaml", "weir.yaml") },
			change: func(g ground) { g.write("a/new", "two"); g.rename("a/new", "a/real.yaml") },
		},
		{
			name: "a folder of releases with a link to the current one", input: "current/weir.yaml",
			lay: func(g ground) {
				g.write("releases/1/weir.yaml", "one")
				g.write("releases/2/weir.yaml", "two")
				g.link("releases/1", "current")
			},
			change: func(g ground) { g.link("releases/2", "next"); g.rename("next", "current") },
		},
		{
			name: "a ConfigMap", input: "mount",
			lay: func(g ground) {
				g.configMap("2026_1", map[string]string{"a.yaml": "one", "b.yaml": "one"})
			},
			change: func(g ground) {
				g.configMap("2026_2", map[string]string{"a.yaml": "one", "b.yaml": "two"})
				g.must(os.RemoveAll(g.path("mount/..2026_1")))
			},
		},
		{
			name: "a ConfigMap of which one file is read", input: "mount/a.yaml",
			lay:    func(g ground) { g.configMap("2026_1", map[string]string{"a.yaml": "one"}) },
			change: func(g ground) { g.configMap("2026_2", map[string]string{"a.yaml": "two"}) },
		},
		{
			name: "a file more", input: "conf",
			lay:    func(g ground) { g.write("conf/a.yaml", "one") },
			change: func(g ground) { g.write("conf/b.yaml", "two") },
		},
		{
			name: "a file less", input: "conf",
			lay:    func(g ground) { g.write("conf/a.yaml", "one"); g.write("conf/b.yaml", "one") },
			change: func(g ground) { g.must(os.Remove(g.path("conf/b.yaml"))) },
		},
		{
			name: "the folder replaced", input: "conf",
			lay: func(g ground) { g.write("conf/a.yaml", "one"); g.write("next/a.yaml", "two") },
			change: func(g ground) {
				g.rename("conf", "before")
				g.rename("next", "conf")
			},
		},
		{
			name: "the folder gone", input: "conf",
			lay:    func(g ground) { g.write("conf/a.yaml", "one") },
			change: func(g ground) { g.must(os.RemoveAll(g.path("conf"))) },
		},
		{
			name: "a secret", input: "weir.yaml", named: "run/secrets/token",
			lay:    func(g ground) { g.write("weir.yaml", "one"); g.write("run/secrets/token", "one") },
			change: func(g ground) { g.write("run/secrets/token", "two") },
		},
		{
			name: "a secret that was missing", input: "weir.yaml", named: "run/secrets/token",
			lay:    func(g ground) { g.write("weir.yaml", "one") },
			change: func(g ground) { g.write("run/secrets/token", "two") },
		},
		{
			name: "a certificate of a Secret that is mounted", input: "weir.yaml", named: "mount/tls.crt",
			lay: func(g ground) {
				g.write("weir.yaml", "one")
				g.configMap("2026_1", map[string]string{"tls.crt": "one"})
			},
			change: func(g ground) { g.configMap("2026_2", map[string]string{"tls.crt": "two"}) },
		},
	} {
		for how, poll := range map[string]time.Duration{"told by the system": never, "found by looking": 10 * time.Millisecond} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				g := ground{t, t.TempDir()}
				c.lay(g)
				var named []string
				if c.named != "" {
					named = []string{c.named}
				}
				w := g.watch(c.input, poll, named...)
				c.change(g)
				told(t, w, c.name)
			})
		}
	}
}

// What comes after a change that was told must be told too: the watch has to move
// along with what it watches.
func TestOneChangeAfterTheOtherIsTold(t *testing.T) {
	g := ground{t, t.TempDir()}
	g.configMap("0", map[string]string{"a.yaml": "0"})
	w := g.watch("mount", never)
	for _, version := range []string{"1", "2", "3"} {
		g.configMap(version, map[string]string{"a.yaml": version})
		told(t, w, "version "+version)
		g.follow(w, "mount")
	}
	g.rename("mount", "old")
	told(t, w, "the folder moved away")
	g.follow(w, "mount")
	g.configMap("4", map[string]string{"a.yaml": "4"})
	told(t, w, "another folder in its place")
	g.follow(w, "mount")
	g.configMap("5", map[string]string{"a.yaml": "5"})
	told(t, w, "a change in the new folder")
}

// A secret that is written in pieces is told when the last one is there, also where it was not there before.
func TestAFileThatComesSlowlyIsToldAsAWhole(t *testing.T) {
	for name, before := range map[string]func(g ground){
		"it was there":     func(g ground) { g.write("secrets/token", "old") },
		"it was not there": func(g ground) { g.must(os.MkdirAll(g.path("secrets"), 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := ground{t, t.TempDir()}
			g.write("conf/weir.yaml", "one")
			before(g)
			const settles = 200 * time.Millisecond
			w := source.Watch(source.WatchOptions{
				Input: source.Input{Path: g.path("conf/weir.yaml")}, Log: slog.New(slog.DiscardHandler), Settle: settles, Poll: never,
			})
			t.Cleanup(w.Close)
			g.follow(w, "conf/weir.yaml", "secrets/token")
			file, err := os.Create(g.path("secrets/token"))
			g.must(err)
			defer file.Close()
			late := false // this machine has paused for so long that a piece may be taken for the whole
			var last time.Time
			for range 20 {
				_, err := file.WriteString("piece ")
				g.must(err)
				late = late || !last.IsZero() && time.Since(last) > settles/2
				last = time.Now()
				select {
				case <-w.Changed():
					if !late {
						t.Fatal("half of it was told")
					}
				case <-time.After(settles / 10):
				}
			}
			if !late {
				told(t, w, "the last piece")
			}
		})
	}
}

// A file that changes between being read and being watched was read in vain.
func TestAChangeBeforeTheWatchIsTold(t *testing.T) {
	g := ground{t, t.TempDir()}
	g.write("weir.yaml", "two")
	w := source.Watch(source.WatchOptions{
		Input: source.Input{Path: g.path("weir.yaml")}, Log: slog.New(slog.DiscardHandler), Settle: time.Millisecond, Poll: never,
	})
	t.Cleanup(w.Close)
	w.Follow([]config.Source{{Path: g.path("weir.yaml"), Data: []byte("one")}}, nil)
	told(t, w, "what was read is not what is there")
	w.Follow([]config.Source{{Path: g.path("weir.yaml"), Data: []byte("two")}}, source.Content{g.path("token"): sha256.Sum256([]byte("old"))})
	told(t, w, "a secret is gone that was read")
}

// What did not change is not told, whatever the system says of it.
func TestFilesThatHoldTheSameAreNoChange(t *testing.T) {
	g := ground{t, t.TempDir()}
	g.write("conf/a.yaml", "one")
	w := g.watch("conf", 5*time.Millisecond)
	g.over("conf/a.yaml", "one")
	g.write("conf/notes.txt", "no config")
	g.write("conf/.a.yaml.swp", "no config")
	g.must(os.Chmod(g.path("conf/a.yaml"), 0o644))
	g.write("conf/.b.yaml.swp", "last") // so that it is there as a whole
	g.rename("conf/.b.yaml.swp", "conf/b.yaml")
	told(t, w, "a file more")
	g.follow(w, "conf")
	select {
	case <-w.Changed():
		t.Error("told of a change that is none")
	case <-time.After(50 * time.Millisecond): // ten looks; more would only find it more surely
	}
}

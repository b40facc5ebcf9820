package notify_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ground is a folder in which tests change things, and who is told of it.
type ground struct {
	*testing.T

	folder  string
	watcher *notify.Watcher
}

func open(t *testing.T) ground {
	t.Helper()
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	g := ground{t, folder, w}
	t.Cleanup(func() { g.must(w.Close()) })
	return g
}

func (g ground) path(name string) string { return filepath.Join(g.folder, filepath.FromSlash(name)) }

func (g ground) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g ground) write(name, text string) {
	g.Helper()
	g.must(os.MkdirAll(filepath.Dir(g.path(name)), 0o755))
	g.must(os.WriteFile(g.path(name), []byte(text), 0o600))
}

func (g ground) make(name string) {
	g.Helper()
	g.must(os.MkdirAll(g.path(name), 0o755))
}

func (g ground) rename(from, to string) {
	g.Helper()
	g.must(os.Rename(g.path(from), g.path(to)))
}

func (g ground) remove(name string) {
	g.Helper()
	g.must(os.RemoveAll(g.path(name)))
}

func (g ground) link(target, name string) {
	g.Helper()
	if err := os.Symlink(filepath.FromSlash(target), g.path(name)); err != nil {
		g.Skip("no symbolic links here:", err)
	}
}

func (g ground) add(name string) {
	g.Helper()
	g.must(g.watcher.Add(g.path(name)))
}

// told waits until a path is told, and gives all that were told until then.
func (g ground) told(name string) map[string]bool {
	g.Helper()
	told := map[string]bool{}
	for !told[g.path(name)] {
		told[await.From(g, "word of "+name, g.watcher.Events)] = true
	}
	return told
}

// untold makes sure that nothing is told of a path: not before what comes after it.
func (g ground) untold(name string) {
	g.Helper()
	g.make("after")
	g.add("after")
	defer g.watcher.Remove(g.path("after"))
	g.write("after/mark", "")
	if g.told("after/mark")[g.path(name)] {
		g.Errorf("%s was told", name)
	}
	g.remove("after")
}

func TestWhateverHappensInAFolderIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(ground)
		of     string
	}{
		{"a file that comes", func(g ground) { g.write("conf/new", "") }, "conf/new"},
		{"a file that is written", func(g ground) { g.write("conf/file", "two") }, "conf/file"},
		{"a file that is emptied", func(g ground) { g.must(os.Truncate(g.path("conf/file"), 0)) }, "conf/file"},
		{"a file that goes", func(g ground) { g.remove("conf/file") }, "conf/file"},
		{"a file whose mode is changed", func(g ground) { g.must(os.Chmod(g.path("conf/file"), 0o400)) }, "conf/file"},
		{"a file that is moved away", func(g ground) { g.rename("conf/file", "file") }, "conf/file"},
		{"a file that is moved here", func(g ground) { g.rename("elsewhere", "conf/new") }, "conf/new"},
		{"a file that gets another name", func(g ground) { g.rename("conf/file", "conf/new") }, "conf/new"},
		{"a file that lost its name", func(g ground) { g.rename("conf/file", "conf/new") }, "conf/file"},
		{"a file that is moved over another", func(g ground) { g.rename("elsewhere", "conf/file") }, "conf/file"},
		{"a link", func(g ground) { g.link("elsewhere", "conf/new") }, "conf/new"},
		{"a folder", func(g ground) { g.make("conf/new") }, "conf/new"},
		{"the folder, when it is removed", func(g ground) { g.remove("conf") }, "conf"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := open(t)
			g.write("conf/file", "one")
			g.write("elsewhere", "two")
			g.add("conf")
			c.change(g)
			g.told(c.of)
		})
	}
}

func TestAFolderThatWasMadeAnewIsWatchedWhenItIsAddedAgain(t *testing.T) {
	for _, away := range []struct {
		name string
		away func(ground)
	}{
		{"removed", func(g ground) { g.remove("conf") }},
		{"moved", func(g ground) { g.rename("conf", "before") }},
	} {
		for _, how := range []struct {
			name   string
			before func(ground)
			after  func(ground)
		}{
			{"and removed before it", func(g ground) { g.watcher.Remove(g.path("conf")) }, func(ground) {}},
			{"and removed after it", func(ground) {}, func(g ground) { g.watcher.Remove(g.path("conf")) }},
			{"only", func(ground) {}, func(ground) {}},
		} {
			t.Run(away.name+", "+how.name, func(t *testing.T) {
				g := open(t)
				g.make("conf")
				g.add("conf")
				away.away(g)
				g.make("conf")
				how.before(g)
				g.add("conf")
				how.after(g)
				g.write("conf/new", "")
				g.told("conf/new")
			})
		}
	}
}

func TestNothingIsToldOfAFolderThatWasRemovedAsOftenAsAdded(t *testing.T) {
	g := open(t)
	g.make("conf")
	g.add("conf")
	g.add("conf/../conf/")
	g.watcher.Remove(g.path("conf"))
	g.write("conf/one", "")
	g.told("conf/one")
	g.watcher.Remove(g.path("conf/"))
	g.write("conf/two", "")
	g.untold("conf/two")
	g.watcher.Remove(g.path("conf"))
	g.watcher.Remove(g.path("never added"))
	g.add("conf")
	g.write("conf/three", "")
	g.told("conf/three")
}

func TestALinkIsWatchedWhereItLed(t *testing.T) {
	g := open(t)
	g.make("one")
	g.make("two")
	g.link("one", "now")
	g.add("now")
	g.write("one/file", "")
	g.told("now/file")
	g.remove("now")
	g.link("two", "now")
	g.add("now") // it leads elsewhere
	g.write("one/late", "")
	g.untold("now/late")
	g.write("two/new", "")
	g.told("now/new")
}

func TestAFolderThatIsMissingIsRefused(t *testing.T) {
	g := open(t)
	if err := g.watcher.Add(g.path("missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	g.watcher.Remove(g.path("missing"))
	g.make("missing")
	g.add("missing")
	g.write("missing/file", "")
	g.told("missing/file")
}

// A path may be followed through what is no folder (any more).
func TestAFileMayBeWatchedToo(t *testing.T) {
	g := open(t)
	g.write("conf", "")
	g.add("conf")
	g.remove("conf")
	g.told("conf")
}

func TestCloseEndsEverythingThoughNobodyReads(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(ground)
	}{
		{"nothing added", func(ground) {}},
		{"nothing told", func(g ground) { g.add(".") }},
		{"much to tell", func(g ground) {
			g.add(".")
			for i := range 100 {
				g.write(string(rune('a'+i)), "")
			}
		}},
		{"closed before", func(g ground) { g.must(g.watcher.Close()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := open(t)
			c.before(g)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { _ = g.watcher.Close() })
				all.Go(func() {
					_ = g.watcher.Add(g.folder) // before or after it
					g.watcher.Remove(g.folder)
				})
			}
			all.Wait()
			if g.watcher.Add(g.folder) == nil {
				t.Error("a folder was added to what is closed")
			}
			select {
			case path := <-g.watcher.Events:
				t.Errorf("%s was told by what is closed", path)
			default:
			}
		})
	}
}

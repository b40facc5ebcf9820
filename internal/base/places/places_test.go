package places

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/notify"
)

// late is a system that begins to watch a folder only when something has happened there.
type late struct {
	happens func(folder string)
	watches map[string]int
}

func (l late) Add(folder string) error {
	l.happens(folder)
	l.watches[folder]++
	return nil
}

func (l late) AddNames(folder string) error { return l.Add(folder) }

func (l late) Remove(folder string) { l.watches[folder]-- }

// What comes after it was looked for, and before its folder is watched, is told by
// nobody: who follows must look again.
func TestWhatComesWhileItIsFollowedIsFound(t *testing.T) {
	for _, c := range []struct {
		name    string
		happens func(top string) error
	}{
		{"a folder that was missing", func(top string) error { return os.MkdirAll(filepath.Join(top, "run", "secrets"), 0o755) }},
		{"a link to elsewhere", func(top string) error {
			return errors.Join(os.MkdirAll(filepath.Join(top, "other", "secrets"), 0o755), os.Symlink("other", filepath.Join(top, "run")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			top, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			happened := false
			system := late{watches: map[string]int{}, happens: func(folder string) {
				if folder != top || happened {
					return
				}
				happened = true
				if err := c.happens(top); err != nil {
					t.Skip("no symbolic links here:", err)
				}
			}}
			var w Watched
			path := filepath.Join(top, "run", "secrets", "token")
			if err := w.Follow(system, []string{path}); err != nil {
				t.Fatal(err)
			}
			folder, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			if !happened || system.watches[folder] != 1 {
				t.Errorf("%s is not watched, but %v", folder, system.watches)
			}
		})
	}
}

// A folder that was removed and made anew may look like the same. Where the system has told
// that it has lost something, that may have been it.
func TestFoldersAreWatchedAnewWhenSomethingWasLost(t *testing.T) {
	folder, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	added := 0
	system := late{watches: map[string]int{}, happens: func(of string) {
		if of == folder {
			added++
		}
	}}
	var w Watched
	path := filepath.Join(folder, "weir.yaml")
	for _, want := range []int{1, 1, 2, 2} {
		if want > 1 && added == 1 {
			w.Lost()
		}
		if err := w.Follow(system, []string{path}); err != nil {
			t.Fatal(err)
		}
		if added != want || system.watches[folder] != 1 {
			t.Errorf("%s was added %d times and is watched %d times, want %d and 1", folder, added, system.watches[folder], want)
		}
	}
}

// A folder that is only on the way to a file, as /tmp is to /tmp/conf/weir.yaml, may hold others that
// grow all the time: the system wakes nobody for each write to them.
func TestNobodyIsWokenForWhatIsWrittenOnTheWay(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the library that watches here tells of everything")
	}
	for _, c := range []struct {
		name  string
		path  string // what is watched
		comes func(g ground)
		file  string // what is written then
	}{
		{"to a file", "conf/weir.yaml", func(ground) {}, "conf/weir.yaml"},
		{"to a folder", "conf", func(ground) {}, "conf/weir.yaml"},
		{"to whatever a folder holds", "conf/*", func(ground) {}, "conf/weir.yaml"},
		{"through a link", "now/weir.yaml", func(ground) {}, "conf/weir.yaml"},
		{"to a file that comes", "conf/late.yaml", func(g ground) { g.write("conf/late.yaml") }, "conf/late.yaml"},
		{"to a folder that comes", "late/weir.yaml", func(g ground) { g.write("late/weir.yaml") }, "late/weir.yaml"},
		{"to a folder that was a file", "file/weir.yaml", func(g ground) {
			g.must(os.Remove(filepath.Join(g.top, "file")))
			g.write("file/weir.yaml")
		}, "file/weir.yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := onGround(t)
			g.write("log")
			g.write("file")
			g.write("conf/weir.yaml")
			g.must(os.Symlink("conf", filepath.Join(g.top, "now")))
			g.follow(c.path)
			c.comes(g)
			g.heard("ready") // so that all of what came is heard
			g.follow(c.path)
			g.write("log")
			g.write(c.file)
			if told := g.heard("done"); told[filepath.Join(g.top, "log")] || !told[filepath.Join(g.top, c.file)] {
				t.Errorf("%v was told, want %s and not log", told, c.file)
			}
		})
	}
}

// A folder that was only on the way, and has by now a file in it that is watched, tells of what is
// written to it.
func TestAFolderOnTheWayMayBecomeTheLast(t *testing.T) {
	g := onGround(t)
	g.write("weir.yaml")
	g.write("conf/weir.yaml")
	g.follow("conf/weir.yaml")
	g.follow("conf/weir.yaml", "weir.yaml")
	g.write("weir.yaml")
	if told := g.heard("done"); !told[filepath.Join(g.top, "weir.yaml")] {
		t.Errorf("only %v was told", told)
	}
}

// ground is a folder with what is followed in it by what the system tells.
type ground struct {
	*testing.T

	top     string
	system  *notify.Watcher
	watched *Watched
}

func onGround(t *testing.T) ground {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	system, err := notify.New()
	if err != nil {
		t.Fatal(err)
	}
	g := ground{t, top, system, &Watched{Of: func(string) bool { return true }}}
	t.Cleanup(func() { g.must(system.Close()) })
	g.must(system.AddNames(top)) // for the marks
	return g
}

func (g ground) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// write writes a file, which has content from then on, so that each write to it is one.
func (g ground) write(name string) {
	g.Helper()
	path := filepath.Join(g.top, name)
	g.must(os.MkdirAll(filepath.Dir(path), 0o755))
	g.must(os.WriteFile(path, []byte("listen: :8080"), 0o600))
}

func (g ground) follow(names ...string) {
	g.Helper()
	paths := make([]string, 0, len(names))
	for _, name := range names {
		paths = append(paths, filepath.Join(g.top, name))
	}
	g.must(g.watched.Follow(g.system, paths))
}

// heard gives what was told until now: up to a mark, which is made in the folder at the top.
func (g ground) heard(mark string) map[string]bool {
	g.Helper()
	g.must(os.Mkdir(filepath.Join(g.top, mark), 0o755))
	told := map[string]bool{}
	for !told[filepath.Join(g.top, mark)] {
		path := await.From(g, "word of "+mark, g.system.Events)
		g.watched.Concerns(path)
		told[path] = true
	}
	return told
}

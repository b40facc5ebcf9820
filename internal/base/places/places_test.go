package places

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
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

package edits_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/edits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func watcher(settle, poll time.Duration) *edits.Watcher {
	return edits.New(edits.Options{What: "a test", Log: slog.New(slog.DiscardHandler), Settle: settle, Poll: poll})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree is what somebody looks at who needs all files below a folder.
func tree(root string) edits.Files {
	return func() ([]string, string) {
		paths, files := []string{root}, []string{}
		behind, _ := filepath.EvalSymlinks(root)
		_ = filepath.WalkDir(behind, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			paths = append(paths, path)
			return nil
		})
		return paths, edits.State(files)
	}
}

// file is what somebody looks at who needs one.
func file(path string) edits.Files {
	return func() ([]string, string) { return []string{path}, edits.State([]string{path}) }
}

func TestWhatIsWrittenReplacedAddedOrMovedIsTold(t *testing.T) {
	for _, how := range []struct {
		name         string
		settle, poll time.Duration
	}{
		{"heard of", 5 * time.Millisecond, time.Hour},
		{"found by looking", 5 * time.Millisecond, 20 * time.Millisecond},
	} {
		t.Run(how.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, filepath.Join(root, "v1", "index.js"), "one")
			link := filepath.Join(root, "now")
			if err := os.Symlink("v1", link); err != nil {
				t.Skip("no symbolic links here:", err)
			}
			w := watcher(how.settle, how.poll)
			program := w.Watch(tree(link))
			defer program.Close()
			single := w.Watch(file(filepath.Join(root, "v1", "index.js")))
			defer single.Close()
			write(t, filepath.Join(root, "v1", "index.js"), "written anew")
			await.From(t, "a file that was written", program.Changed())
			await.From(t, "the same file, alone", single.Changed())
			write(t, filepath.Join(root, "v1", "lib", "more.js"), "added")
			await.From(t, "a file in a new folder", program.Changed())
			write(t, filepath.Join(root, "v1", "lib", "more.js"), "written again")
			await.From(t, "a file in a folder that was not there", program.Changed())
			write(t, filepath.Join(root, "other"), "replaced")
			if err := os.Rename(filepath.Join(root, "other"), filepath.Join(root, "v1", "index.js")); err != nil {
				t.Fatal(err)
			}
			await.From(t, "a file that was replaced", program.Changed())
			write(t, filepath.Join(root, "v2", "index.js"), "two, which is longer")
			if err := os.Symlink("v2", filepath.Join(root, "next")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(root, "next"), link); err != nil {
				t.Fatal(err)
			}
			await.From(t, "a link that leads elsewhere", program.Changed())
		})
	}
}

// What is found once, and is another thing when it is looked at again, is still
// being written.
func TestWhatGoesOnChangingIsNotTold(t *testing.T) {
	states := make(chan string)
	w := watcher(time.Millisecond, time.Millisecond)
	watching := make(chan *edits.Watch)
	go func() { watching <- w.Watch(func() ([]string, string) { return nil, <-states }) }()
	states <- "as it was"
	program := <-watching
	for _, state := range []string{"a", "ab", "abc", "as it was", "abcd", "abcde"} {
		states <- state
		select {
		case <-program.Changed():
			t.Errorf("%q was told", state)
		default:
		}
	}
	states <- "abcde"
	close(states) // from here on they look empty
	await.From(t, "what has come to rest", program.Changed())
	program.Close()
}

// Between the first look and the moment from which the system tells of changes there is one.
func TestWhatChangesWhileItBeginsToBeWatchedIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	write(t, path, "one")
	w := watcher(time.Millisecond, time.Hour)
	looks := 0
	program := w.Watch(func() ([]string, string) {
		paths, state := file(path)()
		if looks++; looks == 1 {
			write(t, path, "another one")
		}
		return paths, state
	})
	defer program.Close()
	await.From(t, "the change", program.Changed())
}

func TestTheLastWatchEndsEverything(t *testing.T) {
	w := watcher(0, 0)
	path := filepath.Join(t.TempDir(), "program")
	for range 3 {
		one, two := w.Watch(file(path)), w.Watch(file(path))
		one.Close()
		write(t, path, time.Now().String()) // it comes to be, and is written again
		await.From(t, "a file of which somebody else's watch has ended", two.Changed())
		two.Close()
	}
}

// A folder that is made anew may get the number of the one that was removed. So it
// looks like the same, though the system watches it no more.
func TestAFolderThatIsMadeAnewIsWatched(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "program")
	path := filepath.Join(folder, "index.js")
	write(t, path, "one")
	w := watcher(20*time.Millisecond, time.Hour)
	program := w.Watch(file(path))
	defer program.Close()
	for _, text := range []string{"two, longer", "three, which is longer", "four, which is longer still"} {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		write(t, path, text)
		await.From(t, "a folder that was made anew", program.Changed())
		write(t, path, text+", and mended")
		await.From(t, "a file in it", program.Changed())
	}
}

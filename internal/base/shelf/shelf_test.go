package shelf_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/shelf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	day = 24 * time.Hour
	// soon is when all that was to be written is.
	soon = 5 * time.Second
)

// bench is a folder with a shelf in it, in time of its own.
type bench struct {
	t      *testing.T
	folder string
	log    bytes.Buffer // read only while nothing runs
	shelf  *shelf.Shelf
}

// inBubble runs a test in a bubble, where it is the year 2000.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "state", "shelf")
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, folder: folder}
		b.open()
		defer func() { b.shelf.Close(t.Context()) }()
		test(b)
	})
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.shelf, err = shelf.New(b.folder, slog.New(slog.NewTextHandler(&b.log, nil))); err != nil {
		b.t.Fatal(err)
	}
}

// restart ends the shelf well and opens it again.
func (b *bench) restart() {
	b.t.Helper()
	b.shelf.Close(b.t.Context())
	b.open()
}

func (b *bench) wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// last is what a restart would find, "" for nothing.
func (b *bench) last(of string, maxAge time.Duration) string {
	b.t.Helper()
	p := b.shelf.Place("keys", of, maxAge)
	defer p.Close()
	var value string
	if at, ok := p.Last(&value); ok {
		return fmt.Sprintf("%s %s", value, time.Since(at))
	}
	return ""
}

func (b *bench) files() []string {
	b.t.Helper()
	entries, err := os.ReadDir(b.folder)
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// file gives the path of the only file.
func (b *bench) file() string {
	b.t.Helper()
	names := b.files()
	if len(names) != 1 {
		b.t.Fatalf("there are %q", names)
	}
	return filepath.Join(b.folder, names[0])
}

func TestAWordOutlivesTheProcessAndAges(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("keys", "a", day)
		if _, ok := p.Last(new(string)); ok {
			b.t.Error("there is something before anything was said")
		}
		p.Put("one & <two>")
		b.wait(soon)
		b.restart()
		if got := b.last("a", day); got != "one & <two> 5s" {
			b.t.Errorf("after a restart: %q", got)
		}
		b.wait(23 * time.Hour)
		b.restart()
		if got := b.last("a", day); got != "one & <two> 23h0m5s" {
			b.t.Errorf("its age is that of its confirmation: %q", got)
		}
		if got := b.last("a", time.Hour); got != "" {
			b.t.Errorf("older than its reader takes it: %q", got)
		}
		b.wait(time.Hour)
		if got := b.last("a", day); got != "" {
			b.t.Errorf("too old: %q", got)
		}
	})
}

func TestWhatIsTooOldIsRemoved(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("keys", "a", day)
		defer p.Close()
		p.Put("one")
		b.wait(day)
		if n := len(b.files()); n != 1 {
			b.t.Fatalf("there are %d files", n)
		}
		b.wait(2 * time.Hour)
		if n := len(b.files()); n != 0 {
			b.t.Errorf("there are %d files", n)
		}
		p.Put("one") // and the same word is written again
		b.wait(soon)
		b.restart()
		if got := b.last("a", day); got != "one 5s" {
			b.t.Errorf("got %q", got)
		}
	})
}

// TestTheDiskIsWrittenSeldom holds what a source may cost that speaks often.
func TestTheDiskIsWrittenSeldom(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("keys", "a", day)
		defer p.Close()
		writes, before := 0, ""
		look := func() {
			text, err := os.ReadFile(filepath.Join(b.folder, b.files()[0]))
			if err != nil {
				b.t.Fatal(err)
			}
			if string(text) != before {
				writes, before = writes+1, string(text)
			}
		}
		p.Put("same")
		b.wait(soon)
		for range 24 * 60 { // a day in which the same is confirmed every minute
			p.Put("same")
			b.wait(time.Minute)
			look()
		}
		if writes < 24 || writes > 25 {
			b.t.Errorf("confirmed each minute of a day, it was written %d times", writes)
		}
		writes = 0
		for i := range 600 { // a minute in which another comes ten times a second
			p.Put(fmt.Sprint(i))
			b.wait(100 * time.Millisecond)
			look()
		}
		if writes < 20 || writes > 31 {
			b.t.Errorf("changed ten times a second for a minute, it was written %d times", writes)
		}
		b.wait(soon)
		look()
		writes = 0
		p.Put("other")
		p.Put(fmt.Sprint(599)) // as it was: nothing is to be written
		b.wait(soon)
		if look(); writes != 0 {
			b.t.Error("changed and changed back, it was written")
		}
	})
}

func TestTheLastWordIsWrittenAtTheEnd(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.shelf.Place("keys", "a", day).Put("one")
		b.restart()
		if got := b.last("a", day); got != "one 0s" {
			b.t.Errorf("got %q", got)
		}
	})
}

func TestNothingToKeepIsKeptAsNothing(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("endpoints", "a", day)
		defer p.Close()
		p.Clear()
		b.wait(soon)
		p.Put("one")
		b.wait(soon)
		if n := len(b.files()); n != 1 {
			b.t.Fatalf("there are %d files", n)
		}
		p.Clear()
		b.wait(soon)
		if n := len(b.files()); n != 0 {
			b.t.Errorf("there are %d files", n)
		}
	})
}

// TestTwoWhoTakeAPlaceHaveTheSame holds it for a reload, where the next takes a place
// before the one before gives it back.
// A word that cannot be written down has replaced the one that lies there all the same.
func TestAWordThatCannotBeWrittenDownLeavesNoOlderOne(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("keys", "a", day)
		p.Put("one")
		b.wait(soon)
		p.Put(make(chan int))
		b.wait(soon)
		if names := b.files(); len(names) != 0 {
			b.t.Errorf("there are %q", names)
		}
	})
}

func TestTwoWhoTakeAPlaceHaveTheSame(t *testing.T) {
	inBubble(t, func(b *bench) {
		before := b.shelf.Place("keys", "a", time.Hour)
		before.Put("one")
		next := b.shelf.Place("keys", "a", day) // before that is written
		var value string
		if _, ok := next.Last(&value); !ok || value != "one" {
			b.t.Errorf("the next found %q, %v", value, ok)
		}
		before.Close()
		before.Close() // does nothing more
		b.shelf.Tidy()
		b.wait(soon)
		if b.last("a", day) == "" {
			b.t.Error("it went with the one before")
		}
		next.Close()
	})
}

func TestWhatNobodyAsksForGoes(t *testing.T) {
	inBubble(t, func(b *bench) {
		kept, gone := b.shelf.Place("keys", "kept", day), b.shelf.Place("keys", "gone", day)
		kept.Put("k")
		gone.Put("g")
		b.wait(soon)
		// What a crash left, and what another process is writing just now.
		left, writing := filepath.Join(b.folder, ".new-1"), filepath.Join(b.folder, ".new-2")
		for path, age := range map[string]time.Duration{left: time.Hour, writing: 0} {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				b.t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
				b.t.Fatal(err)
			}
		}
		gone.Close()
		b.wait(2 * time.Hour)
		if n := len(b.files()); n != 4 {
			b.t.Errorf("something went before anybody said that all have their places: %q", b.files())
		}
		if err := os.Chtimes(writing, time.Time{}, time.Now()); err != nil {
			b.t.Fatal(err)
		}
		b.shelf.Tidy()
		b.wait(soon)
		if got := b.files(); len(got) != 2 || !slices.Contains(got, ".new-2") {
			b.t.Errorf("there are %q", got)
		}
		if b.last("kept", day) == "" {
			b.t.Error("what is asked for went")
		}
		kept.Close() // as at the end of a process
		b.restart()
		b.wait(2 * time.Hour)
		if b.last("kept", day) == "" {
			b.t.Error("it went with the process")
		}
	})
}

// TestAFileThatCannotBeUsedIsAsIfThereWereNone, is told, and is replaced by what comes next.
func TestAFileThatCannotBeUsedIsAsIfThereWereNone(t *testing.T) {
	rewrite := func(change func(text string) string) func(path string) error {
		return func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(change(string(text))), 0o600)
		}
	}
	replaced := func(old, by string) func(string) error {
		return rewrite(func(text string) string {
			if !strings.Contains(text, old) {
				panic("the test looks for what is not there")
			}
			return strings.Replace(text, old, by, 1)
		})
	}
	cases := map[string]struct {
		spoil func(path string) error
		why   string
	}{
		"cut off":            {rewrite(func(s string) string { return s[:len(s)/2] }), "unexpected end"},
		"empty":              {rewrite(func(string) string { return "" }), "unexpected end"},
		"another version":    {replaced(`"version": 1`, `"version": 2`), "version 2"},
		"another value":      {replaced(`"one"`, `"two"`), "not what was written"},
		"no value":           {replaced(`"one"`, `null`), "not what was written"},
		"another source's":   {replaced(`"of": "a"`, `"of": "b"`), "that of keys b"},
		"another kind":       {replaced(`"kind": "keys"`, `"kind": "endpoints"`), "that of endpoints"},
		"too large":          {rewrite(func(s string) string { return s + strings.Repeat(" ", 1<<20) }), "larger than"},
		"of a time to come":  {replaced(`"confirmed": "2000`, `"confirmed": "2999`), "in the future"},
		"no time":            {replaced(`"confirmed": "2000`, `"confirmed": "yesterday`), "parsing time"},
		"others could write": {func(path string) error { return os.Chmod(path, 0o666) }, "others than this user"},
		"a link": {func(path string) error {
			if err := os.Rename(path, path+".there"); err != nil {
				return err
			}
			return os.Symlink(path+".there", path)
		}, "symbolic links"},
		"a folder": {func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		}, "no plain file"},
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"others could write", "a link", "a folder"} {
			delete(cases, name)
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.shelf.Place("keys", "a", day).Put("one")
				b.shelf.Close(b.t.Context())
				path := b.file()
				if err := c.spoil(path); err != nil {
					b.t.Fatal(err)
				}
				b.open()
				p := b.shelf.Place("keys", "a", day)
				defer p.Close()
				if _, ok := p.Last(new(string)); ok {
					b.t.Error("it was used")
				}
				if !strings.Contains(b.log.String(), c.why) || !strings.Contains(b.log.String(), "level=WARN") {
					b.t.Errorf("the log tells:\n%s", b.log.String())
				}
				if name == "a folder" { // it is in the way until somebody removes it
					if err := os.Remove(path); err != nil {
						b.t.Fatal(err)
					}
				}
				p.Put("next")
				b.wait(soon)
				if got := b.last("a", day); got != "next 5s" {
					b.t.Errorf("afterwards: %q\n%s", got, b.log.String())
				}
			})
		})
	}
}

func TestAClockThatWasPutRightALittle(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.shelf.Place("keys", "a", day).Put("one")
		b.shelf.Close(b.t.Context())
		text, err := os.ReadFile(b.file())
		if err != nil {
			b.t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`2000-01-01T00:00:00`), []byte(`2000-01-01T00:01:00`), 1)
		if err := os.WriteFile(b.file(), text, 0o600); err != nil {
			b.t.Fatal(err)
		}
		b.open()
		if got := b.last("a", day); got != "one 0s" {
			b.t.Errorf("a word of a minute to come is %q", got)
		}
	})
}

func TestTheFilesAreForNobodyElse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the profile's folder is the guard here")
	}
	inBubble(t, func(b *bench) {
		b.shelf.Place("keys", "a", day).Put("one")
		b.restart()
		for path, want := range map[string]os.FileMode{b.folder: 0o700, filepath.Dir(b.folder): 0o700, b.file(): 0o600} {
			info, err := os.Stat(path)
			if err != nil {
				b.t.Fatal(err)
			}
			if info.Mode().Perm() != want {
				b.t.Errorf("%s has the mode %s", path, info.Mode())
			}
		}
		if err := os.Chmod(b.folder, 0o770); err != nil {
			b.t.Fatal(err)
		}
		if other, err := shelf.New(b.folder, slog.New(slog.DiscardHandler)); err == nil {
			other.Close(b.t.Context())
			b.t.Error("a folder in which others may write is taken")
		}
	})
}

// TestADiskThatFails is told once and tried again.
func TestADiskThatFails(t *testing.T) {
	inBubble(t, func(b *bench) {
		// A file where the folder should be fails for root too.
		if err := os.MkdirAll(filepath.Dir(b.folder), 0o700); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(b.folder, nil, 0o600); err != nil {
			b.t.Fatal(err)
		}
		p := b.shelf.Place("keys", "a", day)
		defer p.Close()
		for range 100 {
			p.Put("one")
			b.wait(time.Minute)
		}
		if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
			b.t.Errorf("in an hour and a half it was told %d times:\n%s", n, b.log.String())
		}
		if err := os.Remove(b.folder); err != nil {
			b.t.Fatal(err)
		}
		b.wait(2 * time.Minute)
		if b.last("a", day) == "" {
			b.t.Error("it was not tried again")
		}
	})
}

func TestThereAreBounds(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.shelf.Place("keys", "large", day)
		p.Put("fits")
		b.wait(soon)
		p.Put(strings.Repeat("x", 1<<20))
		b.wait(soon)
		if n := len(b.files()); n != 0 {
			b.t.Errorf("what is too large was kept, or what was before it: there are %d files", n)
		}
		if !strings.Contains(b.log.String(), "keys of large: it has 1048") {
			b.t.Errorf("the log tells:\n%s", b.log.String())
		}
		p.Put("fits again")
		b.wait(soon)
		if b.last("large", day) == "" {
			b.t.Error("it is not kept again")
		}
		b.log.Reset()
		for i := range 1100 { // with the one that is there
			if p := b.shelf.Place("keys", fmt.Sprint(i), day); i >= 990 {
				p.Put(i)
			}
		}
		b.wait(soon)
		if n := len(b.files()); n != 1+9 {
			b.t.Errorf("there are %d files", n)
		}
		if n := strings.Count(b.log.String(), "level=WARN"); n != 1 {
			b.t.Errorf("that no more are kept was told %d times", n)
		}
	})
}

func TestNoShelfKeepsNothing(t *testing.T) {
	var none *shelf.Shelf
	p := none.Place("keys", "a", day)
	p.Put("one")
	p.Clear()
	if _, ok := p.Last(new(string)); ok {
		t.Error("there is something")
	}
	p.Close()
	none.Tidy()
	none.Close(context.Background())
}

func TestTheFormOfAFile(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.shelf.Place("endpoints", "users dns:users.internal:8080", day).Put([]map[string]any{{"address": "10.0.0.1:8080"}})
		b.restart()
		text, err := os.ReadFile(b.file())
		if err != nil {
			b.t.Fatal(err)
		}
		want := `{
  "version": 1,
  "kind": "endpoints",
  "of": "users dns:users.internal:8080",
  "confirmed": "2000-01-01T00:00:00Z",
  "sha256": "` + fmt.Sprintf("%x", sha256.Sum256([]byte(`[{"address":"10.0.0.1:8080"}]`))) + `",
  "value": [
    {
      "address": "10.0.0.1:8080"
    }
  ]
}
`
		if string(text) != want {
			b.t.Errorf("it is\n%s", text)
		}
	})
}

func TestAShelfThatIsOnlyReadStaysAsItIs(t *testing.T) {
	inBubble(t, func(b *bench) {
		place := b.shelf.Place("keys", "issuer", day)
		place.Put("one")
		b.wait(soon)
		before, err := os.ReadDir(b.folder)
		if err != nil || len(before) != 1 {
			b.t.Fatalf("%v, %v", before, err)
		}
		reading, err := shelf.Read(b.folder, slog.New(slog.DiscardHandler))
		if err != nil {
			b.t.Fatal(err)
		}
		other := reading.Place("keys", "another", day)
		own := reading.Place("keys", "issuer", day)
		var word string
		if _, ok := own.Last(&word); !ok || word != "one" {
			b.t.Errorf("read is %q", word)
		}
		own.Put("two")
		other.Put("three")
		own.Close()
		reading.Tidy()
		reading.Close(b.t.Context())
		b.wait(soon)
		if after, err := os.ReadDir(b.folder); err != nil || len(after) != 1 || after[0].Name() != before[0].Name() {
			b.t.Errorf("then there is %v, %v", after, err)
		}
		b.restart()
		if _, ok := b.shelf.Place("keys", "issuer", day).Last(&word); !ok || word != "one" {
			b.t.Errorf("kept is %q", word)
		}
	})
}

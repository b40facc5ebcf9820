package follow_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

// other is a config as an operator sends it.
const other = "listen: 127.0.0.1:0\nadmin: off\nroutes:\n  GET /a: respond:vput\n"

func (w *world) must(report follow.Report, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err, report.Problems)
	}
}

func notKept(err error) bool {
	_, is := errors.AsType[*history.NotKeptError](err)
	return is
}

// holds tells what holds in place of the files, "" for nothing.
func (w *world) holds() string {
	if hold := w.follower.Status().Hold; hold != nil {
		return hold.By
	}
	return ""
}

func (w *world) expectHold(want string) {
	w.t.Helper()
	if got := w.holds(); got != want {
		w.t.Errorf("%q holds, want %q", got, want)
	}
}

func TestWhatIsPutHoldsUntilTheFilesChangeIntoSomethingThatServes(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	w.must(w.follower.Put([]byte(other), "", false))
	w.expect("put", "put - -")
	w.expectHold(follow.FromAdmin)

	w.must(w.read())
	w.expect("the files read again, unchanged", "put - -")

	w.write("b.yaml", "group: b\nroutes: {\n")
	if _, err := w.read(); !errors.Is(err, reconcile.ErrRefused) {
		t.Errorf("a change that cannot serve: %v", err)
	}
	w.expect("a mistake in the files", "put - -", "b.yaml")
	w.expectHold(follow.FromAdmin)

	w.says("a", "2")
	w.must(w.read())
	w.expect("a change that can serve, beside the mistake", "2 1 1", "b.yaml")
	w.expectHold("")
}

func TestWhatIsPutIsLetGoOf(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	w.must(w.follower.Put([]byte(other), "", false))
	away := w.folder + ".away"
	w.must(follow.Report{}, os.Rename(w.folder, away))
	if _, err := w.follower.Release(); err == nil {
		t.Error("let go of it for files that are not there")
	}
	w.expectHold(follow.FromAdmin)
	w.expect("nothing to go back to", "put - -", filepath.Base(w.folder))
	w.must(follow.Report{}, os.Rename(away, w.folder))
	w.write("b.yaml", "")
	w.says("a", "2")
	w.must(w.follower.Release())
	w.expect("let go of", "2 1 1", "b.yaml")
	w.expectHold("")
	w.says("b", "2")
	w.must(w.follower.Release())
	w.expect("nothing to let go of", "2 2 1")
}

func TestPutIsHeldToWhatTheOperatorHasSeen(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	digest := w.follower.History()[0].Digest
	if report, err := w.follower.Put([]byte(other), "0123456789abcdef", false); !errors.Is(err, follow.ErrChanged) || report.Digest != digest {
		t.Errorf("got %v, serves %s, not %s", err, report.Digest, digest)
	}
	dry, err := w.follower.Put([]byte(other), digest, true)
	if err != nil || dry.Applied || len(dry.Changes) == 0 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	if dry, err := w.follower.Put([]byte("lisen: 1\n"), digest, true); !errors.Is(err, reconcile.ErrRefused) || len(dry.Problems) == 0 {
		t.Errorf("a dry run of a mistake: %+v, %v", dry, err)
	}
	w.expect("only dry runs", "1 1 1")
	w.expectHold("")
	if report, err := w.follower.Put([]byte("lisen: 1\n"), digest, false); !errors.Is(err, reconcile.ErrRefused) || len(report.Problems) == 0 {
		t.Errorf("a mistake: %+v, %v", report, err)
	}
	w.expect("a mistake", "1 1 1")
	w.must(w.follower.Put([]byte(other), digest, false))
	w.expect("put", "put - -")
}

func TestRollbackGoesBackStepByStepAndToADigest(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	for _, text := range []string{"2", "3"} {
		w.says("a", text)
		w.must(w.read())
	}
	third := w.follower.History()[0].Digest
	w.must(w.follower.Rollback(""))
	w.expect("one step", "2 1 1")
	w.must(w.follower.Rollback(""))
	w.expect("two steps", "1 1 1")
	if _, err := w.follower.Rollback(""); !notKept(err) {
		t.Errorf("before the first one: %v", err)
	}
	w.must(w.follower.Rollback(third[:6]))
	w.expect("to a digest", "3 1 1")
	if _, err := w.follower.Rollback("ffff0000ffff0000"); !notKept(err) {
		t.Errorf("to nothing: %v", err)
	}
	w.must(w.follower.Rollback(""))
	w.expectHold(follow.FromRollback)
	w.must(w.read())
	w.expect("the files read again, unchanged", "2 1 1")
	w.says("b", "9")
	w.must(w.read())
	w.expect("the files changed", "3 9 1")
	w.expectHold("")
}

// The history holds three; what serves is never forgotten.
func TestTheHistoryIsBounded(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	first := w.follower.History()[0].Digest
	for _, text := range []string{"2", "3", "4", "5"} {
		w.says("a", text)
		w.must(w.read())
	}
	if n := len(w.follower.History()); n != 3 {
		t.Errorf("%d are kept", n)
	}
	if _, err := w.follower.Rollback(first); !notKept(err) {
		t.Errorf("to the first: %v", err)
	}
	texts, err := os.ReadDir(filepath.Join(w.state, "text"))
	if err != nil || len(texts) != 3+3 { // what the other teams say, and three of team a
		t.Errorf("%d texts are on disk (%v)", len(texts), err)
	}
}

func TestARestartServesWhatWasLastGood(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*world)
		age     time.Duration
		answers string // "" where nothing may serve
		bad     []string
		from    string
	}{
		"nothing happened":  {func(*world) {}, 0, "1 1 1", nil, follow.FromInput},
		"the files changed": {func(w *world) { w.says("a", "2") }, 0, "2 1 1", nil, follow.FromInput},
		"one file is bad": {func(w *world) {
			w.says("a", "2")
			w.write("b.yaml", "group: b\nroutes: {\n")
		}, 0, "2 1 1", []string{"b.yaml"}, follow.FromInput},
		"all files are bad": {func(w *world) {
			for _, name := range []string{"a.yaml", "b.yaml", "c.yaml", "main.yaml"} {
				w.write(name, "nonsense: 1\n")
			}
		}, 0, "1 1 1", []string{"a.yaml", "b.yaml", "c.yaml", "main.yaml"}, follow.FromLastGood},
		"the folder is gone": {func(w *world) { w.must(follow.Report{}, os.RemoveAll(w.folder)) }, 0, "1 1 1", []string{""}, follow.FromLastGood},
		"too long ago":       {func(w *world) { w.write("b.yaml", "group: b\nroutes: {\n") }, time.Nanosecond, "", []string{"b.yaml"}, ""},
		"it served in a year to come": {func(w *world) {
			w.write("b.yaml", "group: b\nroutes: {\n")
			w.seen(time.Now().AddDate(70, 0, 0))
		}, 0, "", []string{"b.yaml"}, ""},
		"the clock was put right a little": {func(w *world) {
			w.write("b.yaml", "group: b\nroutes: {\n")
			w.seen(time.Now().Add(4 * time.Minute))
		}, 0, "1 1 1", []string{"b.yaml"}, follow.FromLastGood},
		"what is kept was touched": {func(w *world) {
			w.write("b.yaml", "group: b\nroutes: {\n")
			texts, err := filepath.Glob(filepath.Join(w.state, "text", "*"))
			w.must(follow.Report{}, err)
			for _, text := range texts {
				w.must(follow.Report{}, os.WriteFile(text, []byte("routes: {}\n"), 0o600))
			}
		}, 0, "", []string{"b.yaml"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustStart()
			w.end()
			c.between(w)
			report, err := w.restart(c.age)
			if (err == nil) != (c.answers != "") || err != nil && len(report.Problems) == 0 {
				t.Fatalf("got %v, %v", err, report.Problems)
			}
			if c.answers == "" {
				return
			}
			if len(c.bad) == 1 && c.bad[0] == "" {
				c.bad[0] = filepath.Base(w.folder)
			}
			w.expect("after the restart", c.answers, c.bad...)
			if from := w.follower.Status().From; from != c.from {
				t.Errorf("what serves is from %q, want %q", from, c.from)
			}
			if loud := strings.Contains(w.log.String(), "level=ERROR"); loud != (len(c.bad) > 0) {
				t.Errorf("the log:\n%s", w.log.String())
			}
		})
	}
}

// seen makes the state say that what served last was known to serve at that time.
func (w *world) seen(at time.Time) {
	w.t.Helper()
	path := filepath.Join(w.state, "index.json")
	text, err := os.ReadFile(path)
	w.must(follow.Report{}, err)
	line := regexp.MustCompile(`"seen": "[^"]*"`)
	text = line.ReplaceAll(text, []byte(`"seen": "`+at.Format(time.RFC3339Nano)+`"`))
	w.must(follow.Report{}, os.WriteFile(path, text, 0o600))
}

// restart begins another process; what cannot be read of the state is left out.
func (w *world) restart(age time.Duration) (follow.Report, error) {
	w.t.Helper()
	return w.start(age)
}

func TestWhatHoldsHoldsAcrossARestart(t *testing.T) {
	for name, c := range map[string]struct {
		between func(*world)
		answers string
		holds   string
		bad     []string
	}{
		"nothing happened":                    {func(*world) {}, "2 1 1", follow.FromRollback, nil},
		"the files changed":                   {func(w *world) { w.says("b", "9") }, "3 9 1", "", nil},
		"the files changed, but cannot serve": {func(w *world) { w.write("b.yaml", "group: b\nroutes: {\n") }, "2 1 1", follow.FromRollback, []string{"b.yaml"}},
		"the files are gone":                  {func(w *world) { w.must(follow.Report{}, os.RemoveAll(w.folder)) }, "2 1 1", follow.FromRollback, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustStart()
			for _, text := range []string{"2", "3"} {
				w.says("a", text)
				w.must(w.read())
			}
			w.must(w.follower.Rollback(""))
			w.end()
			c.between(w)
			w.must(w.restart(0))
			if len(c.bad) == 1 && c.bad[0] == "" {
				c.bad[0] = filepath.Base(w.folder)
			}
			w.expect("after the restart", c.answers, c.bad...)
			w.expectHold(c.holds)
		})
	}
}

func TestASecretInPlainTextIsNotWrittenToDisk(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	w.write("main.yaml", strings.Replace(main, "admin: off", "admin: { address: off, token: hunter2 }", 1))
	w.must(w.read())
	found := false
	err := filepath.WalkDir(w.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found = found || strings.Contains(string(text), "hunter2")
		if info, err := d.Info(); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil || found {
		t.Errorf("the secret is on disk: %v (%v)", found, err)
	}
	if log := w.log.String(); !strings.Contains(log, "not kept on disk") || !strings.Contains(log, "main.yaml:2:31") || strings.Contains(log, "hunter2") {
		t.Errorf("the log:\n%s", log)
	}
	w.says("a", "2")
	w.must(w.read())
	w.must(w.follower.Rollback("")) // in memory it is kept
	w.expect("one step back", "1 1 1")
}

// A folder that others may write to could hold anything.
func TestAFolderOfOthersIsNotUsed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := history.Open(folder, 3); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := history.Open(folder, 3); err == nil {
		t.Skip("this system knows no such modes")
	}
}

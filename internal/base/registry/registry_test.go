package registry

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

func open(t *testing.T, folder string) *Registry {
	t.Helper()
	r, err := New(Options{Folder: folder, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.Open()
	return r
}

func one(service, id string) *Instance {
	return &Instance{
		Service: service, ID: id, Address: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1, Condition: Ready, TTL: DefaultTTL, After: DefaultAfter * DefaultTTL,
	}
}

func put(t *testing.T, r *Registry, i *Instance) {
	t.Helper()
	if _, _, err := r.Put(i); err != nil {
		t.Fatal(err)
	}
}

// there names what there is: "users/a users/b".
func there(r *Registry, service string) string {
	list, _ := r.List(service)
	var names []string
	for _, e := range list {
		names = append(names, e.Service+"/"+e.ID)
	}
	return strings.Join(names, " ")
}

func TestALeaseEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, "")
		defer r.Close()
		w, err := r.Watch("users", "")
		if err != nil {
			t.Fatal(err)
		}
		<-w.Changed()
		if b := w.Next(); !b.Whole || len(b.Changes) != 0 || b.Settled {
			t.Errorf("%+v", b)
		}
		put(t, r, one("users", "a"))
		put(t, r, one("orders", "z"))
		<-w.Changed()
		if b := w.Next(); b.Whole || len(b.Changes) != 1 || b.Changes[0].Entry.ID != "a" || b.Revision != r.epoch+"-2" {
			t.Errorf("%+v", b)
		}
		for range 10 {
			<-time.After(5 * time.Second)
			if err := r.Heartbeat("users", "a"); err != nil {
				t.Fatal(err)
			}
			if err := r.Heartbeat("orders", "z"); err != nil {
				t.Fatal(err)
			}
		}
		<-w.Changed()
		if b := w.Next(); len(b.Changes) != 0 || !b.Settled {
			t.Errorf("%+v", b)
		}
		start := time.Now()
		for time.Since(start) < DefaultTTL+time.Second {
			<-time.After(time.Second)
			_ = r.Heartbeat("orders", "z")
		}
		<-w.Changed()
		if b := w.Next(); len(b.Changes) != 1 || b.Changes[0].Entry.Instance != nil || b.Changes[0].ID != "a" {
			t.Errorf("%+v", b)
		}
		if got := there(r, ""); got != "orders/z" {
			t.Errorf("there is %s", got)
		}
		w.Close()
		w.Close()
		if s := r.Status(); s.Watchers != 0 || s.Tally.Expired != 1 || s.Tally.Registered != 2 || s.Kept || !s.Settled {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhoFollowsSlowlyFindsTheLatestOfEach(t *testing.T) {
	r := open(t, "")
	w, err := r.Watch("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	<-w.Changed()
	w.Next()
	for n := range 1000 {
		i := one("users", fmt.Sprint(n%10))
		i.Weight = n
		put(t, r, i)
	}
	if err := r.Remove("users", "9"); err != nil {
		t.Fatal(err)
	}
	<-w.Changed()
	b := w.Next()
	if b.Whole || len(b.Changes) != 10 || b.Changes[9].Entry.Instance != nil || b.Changes[8].Entry.Weight != 998 {
		t.Errorf("%+v", b)
	}
	if !slices.IsSortedFunc(b.Changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(len(x.Revision), len(y.Revision)), strings.Compare(x.Revision, y.Revision))
	}) {
		t.Error("changes are not in their order")
	}
}

func TestAWatchGoesOnFromARevision(t *testing.T) {
	r := open(t, "")
	put(t, r, one("users", "a"))
	_, from := r.List("")
	put(t, r, one("users", "b"))
	if err := r.Remove("users", "a"); err != nil {
		t.Fatal(err)
	}
	w, err := r.Watch("", from)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if b := w.Next(); b.Whole || len(b.Changes) != 2 || b.Changes[0].Entry.ID != "b" || b.Changes[1].ID != "a" {
		t.Errorf("%+v", b)
	}
	for _, wrong := range []string{"0123456789-1", r.epoch + "-99", r.epoch, "1", r.epoch + "-x", r.epoch + "--1"} {
		if _, err := r.Watch("", wrong); !errors.Is(err, ErrCompacted) {
			t.Errorf("from %q: %v", wrong, err)
		}
	}
	for n := range mostGone + 1 {
		put(t, r, one("users", fmt.Sprint(n)))
		if err := r.Remove("users", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Watch("", from); !errors.Is(err, ErrCompacted) {
		t.Errorf("what was forgotten: %v", err)
	}
	if b := w.Next(); !b.Whole || len(b.Changes) != 1 || b.Changes[0].Entry.ID != "b" {
		t.Errorf("who is too slow gets the whole: %v, %d changes", b.Whole, len(b.Changes))
	}
	r.Limit(Limits{Watchers: 1})
	if _, err := r.Watch("", ""); err == nil {
		t.Error("there is no limit of watchers")
	}
}

func TestInstancesOutliveTheProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "registry")
	r := open(t, folder)
	full := one("users", "a")
	full.Tags, full.Meta, full.Zone, full.Owner = []string{"x"}, map[string]string{"k": "v"}, "z", "deploy"
	put(t, r, full)
	put(t, r, one("users", "b"))
	put(t, r, one("orders", "c"))
	if err := r.Remove("users", "b"); err != nil {
		t.Fatal(err)
	}
	_, from := r.List("")
	r.Close()
	if _, _, err := r.Put(one("users", "d")); !errors.Is(err, ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
	again := open(t, folder)
	if got := there(again, ""); got != "orders/c users/a" {
		t.Errorf("there is %s", got)
	}
	if e, err := again.Get("users", "a"); err != nil || !e.same(full) || e.State != Live {
		t.Errorf("%+v, %v", e.Instance, err)
	}
	if !again.Settled() || !again.Status().Kept {
		t.Error("what was there is known")
	}
	if _, err := again.Watch("", from); !errors.Is(err, ErrCompacted) {
		t.Errorf("a revision of the process before: %v", err)
	}
}

func TestARegistryThatWasKilledKnowsItsInstances(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "registry")
	r := open(t, folder)
	put(t, r, one("users", "a"))
	copied := filepath.Join(t.TempDir(), "registry")
	await.That(t, "it is on disk", func() bool {
		if err := os.RemoveAll(copied); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(copied, 0o700); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(folder, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, fileName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		other, err := New(Options{Folder: copied})
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		other.Open()
		return there(other, "") == "users/a"
	})
}

func TestAnOldOrBrokenFileIsNotBelieved(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string) Options{
		"old": func(*testing.T, string) Options { return Options{MaxAge: time.Nanosecond} },
		"torn": func(t *testing.T, path string) Options {
			t.Helper()
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copy(raw, bytes.Repeat([]byte("x"), 9000))
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return Options{}
		},
		"no file of ours": func(t *testing.T, path string) Options {
			t.Helper()
			if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			return Options{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "registry")
			r := open(t, folder)
			put(t, r, one("users", "a"))
			r.Close()
			o := spoil(t, filepath.Join(folder, fileName))
			o.Folder = folder
			again, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			again.Open()
			if got := there(again, ""); got != "" {
				t.Errorf("there is %s", got)
			}
			put(t, again, one("users", "b"))
			if !again.Status().Kept {
				t.Error("nothing is kept any more")
			}
			again.Close()
			third := open(t, folder)
			if got := there(third, ""); got != "users/b" {
				t.Errorf("then there is %s", got)
			}
		})
	}
}

// TestOneProcessTakesOverFromAnother holds that what was there goes over with the file, and
// that what the next one heard meanwhile counts.
func TestOneProcessTakesOverFromAnother(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "registry")
	before := open(t, folder)
	put(t, before, one("users", "a"))
	newer := one("users", "b")
	newer.Weight = 7
	put(t, before, one("users", "b"))
	next, err := New(Options{Folder: folder, Succeeds: true})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	var opened sync.WaitGroup
	opened.Go(next.Open)
	put(t, next, newer)
	before.Release()
	if got := there(before, ""); got != "users/a users/b" {
		t.Errorf("the process before still knows %s", got)
	}
	opened.Wait()
	await.That(t, "what was there is known", func() bool { return there(next, "") == "users/a users/b" })
	if e, err := next.Get("users", "b"); err != nil || e.Weight != 7 {
		t.Errorf("%v, %v", e.Instance, err)
	}
	before.Close()
}

func TestAFolderThatCannotBeUsedCostsNobodyTheRegistry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry")
	r, err := New(Options{Folder: path})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Open()
	put(t, r, one("users", "a"))
	if r.Status().Kept || r.Status().Trouble == nil || there(r, "users") != "users/a" {
		t.Errorf("%+v", r.Status())
	}
}

// TestAFileThatIsDamagedWhileItIsOpenCostsNobodyTheRegistry holds that memory goes on, that it is told, and
// that the next start has a file again.
func TestAFileThatIsDamagedWhileItIsOpenCostsNobodyTheRegistry(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string, size int){
		"pages of nobody": func(t *testing.T, path string, size int) {
			t.Helper()
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			page := os.Getpagesize()
			if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, size-2*page), int64(2*page)); err != nil {
				t.Fatal(err)
			}
		},
		"cut off": func(t *testing.T, path string, _ int) { // its pages are no memory any more
			t.Helper()
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "registry")
			path := filepath.Join(folder, fileName)
			log := &await.Text{}
			r, err := New(Options{Folder: folder, Log: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			r.Open()
			put(t, r, one("users", "a"))
			r.mu.Lock()
			file := r.store
			r.mu.Unlock()
			await.That(t, "it is written", func() bool {
				file.mu.Lock()
				defer file.mu.Unlock()
				return len(file.pending) == 0 && file.written > 1
			})
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, path, int(info.Size()))
			put(t, r, one("users", "b"))
			await.That(t, "it is told", func() bool { return r.Status().Trouble != nil })
			if s := r.Status(); s.Kept || !errors.Is(s.Trouble, errBroken) {
				t.Errorf("%+v", s)
			}
			put(t, r, one("users", "c"))
			if got := there(r, ""); got != "users/a users/b users/c" {
				t.Errorf("there is %s", got)
			}
			if n := strings.Count(log.String(), "the file of the registry is damaged"); n != 1 {
				t.Errorf("told %d times:\n%s", n, log)
			}
			r.Close()
			again := open(t, folder)
			put(t, again, one("users", "d"))
			if s := again.Status(); !s.Kept || s.Trouble != nil {
				t.Errorf("after a restart: %+v", s)
			}
		})
	}
}

// TestManyAtOnce lets the race detector look.
func TestManyAtOnce(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "registry"))
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			w, err := r.Watch([]string{"", "users"}[n%2], "")
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			for k := range 200 {
				id := fmt.Sprint(n, "-", k%5)
				if _, _, err := r.Put(one("users", id)); err != nil {
					t.Error(err)
				}
				_ = r.Heartbeat("users", id)
				if k%3 == 0 {
					_ = r.Remove("users", id)
				}
				select {
				case <-w.Changed():
				default:
				}
				w.Next()
				r.List("users")
				r.Status()
			}
		})
	}
	all.Wait()
}

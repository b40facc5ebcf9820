package notify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-gateway/weir/internal/base/await"
)

// The kernel gives one number to both.
func TestTwoPathsToOneFolderAreBothTold(t *testing.T) {
	g := open(t)
	g.make("one")
	g.link("one", "two")
	g.add("one")
	g.add("two")
	g.write("one/file", "")
	g.told("one/file")
	g.write("one/file", "again")
	g.told("two/file")
	g.watcher.Remove(g.path("one"))
	g.write("one/new", "")
	if g.told("two/new")[g.path("one/new")] {
		t.Error("the path that was removed was told")
	}
	g.remove("one")
	g.told("two")
}

// Its name has changed, its number has not. Where it is added by its new name before
// the move is told, that must not take the watch away again.
func TestAFolderThatIsMovedIsWatchedByItsNewName(t *testing.T) {
	g := open(t)
	g.make("one")
	g.make("first")
	g.add("one")
	g.add("first")
	for i := range 10 { // nobody reads, so that the move is told last
		g.write(fmt.Sprintf("first/%d", i), "")
	}
	g.rename("one", "two")
	g.add("two")
	g.told("one")
	g.watcher.Remove(g.path("one"))
	g.write("two/file", "")
	g.told("two/file")
	g.rename("two", "one")
	g.told("two")
}

func TestAFolderThatIsMovedAwayAndBackIsStillWatched(t *testing.T) {
	g := open(t)
	g.make("one")
	g.add("one")
	g.rename("one", "two")
	g.rename("two", "one")
	g.told("one")
	g.write("one/file", "")
	g.told("one/file")
}

func TestAFolderThatIsUnmountedIsTold(t *testing.T) {
	g := open(t)
	g.make("volume")
	g.add("volume")
	if err := unix.Mount("weir", g.path("volume"), "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("nothing can be mounted here:", err)
	}
	mounted := true
	defer func() {
		if mounted {
			_ = unix.Unmount(g.path("volume"), unix.MNT_DETACH)
		}
	}()
	g.write("volume/above", "")
	g.untold("volume/above") // what is mounted over is still the one that is watched
	g.add("volume")
	g.watcher.Remove(g.path("volume"))
	g.write("volume/file", "")
	g.told("volume/file")
	g.must(unix.Unmount(g.path("volume"), 0))
	mounted = false
	g.told("volume")
	g.add("volume")
	g.watcher.Remove(g.path("volume"))
	g.write("volume/below", "")
	g.told("volume/below")
}

func TestTheLongestNamesAreTold(t *testing.T) {
	g := open(t)
	g.add(".")
	for letter := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		g.write(strings.Repeat(letter, 255), "")
	}
	for letter := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		g.told(strings.Repeat(letter, 255))
	}
}

// What is lost is not known, only that something is.
func TestMoreThanTheSystemRemembersIsAnError(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Skip("there is no limit to be found:", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || most > 1<<17 {
		t.Skip("it would take too long:", most, err)
	}
	g := open(t)
	g.write("conf/one", "")
	g.write("conf/two", "")
	g.add("conf")
	for range most/2 + 500 { // in turn: what happens twice to the same is told once
		g.must(os.Chmod(g.path("conf/one"), 0o600))
		g.must(os.Chmod(g.path("conf/two"), 0o600))
	}
	for overflow := error(nil); overflow == nil; {
		select {
		case <-g.watcher.Events:
		case overflow = <-g.watcher.Errors:
			if !strings.Contains(overflow.Error(), "max_queued_events") {
				t.Error(overflow)
			}
		}
	}
	g.write("conf/late", "")
	g.told("conf/late")
}

// The stack of every new goroutine begins with what all use on average, so one that
// is large makes that of each connection larger: docs/decisions/0086.
func TestAWatcherNeedsNoLargeStack(t *testing.T) {
	const watchers = 20
	before := figure(t, "/memory/classes/heap/stacks:bytes")
	for range watchers {
		g := open(t)
		g.add(".")
		g.write("file", "")
		g.told("file") // it has been at work
	}
	grown := figure(t, "/memory/classes/heap/stacks:bytes") - before
	if grown > watchers*16<<10 {
		t.Errorf("%d watchers have %d KiB of stacks", watchers, grown>>10)
	}
	if start := figure(t, "/gc/stack/starting-size:bytes"); start > 4<<10 {
		t.Errorf("a new goroutine begins with %d KiB", start>>10)
	}
	t.Logf("%d KiB of stacks, a new goroutine begins with %d bytes", grown>>10, figure(t, "/gc/stack/starting-size:bytes"))
}

// figure is one of the runtime's, after a collection.
func figure(t *testing.T, name string) int64 {
	t.Helper()
	runtime.GC()
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// The descriptors of what is closed are closed.
func TestClosedWatchersLeaveNothingOpen(t *testing.T) {
	count := func() (n int) {
		links, err := filepath.Glob("/proc/self/fd/*")
		if err != nil || len(links) == 0 {
			t.Skip("no list of descriptors here:", err)
		}
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && strings.Contains(to, "inotify") {
				n++
			}
		}
		return n
	}
	before := count()
	for range 3 {
		g := open(t)
		g.add(".")
		g.must(g.watcher.Close())
	}
	await.That(t, "no descriptor of inotify is open", func() bool { return count() == before })
}

// Who wants to know names only is not woken for each write to a file beside them.
func TestWhatIsWrittenIsNotToldWhereOnlyNamesAreAsked(t *testing.T) {
	g := open(t)
	g.write("conf/file", "one")
	g.names("conf")
	g.write("conf/file", "two")
	g.untold("conf/file")
	g.must(os.Chmod(g.path("conf/file"), 0o400))
	g.told("conf/file")
	g.write("conf/new", "")
	g.told("conf/new")
	g.rename("conf/file", "file")
	g.told("conf/file")
	g.remove("conf")
	g.told("conf")
}

func TestWhatIsWrittenIsToldWhereAnybodyAsks(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(ground)
	}{
		{"before who does not", func(g ground) { g.add("conf"); g.names("conf") }},
		{"after who does not", func(g ground) { g.names("conf"); g.add("conf") }},
		{"by another path", func(g ground) { g.add("conf"); g.names("now") }},
		{"by another path, later", func(g ground) { g.names("now"); g.add("conf") }},
		{"of a folder that was made anew", func(g ground) {
			g.add("conf")
			g.rename("conf", "before")
			g.write("conf/file", "one")
			g.names("conf")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := open(t)
			g.write("conf/file", "one")
			g.link("conf", "now")
			c.before(g)
			g.write("conf/file", "two")
			g.told("conf/file")
		})
	}
}

// What nobody asks for any more ends with the last who is told by the path.
func TestWhatIsWrittenIsNotToldWhenAFolderIsAddedAnewForItsNames(t *testing.T) {
	g := open(t)
	g.write("conf/file", "one")
	g.add("conf")
	g.watcher.Remove(g.path("conf"))
	g.names("conf")
	g.write("conf/file", "two")
	g.untold("conf/file")
}

func (g ground) names(folder string) {
	g.Helper()
	g.must(g.watcher.AddNames(g.path(folder)))
}

package follow_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

// Each row changes the files of three teams at once, after they have served.
func TestABadFileKeepsItsLastGoodTextAndFreezesNobody(t *testing.T) {
	const broken = "group: b\nroutes: {\n"
	for name, c := range map[string]struct {
		change  func(*world)
		answers string
		bad     []string
	}{
		"nothing": {func(*world) {}, "1 1 1", nil},
		"a mistake in one": {func(w *world) {
			w.says("a", "2")
			w.write("b.yaml", broken)
		}, "2 1 1", []string{"b.yaml"}},
		"a mistake that only compiling finds": {func(w *world) {
			w.says("a", "2")
			w.write("b.yaml", "group: b\nroutes:\n  GET /b: dir:./missing\n")
		}, "2 1 1", []string{"b.yaml"}},
		"a missing secret": {func(w *world) {
			w.says("a", "2")
			w.write("b.yaml", "group: b\nroutes:\n  GET /b:\n    headers: { response: { set: { X-T: '${file:missing}' } } }\n    to: respond:v2\n")
		}, "2 1 1", []string{"b.yaml"}},
		"a mistake in two": {func(w *world) {
			w.write("a.yaml", "group: a\nroutes: {\n")
			w.write("b.yaml", broken)
			w.says("c", "2")
		}, "1 1 2", []string{"a.yaml", "b.yaml"}},
		"a new file with a mistake is left out": {func(w *world) {
			w.write("d.yaml", "group: a\nroutes: {\n")
			w.says("a", "2")
		}, "2 1 1", []string{"d.yaml"}},
		"a file that cannot be read": {func(w *world) {
			w.remove("b.yaml")
			if err := os.Symlink("nowhere", filepath.Join(w.folder, "b.yaml")); err != nil {
				w.t.Skip("no symbolic links here:", err)
			}
			w.says("a", "2")
		}, "2 1 1", []string{"b.yaml"}},
		"a file that is about to be written": {func(w *world) {
			w.write("b.yaml", "")
			w.says("a", "2")
		}, "2 1 1", []string{"b.yaml"}},
		"a file that is gone": {func(w *world) { w.remove("b.yaml") }, "1 - 1", nil},
		"a file that is gone while another is bad": {func(w *world) {
			w.remove("b.yaml")
			w.write("c.yaml", "group: c\nroutes: {\n")
		}, "1 - 1", []string{"c.yaml"}},
		"a file under another name with a mistake": {func(w *world) {
			w.remove("b.yaml")
			w.write("bb.yaml", broken)
			w.says("a", "2")
		}, "2 1 1", []string{"b.yaml", "bb.yaml"}},
		"two files that do not fit together, one of which is in the wrong": {func(w *world) {
			w.says("a", "2", "  GET /b: respond:stolen", "")
			w.says("b", "2")
		}, "1 2 1", []string{"a.yaml"}},
		"a group that is taken away from under its file": {func(w *world) {
			w.write("main.yaml", strings.Replace(main, "b: {}, ", "", 1))
			w.says("a", "2")
		}, "2 1 1", []string{"main.yaml"}},
		"a service that is taken away from under the files that name it": {func(w *world) {
			w.write("main.yaml", main+"services: { users: [127.0.0.1:1] }\n")
			w.says("a", "2", "  GET /users: users", "")
			if _, err := w.read(); err != nil {
				w.t.Fatal(err)
			}
			w.write("main.yaml", main)
			w.says("b", "2")
		}, "2 2 1", []string{"main.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustStart()
			w.expect("at first", "1 1 1")
			c.change(w)
			_, err := w.read()
			if err != nil && w.answers() != "1 1 1" {
				t.Error(err)
			}
			w.expect("after the change", c.answers, c.bad...)
			// What is mended is taken over, and nothing is bad any more.
			for _, file := range c.bad {
				if file == "d.yaml" || file == "bb.yaml" {
					w.remove(file)
				}
			}
			w.write("main.yaml", main+"services: { users: [127.0.0.1:1] }\n")
			for _, team := range []string{"a", "b", "c"} {
				_ = os.Remove(filepath.Join(w.folder, team+".yaml"))
				w.says(team, "3")
			}
			if report, err := w.read(); err != nil {
				t.Error(err, report.Problems)
			}
			w.expect("mended", "3 3 3")
		})
	}
}

func TestAnInvalidSingleFileKeepsEverything(t *testing.T) {
	w := newWorld(t)
	for _, team := range []string{"a", "b", "c"} {
		w.remove(team + ".yaml")
	}
	w.write("main.yaml", main+"routes: { GET /a: 'respond:v1', GET /b: 'respond:v1' }\n")
	w.mustStart()
	w.write("main.yaml", main+"routes: { GET /a: 'respond:v2', GET /b: {} }\n")
	report, err := w.read()
	if !errors.Is(err, reconcile.ErrRefused) || len(report.Problems) == 0 {
		t.Errorf("got %v, %v", report.Problems, err)
	}
	w.expect("with a mistake", "1 1 -", "main.yaml")
	since := w.follower.Status().Bad[0].Since
	if _, err := w.read(); err == nil || !w.follower.Status().Bad[0].Since.Equal(since) {
		t.Errorf("read again: %v, bad since %v, not %v", err, w.follower.Status().Bad[0].Since, since)
	}
	if s := w.follower.Status(); s.Applied != 1 || s.Refused != 2 || s.LastRefused.Before(s.LastApplied) {
		t.Errorf("the counts are %+v", s)
	}
}

func TestABusyNewPortRefusesTheChangeWhole(t *testing.T) {
	busy, err := net.Listen("tcp", freeport.Address(t)) // which nobody else takes when it is free again
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	w := newWorld(t)
	w.mustStart()
	w.write("main.yaml", strings.Replace(main, "127.0.0.1:0", "[127.0.0.1:0, "+busy.Addr().String()+"]", 1))
	w.says("a", "2")
	report, err := w.read()
	if err == nil || errors.Is(err, reconcile.ErrRefused) || !strings.Contains(report.Problems[0].String(), busy.Addr().String()) {
		t.Errorf("got %v, %v", report.Problems, err)
	}
	w.expect("with a busy port", "1 1 1")
	_ = busy.Close()
	if _, err := w.read(); err != nil {
		t.Error(err)
	}
	w.expect("once it is free", "2 1 1")
}

func TestAFolderThatIsGoneKeepsEverything(t *testing.T) {
	w := newWorld(t)
	w.mustStart()
	away := w.folder + ".away"
	if err := os.Rename(w.folder, away); err != nil {
		t.Fatal(err)
	}
	if _, err := w.read(); err == nil {
		t.Error("nothing was there, and it was read")
	}
	w.expect("without its folder", "1 1 1", filepath.Base(w.folder))
	if err := os.Rename(away, w.folder); err != nil {
		t.Fatal(err)
	}
	w.says("a", "2")
	if _, err := w.read(); err != nil {
		t.Error(err)
	}
	w.expect("with it again", "2 1 1")
}

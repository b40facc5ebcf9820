package follow

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

// edit is how one file has changed since it was last good.
type edit struct {
	path          string
	before, after *config.Source // nil: the file did not exist, or no longer exists
}

// edits returns the changes of the files, ordered by file name.
func (f *Follower) edits(now []config.Source) []edit {
	all := map[string]*edit{}
	for path, s := range f.good {
		all[path] = &edit{path: path, before: &s}
	}
	for i := range now {
		s := &now[i]
		e := all[s.Path]
		if e == nil {
			e = &edit{path: s.Path}
			all[s.Path] = e
		}
		e.after = s
	}
	var list []edit
	for _, path := range slices.Sorted(maps.Keys(all)) {
		e := *all[path]
		if e.before != nil && e.after != nil && e.after.Unread == nil && bytes.Equal(e.before.Data, e.after.Data) {
			continue
		}
		list = append(list, e)
	}
	return list
}

// mostReturns bounds how many of the undone changes are tried again.
const mostReturns = 32

// search finds out which of the changes since the last good config can serve if all of them together cannot, and why
// the others cannot. sources is nil if there is no solution: nothing was good before, or the files are not the reason.
//
// It undoes the changes of files that take part in a problem until the rest can serve. If no suspect changed, the
// change of another file caused the problem (a file that no longer declares a service breaks the file that names it),
// so all changes are undone. Each undone change is then tried again alone, because one of two files that do not fit
// together may be correct.
func (f *Follower) search(now []config.Source, first attempt) (sources []config.Source, bad map[string][]doc.Problem) {
	if len(f.good) == 0 || !errors.Is(first.err, reconcile.ErrRefused) {
		return nil, byFile(first.report.Problems)
	}
	list := f.edits(now)
	undone := map[string]bool{}
	problems := map[string][]doc.Problem{}
	for a := first; a.err != nil; {
		for file, told := range byFile(a.report.Problems) {
			problems[file] = append(problems[file], told...)
		}
		if !undo(list, a.suspects, undone) {
			return nil, f.blame(list, problems)
		}
		sources = f.without(list, undone)
		a = f.attempt(sources, false)
	}
	if len(undone) > 1 {
		sources = f.readmit(list, undone)
	}
	return sources, f.blame(slices.DeleteFunc(list, func(e edit) bool { return !undone[e.path] }), problems)
}

// undo undoes the changes of suspects, or all changes if no suspect changed. It returns false if there is nothing left
// to undo. If a new file is undone, a deleted file may be the same file under its old name, so its deletion is undone,
// too.
func undo(list []edit, suspects, undone map[string]bool) (more bool) {
	for _, all := range []bool{false, true} {
		for _, e := range list {
			if (all || suspects[e.path]) && !undone[e.path] {
				undone[e.path], more = true, true
			}
		}
		if more {
			break
		}
	}
	if newUndone(list, undone) {
		for _, e := range list {
			if e.after == nil {
				undone[e.path] = true
			}
		}
	}
	return more
}

// newUndone reports whether an undone change is a new file.
func newUndone(list []edit, undone map[string]bool) bool {
	return slices.ContainsFunc(list, func(e edit) bool { return e.before == nil && undone[e.path] })
}

// without returns the last good sources with all changes except the undone ones.
func (f *Follower) without(list []edit, undone map[string]bool) []config.Source {
	sources := maps.Clone(f.good)
	for _, e := range list {
		switch {
		case undone[e.path]:
		case e.after == nil:
			delete(sources, e.path)
		default:
			sources[e.path] = *e.after
		}
	}
	return slices.SortedFunc(maps.Values(sources), func(a, b config.Source) int { return strings.Compare(a.Path, b.Path) })
}

// readmit applies again those undone changes that can serve after all, and returns the sources that then serve.
func (f *Follower) readmit(list []edit, undone map[string]bool) []config.Source {
	tried := 0
	for _, e := range list {
		if !undone[e.path] || tried == mostReturns || e.after == nil && newUndone(list, undone) {
			continue
		}
		tried++
		delete(undone, e.path)
		if f.attempt(f.without(list, undone), false).err != nil {
			undone[e.path] = true
		}
	}
	return f.without(list, undone)
}

// blame returns the problems of the files whose changes were not used.
func (*Follower) blame(list []edit, problems map[string][]doc.Problem) map[string][]doc.Problem {
	bad := make(map[string][]doc.Problem, len(list))
	for _, e := range list {
		told := problems[e.path]
		if len(told) == 0 {
			told = []doc.Problem{{Pos: doc.Pos{File: e.path}, What: "its change does not fit to the other files"}}
		}
		bad[e.path] = told
	}
	return bad
}

// namedChanged reports whether a file that the serving config names has changed since it was read.
func (f *Follower) namedChanged() bool {
	for name, sum := range f.used {
		if secret.FileDigest(name) != sum {
			return true
		}
	}
	return false
}

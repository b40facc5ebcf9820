package follow

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/weir-gateway/weir/internal/base/statefile"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

// AdminSource is the name of a config that came over the admin API. Its relative
// paths are relative to the folder of the input.
const AdminSource = "(admin API)"

// ErrChanged says that another config serves than the operator has seen.
var ErrChanged = errors.New("another configuration serves by now")

// Put makes a config serve in place of the input. seen is the digest of the config
// that the operator has seen serving, "" for any. A dry run says what would change.
func (f *Follower) Put(text []byte, seen string, dryRun bool) (Report, error) {
	defer f.decide()()
	if serves := f.serving(); seen != "" && seen != serves {
		return Report{Report: reconcile.Report{Digest: serves}}, ErrChanged
	}
	sources := []config.Source{{Path: f.options.Input.PathOf(AdminSource), Data: text}}
	if dryRun {
		a := f.attempt(sources, false)
		return Report{Report: a.report, Sources: sources}, a.err
	}
	return f.place(FromAdmin, sources)
}

// Rollback makes a config of the history serve in place of the input: the one with
// a digest, or "" for the one before that which serves. What the history does not
// have is a *history.NotKeptError.
func (f *Follower) Rollback(digest string) (Report, error) {
	defer f.decide()()
	_, kept, err := f.options.History.Before(f.serving())
	if digest != "" {
		_, kept, err = f.options.History.Find(digest)
	}
	if err != nil {
		return Report{}, err
	}
	return f.place(FromRollback, f.sourcesOf(kept))
}

// place makes sources serve until the input says something else.
func (f *Follower) place(from string, sources []config.Source) (Report, error) {
	a := f.attempt(sources, true)
	report := Report{Report: a.report, Sources: sources}
	if a.err != nil {
		f.options.Reconciler.Refuse(a.report.Digest, a.report.Problems)
		f.log(report, a.err)
		return report, a.err
	}
	f.took(from, sources)
	f.note(nil)
	hold := &history.Hold{Digest: a.report.Digest, Since: a.report.Time, By: from}
	if now, err := f.options.Input.Read(); err == nil {
		f.seen, hold.Base = now, baseOf(now)
	}
	f.complain(f.options.History.SetHold(hold))
	f.log(report, nil)
	return report, nil
}

// Release goes back to the input. Where that cannot serve, what serves goes on, and
// holds on.
func (f *Follower) Release() (Report, error) {
	defer f.decide()()
	hold := f.options.History.Hold()
	if hold == nil {
		report, err := f.read()
		f.log(report, err)
		return report, err
	}
	f.complain(f.options.History.SetHold(nil))
	report, err := f.read()
	if err != nil {
		f.complain(f.options.History.SetHold(hold))
	}
	f.log(report, err)
	return report, err
}

// resume makes serve what held in place of the input when the last process ended,
// unless the input has changed since into something that can serve.
func (f *Follower) resume() (Report, bool) {
	hold := f.options.History.Hold()
	if hold == nil {
		return Report{}, false
	}
	sources, a, err := f.held(hold)
	if err != nil {
		f.options.Log.Error("what held in place of the files cannot serve any more; they are heard again", "digest", hold.Digest, "by", hold.By, "error", err)
		f.complain(f.options.History.SetHold(nil))
		return Report{}, false
	}
	f.from = hold.By
	f.complain(f.options.History.Return(f.serving(), time.Now()))
	report := Report{Report: a.report, Sources: sources}
	now, err := f.options.Input.Read()
	if err == nil && maps.Equal(hold.Base, baseOf(now)) {
		f.seen = now
		f.count(report, nil)
		return report, true
	}
	if changed, err := f.read(); err == nil {
		report = changed
	}
	f.log(report, nil)
	return report, true
}

// held makes serve what holds, with the secrets of today.
func (f *Follower) held(hold *history.Hold) ([]config.Source, attempt, error) {
	_, kept, err := f.options.History.Find(hold.Digest)
	if err != nil {
		return nil, attempt{}, err
	}
	sources := f.sourcesOf(kept)
	a := f.attempt(sources, true)
	return sources, a, a.err
}

// again is a reading of an input that has not changed while something holds in its place.
func (f *Follower) again(hold *history.Hold) (Report, error) {
	sources, a, err := f.held(hold)
	if err != nil {
		f.options.Reconciler.Refuse(a.report.Digest, a.report.Problems)
	}
	return Report{Report: a.report, Sources: sources}, err
}

// overrule hears an input that has changed while something holds in its place. What
// holds goes on where none of what has changed can serve.
func (f *Follower) overrule(hold *history.Hold, sources []config.Source) (Report, error) {
	first := f.attempt(sources, false)
	taken, bad := sources, map[string][]doc.Problem(nil)
	if first.err != nil {
		taken, bad = f.search(sources, first)
	}
	if taken == nil || !anyTaken(hold.Base, baseOf(sources), bad) {
		report := Report{Report: first.report, Sources: sources}
		f.refuse(report, bad)
		report.Bad = f.Status().Bad
		return report, fmt.Errorf("%w: %s goes on", reconcile.ErrRefused, hold.By)
	}
	f.complain(f.options.History.SetHold(nil))
	report, err := f.settle(sources)
	if err != nil {
		f.complain(f.options.History.SetHold(hold))
		return report, err
	}
	f.options.Log.Warn("the files have changed and are heard again", "instead_of", hold.By, "held", hold.Digest)
	return report, nil
}

// baseOf gives what the files of the input hold, as history.Hold keeps it.
func baseOf(sources []config.Source) map[string]string {
	base := make(map[string]string, len(sources))
	for _, s := range sources {
		sum := sha256.Sum256(s.Data)
		base[filepath.Base(s.Path)] = hex.EncodeToString(sum[:])
	}
	return base
}

// anyTaken tells whether any file that has changed is not a bad one.
func anyTaken(before, now map[string]string, bad map[string][]doc.Problem) bool {
	blamed := map[string]bool{}
	for path := range bad {
		blamed[filepath.Base(path)] = true
	}
	for name, sum := range now {
		if !blamed[name] && before[name] != sum {
			return true
		}
	}
	for name := range before {
		if _, there := now[name]; !there && !blamed[name] {
			return true
		}
	}
	return false
}

// standIn makes serve what served last, where nothing else can, and tells whether
// it does. report and reason are why the input cannot.
func (f *Follower) standIn(report Report, reason error) bool {
	entry, kept, seen, ok := f.options.History.Last()
	if !ok || f.tooOld(seen) != nil {
		return false
	}
	a := f.attempt(f.sourcesOf(kept), true)
	if a.err != nil {
		f.options.Log.Error("the last good configuration cannot serve either", "digest", entry.Digest, "error", a.err)
		return false
	}
	f.from = FromLastGood
	f.complain(f.options.History.Return(f.serving(), time.Now()))
	bad := byFile(report.Problems)
	if len(bad) == 0 {
		bad[f.options.Input.Path] = []doc.Problem{{What: reason.Error()}}
	}
	f.refuse(report, bad)
	return true
}

// recall takes the last good text of the files from a process that has ended,
// where that is not too long ago.
func (f *Follower) recall() {
	entry, kept, seen, ok := f.options.History.Last()
	if !ok {
		return
	}
	if err := f.tooOld(seen); err != nil {
		f.options.Log.Warn("the kept configuration cannot stand in for one that cannot serve", "digest", entry.Digest, "reason", err)
		return
	}
	if entry.From != FromAdmin {
		f.remember(f.sourcesOf(kept))
	}
}

// tooOld says why what served last at that time does not count any more, nil where it does.
func (f *Follower) tooOld(seen time.Time) error {
	seen, err := statefile.Past(seen)
	if err != nil {
		return err
	}
	if age := time.Since(seen); age > f.options.MaxAge {
		return fmt.Errorf("it served last %s ago", age.Round(time.Second))
	}
	return nil
}

// sourcesOf gives kept sources their paths of today.
func (f *Follower) sourcesOf(kept []history.Source) []config.Source {
	sources := make([]config.Source, len(kept))
	for i, s := range kept {
		sources[i] = config.Source{Path: f.options.Input.PathOf(s.Name), Data: s.Data}
	}
	return sources
}

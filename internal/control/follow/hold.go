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

// AdminSource is the name of a config that came through the admin API. Its relative paths are relative to the input's
// folder.
const AdminSource = "(admin API)"

// ErrChanged reports that the serving config is not the one that the operator has seen.
var ErrChanged = errors.New("another configuration serves by now")

// Put makes a config serve in place of the input. seen is the digest of the config that the operator saw serving, ""
// for any. A dry run only reports what would change.
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

// Rollback makes a config of the history serve in place of the input: the one with digest, or, if that is "", the one
// before the serving config. If the history does not have it, the error is a *history.NotKeptError.
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

// place makes sources serve until the input changes.
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

// Release goes back to the input. If the input cannot serve, the present config continues to serve, and to hold.
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

// resume makes the config serve that held in place of the input when the last process ended, unless the input has since
// changed into something that can serve.
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

// held makes the held config serve, with the secrets of today.
func (f *Follower) held(hold *history.Hold) ([]config.Source, attempt, error) {
	_, kept, err := f.options.History.Find(hold.Digest)
	if err != nil {
		return nil, attempt{}, err
	}
	sources := f.sourcesOf(kept)
	a := f.attempt(sources, true)
	return sources, a, a.err
}

// again handles an input that was read again without a change while a config holds in its place.
func (f *Follower) again(hold *history.Hold) (Report, error) {
	sources, a, err := f.held(hold)
	if err != nil {
		f.options.Reconciler.Refuse(a.report.Digest, a.report.Problems)
	}
	return Report{Report: a.report, Sources: sources}, err
}

// overrule handles an input that has changed while a config holds in its place. That config continues to hold if none
// of the changes can serve.
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

// baseOf returns what the files of the input hold, in the form of history.Hold.
func baseOf(sources []config.Source) map[string]string {
	base := make(map[string]string, len(sources))
	for _, s := range sources {
		sum := sha256.Sum256(s.Data)
		base[filepath.Base(s.Path)] = hex.EncodeToString(sum[:])
	}
	return base
}

// anyTaken reports whether any changed file is not a bad one.
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

// standIn makes the config serve that served last, if nothing else can serve, and reports whether it does. report and
// reason say why the input cannot serve.
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

// recall takes over the last good text of the files from an earlier process, if it is not too old.
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

// tooOld returns why the config that last served at that time no longer counts, nil if it does.
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

// sourcesOf gives kept sources the paths that they have today.
func (f *Follower) sourcesOf(kept []history.Source) []config.Source {
	sources := make([]config.Source, len(kept))
	for i, s := range kept {
		sources[i] = config.Source{Path: f.options.Input.PathOf(s.Name), Data: s.Data}
	}
	return sources
}

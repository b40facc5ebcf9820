package follow

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/history"
)

// Bad is a file whose present text does not serve.
type Bad struct {
	File  string
	Since time.Time
	// LastGood tells that its last good text serves; otherwise the file is new and left out.
	LastGood bool
	Problems []doc.Problem
}

// Status is how things stand, for the admin API and metrics.
type Status struct {
	// From is where what serves comes from: FromInput, FromAdmin, FromRollback or
	// FromLastGood; "" while nothing serves.
	From string
	Hold *history.Hold // what holds in place of the input; nil: nothing
	Bad  []Bad         // in the order of their names
	// Applied counts the configs that came to serve, Partly those among them of which
	// a file was bad, Refused those that did not; each with the time of the last one.
	Applied, Partly, Refused int64
	LastApplied, LastRefused time.Time
}

// Status tells how things stand. It does not wait for a change that is under way.
func (f *Follower) Status() Status {
	f.telling.Lock()
	defer f.telling.Unlock()
	s := f.status
	s.Bad = slices.Clone(s.Bad)
	return s
}

// Input is what the command line named: a file, a folder or a URL.
func (f *Follower) Input() string { return f.options.Input.Path }

// History gives the configs that can be gone back to, the newest first.
func (f *Follower) History() []history.Entry { return f.options.History.Entries() }

// OfHistory loads a config of the history without making it serve.
func (f *Follower) OfHistory(digest string) (*config.Config, error) {
	_, kept, err := f.options.History.Find(digest)
	if err != nil {
		return nil, err
	}
	loaded, err := f.options.Input.LoadSources(f.sourcesOf(kept), f.options.Vocabulary)
	return loaded.Written, err
}

// Written gives the config that serves as it was written, without what the command
// line replaces in it; nil while nothing serves.
func (f *Follower) Written() *config.Config {
	f.telling.Lock()
	defer f.telling.Unlock()
	return f.written
}

func (f *Follower) wrote(cfg *config.Config) {
	f.telling.Lock()
	defer f.telling.Unlock()
	f.written = cfg
}

// Touch notes on disk that what serves still does; call it now and then, and at the end.
func (f *Follower) Touch() {
	if f.Status().From != "" {
		f.complain(f.options.History.Touch(time.Now()))
	}
}

// note takes over which files are bad. One that was bad already is since then.
func (f *Follower) note(bad map[string][]doc.Problem) {
	f.telling.Lock()
	defer f.telling.Unlock()
	since := map[string]time.Time{}
	for _, b := range f.status.Bad {
		since[b.File] = b.Since
	}
	f.status.Bad = nil
	for _, file := range slices.Sorted(maps.Keys(bad)) {
		b := Bad{File: file, Since: since[file], Problems: bad[file]}
		if b.Since.IsZero() {
			b.Since = time.Now()
		}
		_, b.LastGood = f.good[file]
		b.LastGood = b.LastGood || file == f.options.Input.Path && f.from != ""
		f.status.Bad = append(f.status.Bad, b)
	}
}

// refuse notes that what was asked for does not serve, and why.
func (f *Follower) refuse(report Report, bad map[string][]doc.Problem) {
	f.options.Reconciler.Refuse(report.Digest, report.Problems)
	f.note(bad)
}

// log tells of a change, and counts it.
func (f *Follower) log(report Report, err error) {
	f.count(report, err)
	for _, p := range report.Problems {
		level := slog.LevelError
		if p.Severity == doc.Warning {
			level = slog.LevelWarn
		}
		f.options.Log.Log(context.Background(), level, "configuration", "problem", p.String())
	}
	bad := f.Status().Bad
	files := make([]string, len(bad))
	for i, b := range bad {
		files[i] = b.File
	}
	switch {
	case f.from == FromLastGood && err != nil:
		f.options.Log.Error("the configuration cannot serve; what served last serves again", "digest", f.serving(), "error", err)
	case err != nil:
		f.options.Log.Error("the configuration was not applied; the one before serves on", "error", err)
	case len(files) > 0:
		f.options.Log.Error("the configuration was applied but for some files, whose last good text serves on",
			"digest", report.Digest, "files", files, "changes", config.Summary(report.Changes))
	default:
		f.options.Log.Info("the configuration was applied", "digest", report.Digest, "from", f.from, "changes", config.Summary(report.Changes))
	}
}

func (f *Follower) count(report Report, err error) {
	f.telling.Lock()
	defer f.telling.Unlock()
	s := &f.status
	s.From, s.Hold = f.from, f.options.History.Hold()
	now := cmp.Or(report.Time, time.Now())
	if err != nil {
		s.Refused++
		s.LastRefused = now
		return
	}
	s.Applied++
	s.LastApplied = now
	if len(s.Bad) > 0 {
		s.Partly++
	}
}

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
	// LastGood means that the file's last good text serves; otherwise the file is new and omitted.
	LastGood bool
	Problems []doc.Problem
}

// Status is the state of a Follower, for the admin API and metrics.
type Status struct {
	// From is the origin of the serving config: FromInput, FromAdmin, FromRollback or FromLastGood; "" while none
	// serves.
	From string
	Hold *history.Hold // what holds in place of the input; nil: nothing
	Bad  []Bad         // in the order of their names
	// Applied counts the configs that came to serve, Partly those among them with a bad file, Refused those that did
	// not come to serve. LastApplied and LastRefused are the times of the latest ones.
	Applied, Partly, Refused int64
	LastApplied, LastRefused time.Time
}

// Status returns the present state. It does not wait for a change that is under way.
func (f *Follower) Status() Status {
	f.telling.Lock()
	defer f.telling.Unlock()
	s := f.status
	s.Bad = slices.Clone(s.Bad)
	return s
}

// Input is what the command line named: a file, a folder or a URL.
func (f *Follower) Input() string { return f.options.Input.Path }

// History returns the configs that can be gone back to, newest first.
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

// Written returns the serving config as it was written, without the command line's replacements; nil while none serves.
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

// Touch notes on disk that the serving config still serves. Call it from time to time, and at the end.
func (f *Follower) Touch() {
	if f.Status().From != "" {
		f.complain(f.options.History.Touch(time.Now()))
	}
}

// note sets which files are bad. A file that was already bad keeps its time.
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

// refuse notes that the requested config does not serve, and why.
func (f *Follower) refuse(report Report, bad map[string][]doc.Problem) {
	f.options.Reconciler.Refuse(report.Digest, report.Problems)
	f.note(bad)
}

// log logs the result of a change, and counts it.
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

// Package follow decides which config serves. It follows the input (files, or the URL of the command line), remembers
// its last good state, and serves something else in its place if an operator asks for that.
//
//   - follow.go: reading the input, and what happens to it.
//   - good.go: which of its changes can serve if not all of them can.
//   - hold.go: what an operator puts in place of it, and for how long.
//   - status.go: what is reported about all that.
//
// The latest instruction counts. What an operator puts in place of the input (through the admin API, or by going back
// to an earlier config) holds until the input changes into something that can serve, or until the operator releases it.
package follow

import (
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/control/source"
)

// DefaultMaxAge is how long ago a config may have last served for a start to serve it in place of an input that cannot
// serve.
const DefaultMaxAge = 24 * time.Hour

// The origins of a config.
const (
	FromInput    = "input"
	FromAdmin    = "admin API"
	FromRollback = "rollback"
	FromLastGood = "last good"
)

// Options are the settings and collaborators of a Follower.
type Options struct {
	Input      source.Input
	Vocabulary config.Vocabulary
	Reconciler *reconcile.Reconciler
	History    *history.History
	// MaxAge replaces DefaultMaxAge; 0 keeps it.
	MaxAge time.Duration
	// Read is called after each decision with what the input held when it was last read, and with the content of the
	// files that the tried and the serving configs name (Watcher.Follow). It may be nil.
	Read func(sources []config.Source, named source.Content)
	Log  *slog.Logger
}

// Report is the result of a change.
type Report struct {
	reconcile.Report

	// Bad are the files whose present text is not used; their last good text serves, and new files are left out.
	Bad []Bad
	// Sources are what was read, so that a caller can show the lines that problems are about.
	Sources []config.Source
}

// Follower makes one decision after another. Its methods may be called concurrently.
type Follower struct {
	options Options

	deciding sync.Mutex
	// good is the text that each file of the input had when it last served, by path.
	good map[string]config.Source
	from string // the origin of the config that serves; "" while none does
	// seen is what the input held when it was last read, nil if it could not be read.
	seen []config.Source
	// named are the files that the latest attempts named as secrets and certificates. used are those from which the
	// serving config was made.
	named, used source.Content

	telling sync.Mutex
	status  Status
	written *config.Config
}

// New makes a Follower. It reads nothing before Start.
func New(o Options) *Follower {
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	return &Follower{options: o, good: map[string]config.Source{}, used: source.Content{}}
}

// Start makes the input serve, or the config that holds in its place. If neither can serve, it serves the last good
// config. The error is reconcile.ErrRefused if the report's problems say why nothing serves; any other error is about
// the machine.
func (f *Follower) Start() (Report, error) {
	defer f.decide()()
	f.recall()
	if report, ok := f.resume(); ok {
		return report, nil
	}
	report, err := f.read()
	if err != nil && !f.standIn(report, err) {
		return report, err
	}
	report.Bad = f.Status().Bad
	if len(report.Bad) > 0 {
		f.log(report, err)
	} else {
		f.count(report, nil)
	}
	return report, nil
}

// Read reads the input again. If it cannot serve, the present config continues to serve.
func (f *Follower) Read() (Report, error) {
	defer f.decide()()
	report, err := f.read()
	f.log(report, err)
	return report, err
}

// decide begins a decision, and returns the function that ends it.
func (f *Follower) decide() (end func()) {
	f.deciding.Lock()
	f.named = source.Content{}
	return func() {
		if f.options.Read != nil {
			all := maps.Clone(f.used)
			maps.Copy(all, f.named) // read later, if it differs
			f.options.Read(f.seen, all)
		}
		f.deciding.Unlock()
	}
}

// read is Read without the lock and the log.
func (f *Follower) read() (Report, error) {
	sources, err := f.options.Input.Read()
	if err != nil {
		f.seen = nil
		return f.unreadable(err)
	}
	f.seen = sources
	switch hold := f.options.History.Hold(); {
	case hold == nil || f.from == "":
		return f.settle(sources)
	case maps.Equal(hold.Base, baseOf(sources)):
		return f.again(hold)
	default:
		return f.overrule(hold, sources)
	}
}

// unreadable reports an input that cannot be read. The present config continues to serve.
func (f *Follower) unreadable(err error) (Report, error) {
	report := Report{Report: reconcile.Report{Time: time.Now(), Problems: []doc.Problem{{What: err.Error()}}}}
	f.refuse(report, map[string][]doc.Problem{f.options.Input.Path: report.Problems})
	return report, err
}

// settle makes as much of sources serve as can serve.
func (f *Follower) settle(sources []config.Source) (Report, error) {
	first := f.attempt(sources, true)
	if first.err == nil {
		f.took(FromInput, sources)
		f.note(nil)
		return Report{Report: first.report, Sources: sources}, nil
	}
	taken, bad := f.search(sources, first)
	return f.partly(sources, first, taken, bad)
}

// partly makes the sources serve that a search found after a first attempt. taken is nil if it found none.
func (f *Follower) partly(sources []config.Source, first attempt, taken []config.Source, bad map[string][]doc.Problem) (Report, error) {
	report := Report{Report: first.report, Sources: sources}
	if taken != nil && (f.from == "" || source.Digest(taken) != f.serving() || f.namedChanged()) {
		second := f.attempt(taken, true)
		problems := slices.Concat(first.report.Problems, second.report.Problems)
		if second.err == nil {
			from := FromInput
			if f.from == "" && source.Digest(taken) == source.Digest(f.without(nil, nil)) {
				from = FromLastGood
			}
			f.took(from, taken)
			f.note(bad)
			report.Report, report.Bad = second.report, f.Status().Bad
			report.Problems = problems
			return report, nil
		}
		report.Problems = problems
	}
	f.refuse(report, bad)
	report.Bad = f.Status().Bad
	return report, first.err
}

// serving returns the digest of the serving config.
func (f *Follower) serving() string { return f.options.Reconciler.Serves().Digest }

// attempt is the attempt to make one config serve.
type attempt struct {
	report reconcile.Report
	// suspects are the files that take part in the reason why it cannot serve.
	suspects map[string]bool
	err      error
}

// attempt loads sources and applies them, or, without apply, only tries whether they could be applied.
func (f *Follower) attempt(sources []config.Source, apply bool) attempt {
	loaded, err := f.options.Input.LoadSources(sources, f.options.Vocabulary)
	a := attempt{report: reconcile.Report{Digest: loaded.Digest, Time: time.Now(), Problems: loaded.Problems}, suspects: loaded.Bad}
	switch {
	case err != nil:
		a.report.Problems = append(a.report.Problems, doc.Problem{What: err.Error()})
		a.err = err
		return a
	case loaded.Config == nil:
		a.err = reconcile.ErrRefused
		return a
	}
	do := f.options.Reconciler.Try
	if apply {
		do = f.options.Reconciler.Apply
	}
	warned := loaded.Problems
	a.report, a.err = do(loaded.Config, loaded.Digest)
	a.report.Problems = slices.Concat(warned, a.report.Problems)
	files := f.options.Reconciler.Files()
	f.name(files)
	if apply && a.err == nil {
		f.used = files
		f.wrote(loaded.Written)
	}
	for file := range byFile(a.report.Problems) {
		a.suspects[file] = true
	}
	return a
}

// name adds the files that an attempt named. A digest that is already there stays, because it was read first.
func (f *Follower) name(files source.Content) {
	for name, sum := range files {
		if _, known := f.named[name]; !known {
			f.named[name] = sum
		}
	}
}

// byFile groups the errors among problems by file.
func byFile(problems []doc.Problem) map[string][]doc.Problem {
	files := map[string][]doc.Problem{}
	for _, p := range problems {
		if p.Severity == doc.Error && p.Pos.File != "" {
			files[p.Pos.File] = append(files[p.Pos.File], p)
		}
	}
	return files
}

// took notes that sources serve.
func (f *Follower) took(from string, sources []config.Source) {
	f.from = from
	if from != FromAdmin {
		f.remember(sources)
	}
	f.keep(from, sources)
}

// remember makes sources the last good ones.
func (f *Follower) remember(sources []config.Source) {
	clear(f.good)
	for _, s := range sources {
		f.good[s.Path] = s
	}
}

// keep adds the serving config to the history, unless it is the newest entry or serves again after a rollback.
func (f *Follower) keep(from string, sources []config.Source) {
	entries := f.options.History.Entries()
	if from == FromRollback || len(entries) > 0 && entries[0].Digest == f.serving() {
		f.complain(f.options.History.Return(f.serving(), time.Now()))
		return
	}
	entry := history.Entry{Digest: f.serving(), Time: time.Now(), From: from}
	if at, plain := config.PlainSecret(f.options.Reconciler.Config()); plain {
		entry.Private = true
		f.options.Log.Warn("the configuration is not kept on disk, for a secret stands in it as plain text; write a reference such as ${env:NAME} or ${file:/path}", "at", at.String())
	}
	kept := make([]history.Source, len(sources))
	for i, s := range sources {
		kept[i] = history.Source{Name: filepath.Base(s.Path), Data: s.Data}
	}
	f.complain(f.options.History.Add(entry, kept))
}

// complain logs that something could not be written. That is no reason not to serve.
func (f *Follower) complain(err error) {
	if err != nil {
		f.options.Log.Error("a restart may not find what serves now", "error", err)
	}
}

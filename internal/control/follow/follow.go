// Package follow decides which config serves. It follows the input (files, or the
// URL of the command line), keeps what was last good of it, and puts something else
// in its place where an operator says so.
//
//   - follow.go: the input is read, and what becomes of it.
//   - good.go: which of its changes can serve when not all of them can.
//   - hold.go: what an operator puts in place of it, and for how long.
//   - status.go: what is told of all that.
//
// Whoever spoke last is heard. What an operator puts in place of the input (by the
// admin API, or by going back to a config of before) holds until the input changes
// into something that can serve, or until the operator lets go of it.
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

// DefaultMaxAge is how long ago a config may have served last to be served by a
// start whose input cannot be.
const DefaultMaxAge = 24 * time.Hour

// Where a config comes from.
const (
	FromInput    = "input"
	FromAdmin    = "admin API"
	FromRollback = "rollback"
	FromLastGood = "last good"
)

// Options are what a Follower is made of.
type Options struct {
	Input      source.Input
	Vocabulary config.Vocabulary
	Reconciler *reconcile.Reconciler
	History    *history.History
	// MaxAge replaces DefaultMaxAge; 0 leaves it.
	MaxAge time.Duration
	// Read is told after each decision what the input held when it was last read, and
	// what the files held that what was tried and what serves name (Watcher.Follow);
	// it may be nil.
	Read func(sources []config.Source, named source.Content)
	Log  *slog.Logger
}

// Report is what became of a change.
type Report struct {
	reconcile.Report

	// Bad are the files that were not taken over: what was last good of them serves.
	Bad []Bad
	// Sources are what was read, for whoever shows the lines that problems are about.
	Sources []config.Source
}

// Follower makes one decision after the other. Its methods may be called concurrently.
type Follower struct {
	options Options

	deciding sync.Mutex
	// good is the text that each file of the input had when it last served, by path.
	good map[string]config.Source
	from string // where what serves comes from; "" while nothing serves
	// seen is what the input held when it was last read, nil where it could not be.
	seen []config.Source
	// named are the files that the latest attempts named as secrets and certificates,
	// used those that what serves was made of.
	named, used source.Content

	telling sync.Mutex
	status  Status
	written *config.Config
}

// New makes a Follower; nothing is read before Start.
func New(o Options) *Follower {
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	return &Follower{options: o, good: map[string]config.Source{}, used: source.Content{}}
}

// Start makes the input serve, or what holds in place of it, or where that cannot
// serve what was last good. The error is reconcile.ErrRefused where the report's
// problems say why nothing serves; any other is about the machine.
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

// Read reads the input again. Where it cannot serve, what serves goes on.
func (f *Follower) Read() (Report, error) {
	defer f.decide()()
	report, err := f.read()
	f.log(report, err)
	return report, err
}

// decide begins a decision, and gives what ends it.
func (f *Follower) decide() (end func()) {
	f.deciding.Lock()
	f.named = source.Content{}
	return func() {
		if f.options.Read != nil {
			all := maps.Clone(f.used)
			maps.Copy(all, f.named) // read later, if it is another
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

// unreadable is an input that is not there. What serves goes on.
func (f *Follower) unreadable(err error) (Report, error) {
	report := Report{Report: reconcile.Report{Time: time.Now(), Problems: []doc.Problem{{What: err.Error()}}}}
	f.refuse(report, map[string][]doc.Problem{f.options.Input.Path: report.Problems})
	return report, err
}

// settle makes serve what can of sources.
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

// partly makes serve what a search has found of sources after a first attempt; nil
// is nothing.
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

// serving is the digest of what serves.
func (f *Follower) serving() string { return f.options.Reconciler.Serves().Digest }

// attempt is one config on its way to serving.
type attempt struct {
	report reconcile.Report
	// suspects are the files that have a part in why it cannot serve.
	suspects map[string]bool
	err      error
}

// attempt loads sources and applies them, or only tries whether they can be.
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

// name adds the files that an attempt named. What was noted first was read first.
func (f *Follower) name(files source.Content) {
	for name, sum := range files {
		if _, known := f.named[name]; !known {
			f.named[name] = sum
		}
	}
}

// byFile sorts the errors among problems by their files.
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

// remember takes sources for the last good ones.
func (f *Follower) remember(sources []config.Source) {
	clear(f.good)
	for _, s := range sources {
		f.good[s.Path] = s
	}
}

// keep adds what serves to the history, unless it serves already or only again.
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

// complain tells that something could not be written, which is no reason not to serve.
func (f *Follower) complain(err error) {
	if err != nil {
		f.options.Log.Error("a restart may not find what serves now", "error", err)
	}
}

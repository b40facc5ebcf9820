package compile

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// functions builds every function of the config, whether a route uses it or not, so that a mistake is reported before a
// route uses it.
func (b *build) functions(s *snapshot.Snapshot) {
	for i := range b.cfg.Functions {
		f := &b.cfg.Functions[i]
		made, err := b.function(f)
		if err != nil {
			mistakes, several := err.(function.Mistakes) //nolint:errorlint // what wraps them says more than each of them
			if !several {
				mistakes = function.Mistakes{err}
			}
			for _, one := range mistakes {
				b.problems.Errorf(placeOf(one, f.At(one)), "function %q: %v", f.Name, one)
			}
			b.told[f] = toldError{err}
			continue
		}
		if !noteFunction(s, f, made) {
			b.warnOfFunction(f) // if the function is started, its own log reports this
		}
	}
}

// noteFunction adds the status of a running function to the snapshot. It reports whether the function runs.
func noteFunction(s *snapshot.Snapshot, f *config.Function, made resolved) bool {
	running, ok := made.identity.(*runningFunction)
	if ok {
		s.Functions = append(s.Functions, snapshot.FunctionNote{Name: inGroup(f.Group, f.Name), Status: running.backend.Status})
	}
	return ok
}

// noteInlined does the same for functions that only routes name.
func (b *build) noteInlined(s *snapshot.Snapshot) {
	for _, f := range b.inlined {
		if made, err := b.function(f); err == nil { // an error was reported for the route
			noteFunction(s, f, made)
		}
	}
}

func (b *build) function(f *config.Function) (resolved, error) {
	if err, ok := b.told[f]; ok {
		return resolved{}, err
	}
	d, ok := b.compiler.parts.function(f.Kind)
	if !ok {
		return resolved{}, fmt.Errorf("this version runs no functions of kind %q", f.Kind)
	}
	env := b.functionEnv(f)
	if !b.start {
		return resolved{roundTripper: unstarted{}}, d.Check(env, f.Config)
	}
	running, err := b.runningFunction(d, env, f)
	if err != nil {
		return resolved{}, err
	}
	return resolved{roundTripper: running.backend, state: running.describe, identity: running}, nil
}

// warnOfFunction warns of what a function needs but this machine does not have.
func (b *build) warnOfFunction(f *config.Function) {
	d, ok := b.compiler.parts.function(f.Kind)
	if !ok {
		return
	}
	for _, w := range d.Warn(b.functionEnv(f), f.Config) {
		b.problems.Add(doc.Problem{
			Pos: f.Origin.Pos, Severity: doc.Warning, What: fmt.Sprintf("the function %q %s", f.Name, w.What),
			Why: w.Why, Fix: w.Fix,
		})
	}
}

func (b *build) functionEnv(f *config.Function) function.Env {
	env := function.Env{Log: b.compiler.options.Log, Secret: b.compiler.options.Secret, Dir: filepath.Dir(f.Origin.File), Bounds: b.within(f.Group, f.Origin)}
	env.Region, env.Account = b.cfg.LambdaAPI.Place()
	return env
}

// functionPart returns a function, or one function of an app if the reference names one.
func (b *build) functionPart(f *config.Function, part string) (resolved, error) {
	found, err := b.function(f)
	if err != nil {
		return found, err
	}
	d, _ := b.compiler.parts.function(f.Kind)
	if said := f.Config; d.Rehearse != nil {
		found.rehearse = func(r *http.Request) ([]string, error) { return d.Rehearse(said, part, r) }
	}
	if part == "" {
		return found, nil
	}
	if d.CheckPart == nil {
		err = fmt.Errorf("a function of kind %q has no parts", f.Kind)
	} else if app, ok := found.roundTripper.(function.Parted); ok {
		found.roundTripper, err = app.Part(part)
	} else {
		err = d.CheckPart(b.functionEnv(f), f.Config, part)
	}
	if err != nil {
		return resolved{}, fmt.Errorf("%q names a function within %q: %w", part, f.Name, err)
	}
	return found, nil
}

// checkPaths returns an error if requests of a route cannot be sent to the function within an app that a backend of the
// route names. It skips routes and backends with a rewrite filter, whose resulting paths are not known here.
func (b *build) checkPaths(r *config.Route, use *config.Backend) error {
	_, part := use.Ref.Function()
	f, ok := b.meant(use.Ref).(*config.Function)
	rewrites := func(f config.Filter) bool { return f.Name == "rewrite" }
	if !ok || part == "" || slices.ContainsFunc(r.Filters, rewrites) || slices.ContainsFunc(use.Filters, rewrites) {
		return nil
	}
	d, _ := b.compiler.parts.function(f.Kind)
	if d.CheckPath == nil {
		return nil
	}
	for _, m := range r.Matches {
		path, err := pattern.ParsePath(m.Path.Pattern)
		if err != nil { // it was reported, or is not a pattern of this grammar
			continue
		}
		captured := func(name string) bool {
			return slices.Contains(path.Names(), name) || slices.ContainsFunc(r.Hosts, labelled(name))
		}
		if err := d.CheckPath(f.Config, part, path, captured); err != nil {
			return err //nolint:wrapcheck // it says what is wrong
		}
	}
	return nil
}

// labelled returns a function that reports whether a host pattern captures a label by that name.
func labelled(name string) func(host string) bool {
	return func(text string) bool {
		host, err := pattern.ParseHost(text)
		return err == nil && host.Param == name
	}
}

// runningFunction is a function as it is kept.
type runningFunction struct {
	backend function.Backend
	config  any // the latest config that it was built or tuned with
	home    home
	asked   []question
}

// home is where a function is, according to its config.
type home struct {
	dir             string // the config's paths are relative to it
	region, account string
	bounds          string // the bounds for calls to the function
}

func homeOf(env function.Env) home {
	return home{env.Dir, env.Region, env.Account, env.Bounds.String()}
}

// runningFunction keeps the running function if only tunable fields changed. Otherwise it makes a successor, and the
// previous function drains beside it.
func (b *build) runningFunction(d function.Definition, env function.Env, f *config.Function) (*runningFunction, error) {
	known := inGroup(f.Group, f.Name)
	env.Life, env.Attempts = b.functionMeter(known), b.backendMeter(d.Scheme.Name+":"+known)
	same := func(live *runningFunction) bool {
		return live.home == homeOf(env) && d.Same(live.config, f.Config) && b.stillSo(live.asked)
	}
	name := "function " + f.Kind + " " + f.Group + "/" + f.Name
	running, err := keep(b, name, same,
		func() (*runningFunction, func(context.Context), error) {
			notes := b.record()
			env.Secret = notes.secret
			backend, err := d.Build(env, f.Name, f.Config)
			asked := notes.done()
			if err != nil {
				return nil, nil, err
			}
			unwatch := env.Life.Watch(instancesOf(backend))
			end := func(ctx context.Context) {
				_ = backend.Close(ctx) // it has logged why
				unwatch()
			}
			return &runningFunction{backend, f.Config, homeOf(env), asked}, end, nil
		})
	if err != nil {
		return nil, err
	}
	if running.config != f.Config {
		b.used.tune(name, func() {
			running.config = f.Config
			running.backend.Tune(f.Config)
		})
	}
	return running, nil
}

// describe says in lines how the function is doing.
func (f *runningFunction) describe() []string {
	s := f.backend.Status()
	if s.Remote != "" {
		return f.describeRemote(s)
	}
	line := fmt.Sprintf("%d instances, %d busy, %d queued", s.Instances, s.Busy, s.Queued)
	if s.Version != "" {
		line += ", version " + s.Version
	}
	if s.Problem != "" {
		line += ": " + s.Problem
	}
	lines := []string{line}
	if s.Newer != "" {
		lines = append(lines, s.Newer)
	}
	return lines
}

// describeRemote does so for a function that runs elsewhere.
func (f *runningFunction) describeRemote(s function.Status) []string {
	line := s.Remote
	if s.Problem != "" {
		line += ": " + s.Problem
	}
	return append([]string{line}, s.Details...)
}

package local

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function/local/azure"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// version is one state of a function's program, from which instances are started.
type version struct {
	*backend

	command atomic.Pointer[program.Command] // how it is started, nil until it was prepared
	source  atomic.Pointer[program.State]   // what it was made of, nil until that was read
	builds  atomic.Int32                    // how many wait for it to be built
	broken  atomic.Pointer[brokenBuild]     // the last build that failed, nil if none has
}

// brokenBuild is a build that has failed.
type brokenBuild struct{ cause error }

func newVersion(b *backend) *version { return &version{backend: b} }

// start makes an instance that takes requests. The pool calls it.
func (v *version) start(ctx context.Context) (*instance, error) {
	begin := time.Now()
	i, err := v.begin(ctx)
	switch {
	case err == nil:
		v.life.Started(time.Since(begin))
	case ctx.Err() == nil && v == v.changes.serving.Load(): // a start that was not given up and was not only a trial
		v.life.Failed()
	}
	return i, err
}

// mostPorts bounds how many instances in a row may lose their ports to other programs.
const mostPorts = 3

func (v *version) begin(ctx context.Context) (*instance, error) {
	begin := time.Now()
	var i *instance
	for n := 1; ; n++ {
		var err error
		if i, err = v.contract.launch(ctx, v); err != nil {
			return nil, fault.FunctionInit.New("", fault.Cause(err))
		}
		if err = i.ready(ctx, v.bounded.Load().init); err == nil {
			break
		}
		if n == mostPorts || !i.lostPort() {
			return nil, err
		}
		v.log.Debug("somebody else has taken the port that an instance was given; another one is started", "name", i.name, "error", err)
	}
	i.start = time.Since(i.since)
	v.recent.Store(i)
	v.log.Debug("an instance is ready", "name", i.name, "took", time.Since(begin))
	return i, nil
}

// launchProcess begins an instance that is a process. connect makes its link once the process can be started; shared
// are the variables that every instance gets.
func (v *version) launchProcess(ctx context.Context, shared map[string]string, connect func() (link, error)) (*instance, error) {
	command, err := v.startable(ctx)
	if err != nil {
		return nil, err
	}
	link, err := connect()
	if err != nil {
		return nil, err
	}
	i := newInstance(link, v.log)
	started, err := v.startProcess(ctx, i, command, shared, nil)
	if err != nil {
		link.close(err)
		return nil, err
	}
	i.live(started, v.name+"#"+started.Serial)
	return i, nil
}

// startProcess starts the process of i, beside another one unless that is nil.
func (v *version) startProcess(ctx context.Context, i *instance, command program.Command, shared map[string]string, beside *process.Process) (*process.Process, error) {
	own := i.link.variables()
	started, err := v.machine.host.Start(ctx, process.Spec{
		Path: v.path(command.Path), Args: v.arguments(command.Args, shared, command.Env, v.env, own), Dir: v.workingFolder(), Line: i.line, Memory: int64(v.allowed),
		Env:    func(temp string) []string { return environment(temp, shared, command.Env, v.env, own) },
		Beside: beside,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the program
	}
	v.log.Debug("a process was started", "instance", started.Serial, "pid", started.PID())
	return started, nil
}

func (v *version) workingFolder() string { return cmp.Or(v.program.Dir, v.program.Folder) }

// arguments are the runtime's, then the program's own, with variables of its environment filled in, and then those of
// the config.
func (v *version) arguments(runtime []string, variables ...map[string]string) []string {
	list := slices.Clone(runtime)
	for _, one := range v.program.Args {
		list = append(list, azure.Expand(one, func(name string) (string, bool) {
			for _, known := range slices.Backward(variables) {
				if value, ok := known[name]; ok {
					return value, true
				}
			}
			return "", false
		}))
	}
	return append(list, v.args...)
}

// startable returns the command of an instance, and prepares it if that has not been done. All who wait for a build
// share it and its failure: if each tried the build again, the builds would fail one after the other, and requests
// would learn of it only then.
func (v *version) startable(ctx context.Context) (program.Command, error) {
	if known := v.command.Load(); known != nil && !known.Gone() {
		return *known, nil
	}
	if v.program.NeedsBuild() {
		v.builds.Add(1)
		defer v.builds.Add(-1)
		before := v.broken.Load()
		select {
		case v.machine.building <- struct{}{}:
			defer func() { <-v.machine.building }()
		case <-ctx.Done():
			return program.Command{}, context.Cause(ctx)
		}
		if known := v.command.Load(); known != nil && !known.Gone() { // another call has built it meanwhile
			return *known, nil
		}
		if broken := v.broken.Load(); broken != before {
			return program.Command{}, broken.cause
		}
	}
	command, err := v.program.Prepare(ctx, v.machine.host, program.Cache, v.log)
	if err != nil {
		if ctx.Err() == nil { // a build that was given up is not a failed one
			v.broken.Store(&brokenBuild{err})
		}
		return program.Command{}, err //nolint:wrapcheck // says what it was for
	}
	v.command.Store(&command)
	return command, nil
}

// preparing says what all instances of the serving version have to wait for.
func (b *backend) preparing() string {
	v := b.changes.serving.Load()
	if v == nil {
		return "" // the backend has just been made
	}
	if modules, ok := b.contract.(*sandboxed); ok && modules.compiling(v) {
		return "its module is being compiled"
	}
	if v.builds.Load() > 0 {
		return "it is being built"
	}
	return ""
}

// path returns what to start for file: file itself, or, if it has changed since, the copy that was made when file was
// this version.
func (v *version) path(file string) string {
	if source := v.source.Load(); source != nil && source.Kept != "" && file == v.program.File && source.Changed() {
		return source.Kept
	}
	return file
}

package local

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/edits"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// changes is how a function follows the files of its program. One goroutine does this, from the function's beginning to
// its end.
type changes struct {
	ctx     context.Context //nolint:containedctx // the life of the goroutine, ended by stop
	stop    context.CancelFunc
	ended   sync.WaitGroup
	asked   chan struct{} // has a value when the goroutine is to look although no change was reported
	watch   atomic.Bool   // whether it is to look by itself
	serving atomic.Pointer[version]
	// elsewhere is what the program is built from outside of its own folder.
	elsewhere atomic.Pointer[[]string]
	// refused is why the newest version does not serve, nil if it does.
	refused atomic.Pointer[refusedVersion]
}

// refusedVersion is a version that could not be started, or not even built.
type refusedVersion struct {
	id    string // "" if it has none because it could not be built
	cause error
}

func (r *refusedVersion) String() string {
	name := "a newer version"
	if r.id != "" {
		name = "the newer version " + r.id
	}
	return name + " cannot be started, and the one before serves on: " + r.cause.Error()
}

// tell returns the version that serves, and why a newer one does not.
func (c *changes) tell() (serving, newer string) {
	if v := c.serving.Load(); v != nil {
		serving = v.id()
	}
	if refused := c.refused.Load(); refused != nil {
		newer = refused.String()
	}
	return serving, newer
}

// id is a digest of the version's content, "" while it is not known.
func (v *version) id() string {
	if source := v.source.Load(); source != nil {
		return source.ID
	}
	return ""
}

// follow starts preparing the first version and following its files.
func (b *backend) follow(first *version, watch bool) {
	c := &b.changes
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.asked = make(chan struct{}, 1)
	c.watch.Store(watch)
	c.serving.Store(first)
	c.ended.Go(func() { b.followOn(first) })
}

// look triggers a look at the files now, and sets whether later ones happen by themselves.
func (b *backend) look(watch bool) {
	b.changes.watch.Store(watch)
	select {
	case b.changes.asked <- struct{}{}:
	default: // it is to look already
	}
}

// unfollow stops following the files. A version that is being built or started is given up.
func (b *backend) unfollow() {
	b.changes.stop()
	b.changes.ended.Wait()
}

func (b *backend) followOn(first *version) {
	c := &b.changes
	var watch *edits.Watch
	defer func() {
		if watch != nil {
			watch.Close()
		}
	}()
	rewatch := func() (told <-chan struct{}) {
		switch on := c.watch.Load(); {
		case on && watch == nil:
			watch = b.machine.edits.Watch(b.files)
		case !on && watch != nil:
			watch.Close()
			watch = nil
		}
		if watch == nil {
			return nil
		}
		return watch.Changed()
	}
	again := func() { // after prepare or renew, which find out what the program is built from outside of its folder
		if watch != nil {
			watch.Again()
		}
	}
	told := rewatch() // before the program is read, so that no change is missed
	b.prepare(first)
	again()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-told:
		case <-c.asked:
			told = rewatch()
		}
		for b.renewUntil(told) {
		}
		again()
	}
}

// renewUntil renews the function, and gives up if something newer appears, which it reports. Trying a version may take
// as long as init.
func (b *backend) renewUntil(told <-chan struct{}) (newer bool) {
	ctx, giveUp := context.WithCancel(b.changes.ctx)
	defer giveUp()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.renew(ctx)
	}()
	select {
	case <-done:
		return false
	case <-told:
		giveUp()
		<-done
		return true
	}
}

// files returns the files of the program, for the watch.
func (b *backend) files() (paths []string, state string) {
	paths, files := b.program.Sources(b.root)
	if more := b.changes.elsewhere.Load(); more != nil {
		paths, files = append(paths, *more...), append(files, program.FilesOf(*more)...)
	}
	return paths, edits.State(files)
}

// prepare builds the first version, or finds its interpreter, before a request comes. After a failure, the next start
// tries again.
func (b *backend) prepare(v *version) {
	if err := v.identify(b.changes.ctx); err != nil && b.changes.ctx.Err() == nil {
		b.log.Error("the function cannot be started", "error", err)
		b.pool.Failed(fault.FunctionInit.New("", fault.Cause(err)))
	}
}

// identify builds the version if needed, and determines its id.
func (v *version) identify(ctx context.Context) error {
	command, err := v.startable(ctx)
	if err != nil {
		return err
	}
	if modules, ok := v.contract.(*sandboxed); ok {
		if err := modules.prepare(ctx, v, command.Path); err != nil {
			return err
		}
	}
	source, err := v.program.StateOf(ctx, v.root, command)
	if source.ID == "" {
		return err //nolint:wrapcheck // it names the file
	}
	if err != nil {
		v.log.Debug("the program is not kept for the time after it was changed", "error", err)
	}
	v.source.Store(&source)
	if v.changes.watch.Load() {
		v.learn(ctx)
	}
	return nil
}

// learn finds out what else has to be watched.
func (v *version) learn(ctx context.Context) {
	more, err := v.program.Elsewhere(ctx, v.machine.host)
	if err != nil {
		v.log.Debug("only the function's own folder is watched", "error", err)
		return
	}
	if len(more) > 0 || v.changes.elsewhere.Load() != nil {
		v.changes.elsewhere.Store(&more)
	}
}

// renew looks at the program. If it finds a new version, that takes over once it can be started.
func (b *backend) renew(ctx context.Context) {
	c := &b.changes
	serving, next := c.serving.Load(), newVersion(b)
	serving.touch()
	err := next.identify(ctx)
	if err == nil && next.id() == serving.id() {
		b.confirm()
		return
	}
	taken := false
	if err == nil {
		b.log.Info("a new version of the function is being started", "version", next.id(), "before", serving.id())
		taken, err = b.pool.Replace(ctx, next.start)
	} else if ctx.Err() == nil {
		err = fault.FunctionInit.New("", fault.Cause(err))
		taken = b.pool.Supersede(next.start, err)
	}
	if ctx.Err() != nil && !taken { // there is a newer version, or the function ends
		return
	}
	b.renewed(next, taken, err)
}

// touch keeps in the cache what the version is started from.
func (v *version) touch() {
	if command := v.command.Load(); command != nil && v.program.NeedsBuild() {
		program.Touch(command.Path)
	}
	if source := v.source.Load(); source != nil && source.Kept != "" {
		program.Touch(source.Kept)
	}
}

// confirm records that the serving version is the newest one.
func (b *backend) confirm() {
	if b.changes.refused.Swap(nil) != nil {
		b.pool.Hold(false)
		b.log.Info("the version of the function that serves is the newest one again", "version", b.changes.serving.Load().id())
	}
}

// renewed records the outcome of a new version.
func (b *backend) renewed(next *version, taken bool, err error) {
	c := &b.changes
	before := c.serving.Load().id()
	b.life.Changed(err == nil)
	if taken {
		c.serving.Store(next)
		c.refused.Store(nil)
		b.pool.Hold(false)
	} else {
		c.refused.Store(&refusedVersion{next.id(), err})
		b.pool.Hold(true)
	}
	switch {
	case err == nil:
		b.log.Info("a new version of the function serves", "version", next.id(), "before", before)
	case taken:
		b.log.Error("no version of the function can be started, the newest one neither", "version", next.id(), "error", err)
	default:
		b.log.Error("a new version of the function cannot be started; the one before serves on",
			"version", next.id(), "serves", before, "error", err)
	}
}

// rootOf returns what the config's `run` names, as an absolute path.
func rootOf(dir, run string) string {
	if filepath.IsAbs(run) {
		return run
	}
	path, err := filepath.Abs(filepath.Join(dir, run))
	if err != nil { // the working folder is lost, and Find has reported it
		return fmt.Sprint(filepath.Join(dir, run))
	}
	return path
}

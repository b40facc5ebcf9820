package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// crew is the body of an instance with external extensions, as AWS calls them: programs in the function's folder
// extensions, each a process beside the runtime's. They are started first and must have registered before the runtime
// is started. They end after it. If one of them ends too early, the instance ends too.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
type crew struct {
	*process.Process // the runtime

	link       *runtimeLink
	extensions []*extension
	dismissed  atomic.Bool // they may end
	watching   sync.WaitGroup
}

// extension is one program of a crew.
type extension struct {
	*process.Process

	name string
}

// dismissTime is how long extensions have to end: AWS's two seconds.
const dismissTime = 2 * time.Second

// The failures of extensions, by AWS's names.
const (
	launchError = "Extension.LaunchError"
	crashError  = "Extension.Crash"
)

// launchCrew begins an instance with the extensions in files. They have registered, but the instance is not ready yet.
func (l *lambda) launchCrew(ctx context.Context, v *version, files []string) (*instance, error) {
	command, err := v.startable(ctx)
	if err != nil {
		return nil, err
	}
	link, err := l.listen(v.backend)
	if err != nil {
		return nil, err
	}
	link.crew = true
	i := newInstance(link, v.log)
	c := &crew{link: link}
	if err = c.launch(ctx, i, v, command, l.env, files); err != nil {
		if said := link.complaint(); said != nil {
			err = fmt.Errorf("%w (%w)", said, err)
		}
		err = fmt.Errorf("%w%s", err, i.lastWords())
		given, cancel := context.WithCancel(ctx)
		cancel()
		link.close(err)
		c.dismiss(given, runtimeapi.Failure)
		return nil, err
	}
	i.live(c, v.name+"#"+c.Serial)
	return i, nil
}

// launch starts all processes. If it fails, the caller must dismiss those that it has started.
func (c *crew) launch(ctx context.Context, i *instance, v *version, command program.Command, shared map[string]string, files []string) error {
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
	}
	c.link.api.Expect(names)
	patience := v.bounded.Load().init
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it was not ready after %v", patience))
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	c.link.api.OnBreak(func() { giveUp(errExtension) })
	for n, file := range files {
		if err := c.launchExtension(ctx, i, v, shared, file, names[n]); err != nil {
			c.link.api.Break(&function.Failure{Type: launchError, Message: err.Error()})
			return errExtension
		}
	}
	if err := c.link.api.AwaitRegistered(ctx); err != nil {
		return err //nolint:wrapcheck // it says what it waited for
	}
	var err error
	c.Process, err = v.startProcess(ctx, i, command, shared, c.extensions[0].Process)
	return err
}

var errExtension = errors.New("an extension has failed")

func (c *crew) launchExtension(ctx context.Context, i *instance, v *version, shared map[string]string, file, name string) error {
	spec := process.Spec{
		Path: file, Dir: v.workingFolder(), Memory: int64(v.allowed),
		Env: func(temp string) []string {
			return environment(temp, forExtensions(shared), nil, v.env, c.link.variables())
		},
		Line: func(l process.Line) { i.hearExtension(c.link, name, l) },
	}
	if len(c.extensions) > 0 {
		spec.Beside = c.extensions[0].Process
	}
	p, err := v.machine.host.Start(ctx, spec)
	if err != nil {
		return err //nolint:wrapcheck // it names the program
	}
	v.log.Debug("an extension was started", "extension", name, "instance", p.Serial, "pid", p.PID())
	one := &extension{p, name}
	c.extensions = append(c.extensions, one)
	c.watching.Go(func() { c.watch(one, v.log) })
	return nil
}

// watch ends the instance if an extension ends too early.
func (c *crew) watch(one *extension, log *slog.Logger) {
	<-one.Done()
	if !c.dismissed.Load() {
		log.Warn("an extension ended by itself, and its instance with it", "extension", one.name, "exit", one.Exit())
		c.link.api.Break(&function.Failure{Type: crashError, Message: one.name + ": " + one.Exit()})
	}
	c.link.api.Left(one.name)
}

// hearExtension passes on a line of an extension's output.
func (i *instance) hearExtension(link *runtimeLink, name string, l process.Line) {
	link.feed.ExtensionLine(l.Text)
	i.record(l, slog.String("extension", name))
}

// Exit says how the runtime has ended, or that it was ended because of an extension.
func (c *crew) Exit() string {
	exit := c.Process.Exit()
	if failed := c.link.broken(); failed != nil {
		return "it was ended for an extension that has failed: " + failed.Error()
	}
	return exit
}

func (c *crew) before(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-dismissTime))
}

func (c *crew) dismiss(ctx context.Context, why runtimeapi.Reason) {
	c.dismissed.Store(true)
	ctx, cancel := context.WithTimeout(ctx, dismissTime)
	defer cancel()
	c.link.api.Dismiss(ctx, why)
	for _, one := range c.extensions {
		one.Kill()
	}
	c.watching.Wait()
	c.link.api.Close(errExtension) // it was already told the reason
}

// forExtensions returns the variables of a function without those that AWS keeps from its extensions because they are
// for the runtime.
func forExtensions(shared map[string]string) map[string]string {
	own := maps.Clone(shared)
	for _, name := range []string{"_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"} {
		delete(own, name)
	}
	return own
}

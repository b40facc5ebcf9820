package local

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/process"
)

// link is how one instance is talked to; each contract has its own.
type link interface {
	// variables go to the instance's environment.
	variables() map[string]string
	// await returns when the instance takes requests, or with an error when ctx ends.
	await(ctx context.Context) error
	// complaint is what the instance itself said about a failed start, "" for nothing.
	complaint() string
	// close ends the link because the instance has ended with this fault.
	close(cause error)
}

// lease is the right to ask an instance once.
type lease = pool.Lease[*instance]

// instance is one running process of a function and the link to it.
type instance struct {
	name    string // "orders#3"
	link    link
	log     *slog.Logger
	process *process.Process
	output  process.Tail
	request atomic.Pointer[string] // the id of the request that was given to it last
	done    chan struct{}
	failure error // why it ended; to be read after done
}

// launch starts the process; it is not ready yet.
func launch(host *process.Host, spec process.Spec, link link, function string, log *slog.Logger) (*instance, error) {
	i := &instance{link: link, log: log, done: make(chan struct{})}
	spec.Line = i.line
	p, err := host.Start(spec)
	if err != nil {
		link.close(err)
		return nil, err //nolint:wrapcheck // it names the program
	}
	i.process, i.name = p, function+"#"+p.Serial
	go i.watch()
	return i, nil
}

// watch tells everybody when the process has ended.
func (i *instance) watch() {
	defer close(i.done)
	<-i.process.Done()
	i.failure = fault.FunctionCrashed.New("", fault.Internal("%s: %s%s", i.name, i.process.Exit(), i.lastWords()))
	i.link.close(i.failure)
}

// Done is closed when the process has ended.
func (i *instance) Done() <-chan struct{} { return i.done }

// Failure says how the process ended.
func (i *instance) Failure() error { return i.failure }

// Stop ends the process with all that it has started.
func (i *instance) Stop(ctx context.Context) {
	i.process.Stop(ctx)
	<-i.done
}

// ready waits until the instance takes requests. If it does not, it is killed
// and the error is a FunctionInit fault that tells all that is known.
func (i *instance) ready(ctx context.Context, patience time.Duration) error {
	waiting, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it was not ready after %v", patience))
	defer cancel()
	var err error
	awaited := make(chan struct{})
	go func() {
		defer close(awaited)
		err = i.link.await(waiting)
	}()
	select {
	case <-awaited:
	case <-i.done:
		cancel()
		<-awaited
		err = fmt.Errorf("it ended before it was ready: %s", i.process.Exit())
	}
	if err == nil {
		return nil
	}
	i.process.Kill()
	<-i.done
	if said := i.link.complaint(); said != "" {
		err = fmt.Errorf("%s (%w)", said, err)
	}
	return fault.FunctionInit.New("", fault.Internal("%s: %v%s", i.name, err, i.lastWords()))
}

// lastWords are the last lines of output as the end of a sentence about an end.
func (i *instance) lastWords() string {
	if text := i.output.String(); text != "" {
		return "; its last output:\n" + text
	}
	return "; it has put out nothing"
}

// line passes one line of output on to the log.
func (i *instance) line(l process.Line) {
	i.output.Add(l.Text)
	attrs := []slog.Attr{slog.String("instance", l.Process), slog.String("stream", l.Stream.String())}
	if id := i.request.Load(); id != nil {
		attrs = append(attrs, slog.String("request", *id))
	}
	if l.Cut > 0 {
		attrs = append(attrs, slog.Int("cut", l.Cut))
	}
	i.log.LogAttrs(context.Background(), slog.LevelInfo, string(l.Text), attrs...)
}

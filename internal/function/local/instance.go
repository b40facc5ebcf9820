package local

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// body is the living part of an instance: a process, or a sandbox within this program. It is safe for concurrent use.
type body interface {
	// Done is closed when nothing of it is left and its output was read.
	Done() <-chan struct{}
	// Exit says how it ended: "exit status 2". It waits for Done.
	Exit() string
	// Kill ends it at once; it does not wait.
	Kill()
	// Stop asks it to end, kills it when ctx ends, and returns once nothing is left.
	Stop(ctx context.Context)
}

// link is the way to talk to one instance. Each contract has its own.
type link interface {
	// variables are added to the instance's environment.
	variables() map[string]string
	// await returns when the instance takes requests, or with an error when ctx ends.
	await(ctx context.Context) error
	// places is how many requests the instance takes at once, 0 for as many as the config says. It is called once the
	// instance is ready.
	places() int
	// complaint is what the instance itself reported about a failed start, nil for nothing.
	complaint() *function.Failure
	// close ends the link because the instance has ended with the given fault.
	close(cause error)
}

// listener is a link that follows what its instance does.
type listener interface {
	// observe is called once the instance has a body.
	observe(i *instance)
	// hear receives a line of the instance's output. It must not keep it.
	hear(line []byte)
}

// lease is the right to give an instance one request.
type lease = pool.Lease[*instance]

// instance is one running copy of a function and the link to it.
type instance struct {
	name    string // "orders#3"
	link    link
	log     *slog.Logger
	body    body
	output  process.Tail
	rate    outputRate
	request atomic.Pointer[string]  // the id of the request that was given to it last
	tail    atomic.Pointer[logTail] // of the invocation that was given to it last; nil if it is not wanted
	since   time.Time
	start   time.Duration // how long it took to become ready; to be read once it is ready
	done    chan struct{}
	failure error // why it ended; to be read after done
	early   bool  // it ended by itself before it was ready; to be read after ready
}

// newInstance makes an instance that has no body yet, so that it can receive the body's output from the first moment.
func newInstance(link link, log *slog.Logger) *instance {
	return &instance{link: link, log: log, since: time.Now(), done: make(chan struct{})}
}

// live gives the instance its body and its name. The instance is not ready yet.
func (i *instance) live(body body, name string) {
	i.body, i.name = body, name
	if l, ok := i.link.(listener); ok {
		l.observe(i)
	}
	go i.watch()
}

// watch waits for the end of the body and announces it.
func (i *instance) watch() {
	defer close(i.done)
	<-i.body.Done()
	i.tellDropped(i.rate.rest())
	why := []fault.Option{fault.Internal("%s: %s%s", i.name, i.body.Exit(), i.lastWords())}
	if l, ok := i.link.(breakable); ok && l.broken() != nil {
		why = append(why, fault.Cause(l.broken()))
	}
	i.failure = fault.FunctionCrashed.New("", why...)
	i.link.close(i.failure)
}

// Done returns a channel that is closed when the body has ended.
func (i *instance) Done() <-chan struct{} { return i.done }

// ended reports whether the body has ended. This is known before everything is cleaned up.
func (i *instance) ended() bool {
	body, ok := i.body.(interface{ Ended() bool })
	return ok && body.Ended()
}

// Failure returns how the body ended.
func (i *instance) Failure() error { return i.failure }

// memory is the most that the instance has used so far, in bytes, 0 if unknown.
func (i *instance) memory() int64 {
	if body, ok := i.body.(interface{ Memory() int64 }); ok {
		return body.Memory()
	}
	return 0
}

// Places is how many requests the instance takes at once, 0 for as many as it is given.
func (i *instance) Places() int { return i.link.places() }

// farewell is a link that tells an instance that it is about to be asked to end.
type farewell interface{ ending(ctx context.Context) }

// breakable is a link that knows why something beside the body has made the instance useless; nil while nothing has.
type breakable interface{ broken() *function.Failure }

// company is a body with other programs beside it, which end after it.
type company interface {
	// dismiss asks them to end, waits until ctx ends at most, and returns once nothing of them is left.
	dismiss(ctx context.Context, why runtimeapi.Reason)
	// before returns the part of ctx that the body itself may use.
	before(ctx context.Context) (context.Context, context.CancelFunc)
}

// Stop ends the body with everything that it has started, and then the programs beside it.
func (i *instance) Stop(ctx context.Context, hangs bool) {
	why := i.reason(hangs)
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	beside, accompanied := i.body.(company)
	if accompanied {
		asked, cancel = beside.before(ctx)
		defer cancel()
	}
	if hangs {
		cancel()
	}
	if l, ok := i.link.(farewell); ok && why == runtimeapi.Spindown && asked.Err() == nil {
		l.ending(asked)
	}
	i.body.Stop(asked)
	<-i.done
	if accompanied {
		beside.dismiss(ctx, why)
	}
}

// reason returns why the instance is ended.
func (i *instance) reason(hangs bool) runtimeapi.Reason {
	select {
	case <-i.done:
		return runtimeapi.Failure
	default:
	}
	if hangs {
		return runtimeapi.Timeout
	}
	return runtimeapi.Spindown
}

// ready waits until the instance takes requests. If it does not, ready kills it and returns a FunctionInit fault with
// all that is known.
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
		i.early = true
		err = fmt.Errorf("it ended before it was ready: %s", i.body.Exit())
	}
	if err == nil {
		return nil
	}
	given, cancel := context.WithCancel(ctx)
	cancel()
	i.Stop(given, true)
	if said := i.link.complaint(); said != nil {
		err = fmt.Errorf("%w (%w)%s", said, err, hint(said))
	}
	return fault.FunctionInit.New("", fault.Cause(fmt.Errorf("%s: %w%s", i.name, err, i.lastWords())))
}

// ported is a link over a port that another program may take.
type ported interface{ taken() bool }

// lostPort reports whether the instance ended before it was ready because another program has its port. A port cannot
// be kept free until the instance listens.
func (i *instance) lostPort() bool {
	l, ok := i.link.(ported)
	return ok && i.early && (inUse(i.output.String()) || l.taken())
}

// inUse reports whether a program's output says that its address is taken, in the words of the system or of Node.js.
func inUse(output string) bool {
	output = strings.ToLower(output)
	return strings.Contains(output, "address already in use") || strings.Contains(output, "eaddrinuse") ||
		strings.Contains(output, "only one usage of each socket address") // Windows
}

// hint returns a guess at what was meant by a module without a handler.
func hint(said *function.Failure) string {
	if said.Type == "Runtime.HandlerNotFound" {
		return "; a server that listens on PORT is run by contract: http in the config"
	}
	return ""
}

// lastWords returns the last lines of output, as the end of a sentence about how the instance ended.
func (i *instance) lastWords() string {
	if text := i.output.String(); text != "" {
		return "; its last output:\n" + text
	}
	return "; it has put out nothing"
}

// line passes one line of output to the log.
func (i *instance) line(l process.Line) {
	if to, ok := i.link.(listener); ok {
		to.hear(l.Text)
	}
	i.record(l)
}

// record logs a line, with additional attributes.
func (i *instance) record(l process.Line, more ...slog.Attr) {
	i.output.Add(l.Text)
	i.tail.Load().add(l.Text)
	if !i.admits(l.Text) {
		return
	}
	attrs := []slog.Attr{slog.String("instance", l.Process), slog.String("stream", l.Stream.String())}
	if id := i.request.Load(); id != nil {
		attrs = append(attrs, slog.String("request", *id))
	}
	if l.Cut > 0 {
		attrs = append(attrs, slog.Int("cut", l.Cut))
	}
	i.log.LogAttrs(context.Background(), slog.LevelInfo, string(l.Text), append(attrs, more...)...)
}

// admits reports whether a line goes to the log, or exceeds the rate.
func (i *instance) admits(line []byte) bool {
	ok, dropped := i.rate.admit(len(line), time.Now())
	i.tellDropped(dropped)
	return ok
}

func (i *instance) tellDropped(lines int) {
	if lines > 0 {
		i.log.Warn("lines of output were dropped: the instance puts out more than the log takes", "name", i.name, "lines", lines)
	}
}

// say passes on a message that the function itself has written to the log.
func (i *instance) say(level slog.Level, serial string, text []byte) {
	i.output.Add(text)
	if !i.admits(text) {
		return
	}
	attrs := []slog.Attr{slog.String("instance", serial)}
	if id := i.request.Load(); id != nil {
		attrs = append(attrs, slog.String("request", *id))
	}
	i.log.LogAttrs(context.Background(), level, string(text), attrs...)
}

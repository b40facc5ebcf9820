package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/edits"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

// machine is what all functions of a Definition share.
type machine struct {
	host     *process.Host
	ports    ports
	building chan struct{} // holds a token while the go command runs: one build uses all cores
	edits    *edits.Watcher
}

func newMachine(guard []string) *machine {
	return &machine{
		host: process.NewHost(guard), ports: ports{given: map[string]bool{}}, building: make(chan struct{}, 1),
		edits: edits.New(edits.Options{What: "functions", Log: slog.Default(), Of: program.MayMatter}),
	}
}

// contract is one way to talk to functions.
type contract interface {
	// launch begins an instance, which is not ready yet. It may take as long as the build of the program, and gives up
	// when ctx ends.
	launch(ctx context.Context, v *version) (*instance, error)
	// roundTrip answers a request through b.ask.
	roundTrip(b *backend, r *http.Request) (*http.Response, error)
	// close frees what instances have shared. It is called when no instance is left.
	close()
}

// backend is one function. It implements function.Backend.
type backend struct {
	name     string
	log      *slog.Logger
	life     *telemetry.Function
	attempts *telemetry.Backend
	machine  *machine
	program  program.Program
	contract contract
	root     string // what the config's run names
	args     []string
	handler  string
	memory   doc.Size          // the amount that the function is told
	allowed  doc.Size          // that an instance may use, 0 for no bound
	env      map[string]string // as configured, secrets resolved
	pool     *pool.Pool[*instance]
	bounded  atomic.Pointer[times]

	recent atomic.Pointer[instance] // the instance that was started last, nil before the first

	changes changes
}

// heapShare is how much of its memory Node.js may use for its heap, in percent. The heap has no other limit, and
// buffers and code need memory besides it.
const heapShare = 75

// times are the time limits of single steps. They may change while the function runs.
type times struct{ invoke, init time.Duration }

// build makes the backend of a function. A Go program is built in the background, so that no other function waits for
// it. Requests wait in the queue meanwhile.
func (m *machine) build(env function.Env, name string, c *Config) (function.Backend, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	found, err := c.find(env.Dir, name)
	if err != nil {
		return nil, err
	}
	b := &backend{
		name: name, log: env.Log.With("function", name), life: env.Life, attempts: env.Attempts,
		machine: m, program: found, root: rootOf(env.Dir, c.Run), args: c.Args, handler: c.Handler, memory: c.told(), allowed: c.allowed(found.Contract),
		env: make(map[string]string, len(c.Env)), contract: newContract(m, env, name, c, found),
	}
	for variable, written := range c.Env {
		value, err := written.Read(env.Secret)
		if err == nil && strings.Contains(value.Reveal(), "\x00") {
			err = errNUL
		}
		if err != nil {
			return nil, fmt.Errorf("env.%s: %w", variable, err)
		}
		b.env[variable] = value.Reveal()
	}
	b.program.Search = b.env["PATH"]
	if b.allowed > 0 {
		b.program.Heap = int64(b.allowed/doc.MiB) * heapShare / 100
	}
	if err := m.host.Open(b.log); err != nil {
		return nil, fmt.Errorf("functions on this machine: %w", err)
	}
	b.bounded.Store(c.times(found))
	if handler, ok := b.contract.(*customHandler); ok {
		handler.announce(b.log)
	}
	first := newVersion(b)
	b.pool = pool.New(first.start, b.preparing, &meter{env.Life, b.memory}, c.bounds(found.Contract), b.log)
	b.follow(first, c.Watch)
	return b, nil
}

func newContract(m *machine, env function.Env, name string, c *Config, found program.Program) contract {
	switch found.Contract {
	case program.Lambda:
		return newLambda(env, name, c, found)
	case program.Wasm:
		return newSandboxed(name, int64(c.told()))
	case program.Azure:
		return newCustomHandler(m, c, found)
	default:
		return &web{handler: c.Handler, concurrency: c.bounds(found.Contract).Concurrency, ports: &m.ports, tells: []string{portVariable}}
	}
}

// RoundTrip answers r with one instance.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.answer(r, b.contract.roundTrip)
}

// answer answers r with ask, and closes its body on an error, as the contract of backends requires.
func (b *backend) answer(r *http.Request, ask func(*backend, *http.Request) (*http.Response, error)) (*http.Response, error) {
	res, err := b.counted(r, func() (*http.Response, error) { return ask(b, r) })
	if err != nil && r.Body != nil {
		_ = r.Body.Close() // the contract of backends; err is the error that matters
	}
	return res, err
}

// counted traces and counts what is done on behalf of r.
func (b *backend) counted(r *http.Request, do func() (*http.Response, error)) (*http.Response, error) {
	ended := b.trace(r)
	res, err := do()
	if err != nil {
		b.life.Refused(err)
	}
	ended(res, err)
	return res, err
}

// xRay is the header field in which AWS passes a function its trace.
const xRay = "X-Amzn-Trace-Id"

// trace begins the span of an invocation, including its wait for an instance, if the request belongs to a trace. The
// function receives the trace in both header fields that functions use.
func (b *backend) trace(r *http.Request) (ended func(*http.Response, error)) {
	x := exchange.Of(r)
	if x.Trace == nil {
		return func(*http.Response, error) {}
	}
	head := exchange.RequestHead(r)
	end := x.Trace.Call(exchange.Call{
		Method: r.Method, Backend: "fn:" + b.name, Head: head, XRay: func(value string) { head.Set(xRay, value) },
	})
	return func(res *http.Response, err error) {
		a := exchange.Attempt{Err: err}
		if n := len(x.Attempts); n > 0 {
			a.Endpoint = x.Attempts[n-1].Endpoint
		}
		if res != nil {
			a.Status = res.StatusCode
		}
		end(a)
	}
}

// unseenError says that the instance was gone before it saw the request, which may then go to another instance.
type unseenError struct {
	error

	sent bool // it may have been seen after all, and have ended the instance
}

func (e *unseenError) Unwrap() error { return e.error }

const (
	// mostTries is the most instances that a request is given to, if each of them ends before it sees the request.
	mostTries = 3
	// mostSent is the same bound for a request that was sent: one that ends its instance must not end them all.
	mostSent = 2
)

// ask acquires an instance for r and lets try use it. try must release it.
func (b *backend) ask(r *http.Request, try func(*lease) (*http.Response, error)) (*http.Response, error) {
	for n := 1; ; n++ {
		place, err := b.pool.Acquire(r.Context())
		if err != nil {
			b.attempts.Refused(err)
			return nil, err //nolint:wrapcheck // a fault or the client's own end
		}
		id := exchange.Of(r).RequestID() // a copy: the exchange ends before the instance does
		place.Instance().request.Store(&id)
		begin := time.Now()
		res, err := try(place)
		b.tried(r, place, begin, res, err, n > 1)
		var unseen *unseenError
		if !errors.As(err, &unseen) {
			return res, err
		}
		if n == mostTries || unseen.sent && n >= mostSent {
			return nil, unseen.error
		}
	}
}

// tried records the instance that was called.
func (b *backend) tried(r *http.Request, l *lease, begin time.Time, res *http.Response, err error, again bool) {
	attempt := exchange.Attempt{Endpoint: l.Instance().name, Err: err, Took: time.Since(begin)}
	if l.First() {
		attempt.Cold = l.Instance().start
	}
	if res != nil {
		attempt.Status = res.StatusCode
	}
	exchange.Of(r).Tried(attempt)
	b.attempts.Tried(attempt.Status, attempt.Err, attempt.Took, again)
}

func (b *backend) timeout() time.Duration { return b.bounded.Load().invoke }

func timedOut(l *lease, after time.Duration) error {
	return fault.FunctionTimeout.New("", fault.Internal("%s did not answer within %v and is killed", l.Instance().name, after))
}

// Tune applies scale, queue and times of another config.
func (b *backend) Tune(cfg any) {
	c, ok := cfg.(*Config)
	if !ok {
		return // the compiler only tunes what Same has compared
	}
	b.bounded.Store(c.times(b.program))
	b.pool.Tune(c.bounds(b.program.Contract))
	b.look(c.Watch)
}

// Status reports how the function is doing.
func (b *backend) Status() function.Status {
	now := b.pool.Status()
	s := function.Status{
		Instances: now.Instances, Busy: now.Busy, Starting: now.Starting, Draining: now.Draining,
		Wanted: now.Wanted, Queued: now.Queued,
		Note: fmt.Sprintf("contract %s, for %s", b.program.Contract, b.program.Reason),
	}
	if names := b.extensions(); len(names) > 0 {
		s.Note += ", with the extensions " + strings.Join(names, ", ")
	}
	if now.Problem != nil {
		s.Problem = now.Problem.Error()
	}
	if i := b.recent.Load(); i != nil {
		s.Memory = i.memory()
	}
	s.Version, s.Newer = b.changes.tell()
	return s
}

// extensions returns the names of the programs that run beside an instance.
func (b *backend) extensions() (names []string) {
	if b.program.Contract == program.Lambda {
		for _, file := range program.Extensions(b.program.Folder) {
			names = append(names, filepath.Base(file))
		}
	}
	return names
}

// Close ends the function.
func (b *backend) Close(ctx context.Context) error {
	b.pool.Close(ctx)
	b.unfollow()
	b.contract.close()
	b.machine.host.Close()
	return nil
}

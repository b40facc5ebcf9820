package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

// sandboxed is the contract of WebAssembly modules: each instance is a sandbox
// within this program.
type sandboxed struct {
	name    string
	memory  int64
	serial  atomic.Uint64 // of instances
	compile func(context.Context, wasm.Config) (*wasm.Program, error)

	mu      sync.Mutex
	modules map[*version]*module
	latest  *version // the version that was requested last
}

func newSandboxed(name string, memory int64) *sandboxed {
	return &sandboxed{name: name, memory: memory, compile: wasm.Compile, modules: map[*version]*module{}}
}

// module is the compiled code of one version. It is compiled once for all its users, and given up when none of them is
// left.
type module struct {
	giveUp  context.CancelFunc
	done    chan struct{} // closed when program or err is set
	program *wasm.Program
	err     error

	users int // its sandboxes, and the calls that wait for it; guarded by the contract's lock
}

// compiling reports whether the compilation has not finished yet.
func (m *module) compiling() bool {
	select {
	case <-m.done:
		return false
	default:
		return true
	}
}

// compiling reports whether the module of v is being compiled.
func (s *sandboxed) compiling(v *version) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.modules[v]
	return m != nil && m.compiling()
}

// launch compiles the module, unless that has been done, and begins a sandbox.
func (s *sandboxed) launch(ctx context.Context, v *version) (*instance, error) {
	compiled, err := s.take(ctx, v)
	if err != nil {
		return nil, err
	}
	serial := strconv.FormatUint(s.serial.Add(1), 10)
	made := &sandboxLink{ended: func() { s.leave(v, compiled) }}
	i := newInstance(made, v.log)
	made.sandbox = compiled.program.New(wasm.Output{
		Line: func(stderr bool, text []byte, cut int) {
			stream := process.Stdout
			if stderr {
				stream = process.Stderr
			}
			i.line(process.Line{Process: serial, Stream: stream, Text: text, Cut: cut})
		},
		Log: func(level int, text []byte) { i.say(slog.Level(level), serial, text) },
	})
	i.live(made.sandbox, v.name+"#"+serial)
	return i, nil
}

// take returns the compiled module of v for one more sandbox.
func (s *sandboxed) take(ctx context.Context, v *version) (*module, error) {
	command, err := v.startable(ctx)
	if err != nil {
		return nil, err
	}
	found, err := s.compiled(ctx, v, v.path(command.Path))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = v
	s.tidy()
	return found, nil
}

// prepare compiles the module of v before a sandbox is asked for.
func (s *sandboxed) prepare(ctx context.Context, v *version, file string) error {
	found, err := s.compiled(ctx, v, file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found.users-- // it is kept nevertheless: a sandbox of it comes next
	return nil
}

// compiled returns the compiled module of v and counts the caller among its users.
func (s *sandboxed) compiled(ctx context.Context, v *version, file string) (*module, error) {
	m := s.use(v, file)
	select {
	case <-m.done:
	case <-ctx.Done():
		s.leave(v, m)
		return nil, context.Cause(ctx)
	}
	if m.err != nil {
		s.leave(v, m)
		return nil, m.err
	}
	return m, nil
}

// use adds a user of the module of v. The first user starts its compilation.
func (s *sandboxed) use(v *version, file string) *module {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.modules[v]
	if m == nil {
		ctx, giveUp := context.WithCancel(context.Background()) // not one of its users' contexts
		m = &module{giveUp: giveUp, done: make(chan struct{})}
		s.modules[v] = m
		go func() {
			defer giveUp()
			m.program, m.err = s.compileOf(ctx, v, file)
			s.compiledOne(v, m)
		}()
	}
	m.users++
	return m
}

// compiledOne records that the module of v is compiled, or cannot be.
func (s *sandboxed) compiledOne(v *version, m *module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(m.done)
	switch {
	case s.modules[v] != m: // it was given up
		m.free()
	case m.err != nil: // the next user tries again
		delete(s.modules, v)
	}
}

func (s *sandboxed) compileOf(ctx context.Context, v *version, file string) (*wasm.Program, error) {
	c := wasm.Config{Name: s.name, Path: file, Args: v.args, Env: v.env, Memory: s.memory}
	if cache, err := program.Cache(); err == nil { // without one it is compiled again at each start of the gateway
		if c.Cache, err = program.Compiled(cache, file); err != nil {
			return nil, err //nolint:wrapcheck // it says what it was for
		}
	}
	return s.compile(ctx, c)
}

// free frees the compiled code.
func (m *module) free() {
	if m.program != nil {
		m.program.Close()
	}
}

// leave removes a user of a module of v.
func (s *sandboxed) leave(v *version, m *module) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.users--
	if m.users == 0 && m.compiling() { // no user waits for it any more
		m.giveUp()
		delete(s.modules, v)
	}
	s.tidy()
}

// tidy frees the compiled code of versions that have been replaced and are no longer used.
func (s *sandboxed) tidy() {
	for v, m := range s.modules {
		if v != s.latest && m.users == 0 {
			m.free()
			delete(s.modules, v)
		}
	}
}

func (s *sandboxed) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = nil
	s.tidy()
}

// sandboxLink is a link to a sandbox, which is called directly.
type sandboxLink struct {
	sandbox *wasm.Sandbox
	ended   func()
}

func (*sandboxLink) variables() map[string]string { return nil }

func (l *sandboxLink) await(ctx context.Context) error { return l.sandbox.Await(ctx) } //nolint:wrapcheck // it says what it is

func (*sandboxLink) places() int { return 1 }

func (*sandboxLink) complaint() *function.Failure { return nil }

func (l *sandboxLink) close(error) { l.ended() }

// roundTrip reads the whole request before it asks for an instance, so that a slow client does not occupy one.
func (s *sandboxed) roundTrip(b *backend, r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return b.ask(r, func(place *lease) (*http.Response, error) { return s.call(b, r, place, body) })
}

func (s *sandboxed) call(b *backend, r *http.Request, place *lease, body []byte) (*http.Response, error) {
	i, timeout := place.Instance(), b.timeout()
	sandbox := i.link.(*sandboxLink).sandbox //nolint:forcetypeassert // this contract makes no other links
	res, err := sandbox.Call(r, body, timeout)
	if err == nil {
		place.Release(pool.Served)
		return res, nil
	}
	var invalid *wasm.InvalidError
	var crashed *wasm.CrashError
	switch {
	case errors.Is(err, wasm.ErrLate):
		place.Release(pool.Poisoned)
		return nil, timedOut(place, timeout)
	case errors.Is(err, wasm.ErrEnded):
		<-i.Done()
		place.Release(pool.Poisoned)
		return nil, i.Failure()
	case errors.As(err, &crashed):
		place.Release(pool.Served)
		why := fmt.Sprintf("%s: %s%s", i.name, crashed.Why, i.lastWords())
		b.log.Warn("a run of the function ended by itself", "error", why, "request", exchange.Of(r).RequestID())
		return nil, fault.FunctionCrashed.New("", fault.Internal("%s", why))
	case errors.As(err, &invalid):
		place.Release(pool.Served)
		return nil, fault.FunctionBadResponse.New("", fault.Cause(err))
	}
	place.Release(pool.Served)
	return nil, err //nolint:wrapcheck // the client's own end
}

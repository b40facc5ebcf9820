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
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
	"github.com/weir-gateway/weir/internal/function/local/process"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

// sandboxed is the contract of WebAssembly modules: each instance is a sandbox
// within this program.
type sandboxed struct {
	name   string
	memory int64
	serial atomic.Uint64 // of instances

	mu      sync.Mutex // held while a module is compiled
	modules map[*version]*module
	latest  *version // that was asked for
}

// module is what was compiled of one version.
type module struct {
	program   *wasm.Program
	sandboxes int
}

// launch compiles the module, if that has not been done, and begins a sandbox.
func (s *sandboxed) launch(ctx context.Context, v *version) (*instance, error) {
	compiled, err := s.take(ctx, v)
	if err != nil {
		return nil, err
	}
	serial := strconv.FormatUint(s.serial.Add(1), 10)
	made := &sandboxLink{ended: func() { s.leave(v) }}
	i := newInstance(made, v.log)
	made.sandbox = compiled.New(wasm.Output{
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

// take gives the compiled module of v for one more sandbox.
func (s *sandboxed) take(ctx context.Context, v *version) (*wasm.Program, error) {
	command, err := v.startable(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.compiled(ctx, v, v.path(command.Path))
	if err != nil {
		return nil, err
	}
	found.sandboxes++
	s.latest = v
	s.tidy()
	return found.program, nil
}

// prepare compiles the module of v before a sandbox is asked for.
func (s *sandboxed) prepare(ctx context.Context, v *version, file string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.compiled(ctx, v, file)
	return err
}

// compiled gives the module of v, compiled. That does not end with ctx: others wait
// for it, too.
func (s *sandboxed) compiled(ctx context.Context, v *version, file string) (*module, error) {
	if found := s.modules[v]; found != nil {
		return found, nil
	}
	c := wasm.Config{Name: s.name, Path: file, Args: v.args, Env: v.env, Memory: s.memory}
	if cache, err := program.Cache(); err == nil { // without one it is compiled again at each start of the gateway
		if c.Cache, err = program.Compiled(cache, file); err != nil {
			return nil, err //nolint:wrapcheck // it says what it was for
		}
	}
	compiled, err := wasm.Compile(context.WithoutCancel(ctx), c)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the module
	}
	made := &module{program: compiled}
	s.modules[v] = made
	return made, nil
}

// leave tells that a sandbox of v has ended.
func (s *sandboxed) leave(v *version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.modules[v]; m != nil {
		m.sandboxes--
	}
	s.tidy()
}

// tidy frees what was compiled of versions that have been replaced and have no
// sandbox any more.
func (s *sandboxed) tidy() {
	for v, m := range s.modules {
		if v != s.latest && m.sandboxes == 0 {
			m.program.Close()
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

// sandboxLink is a link to a sandbox, which is called as it is.
type sandboxLink struct {
	sandbox *wasm.Sandbox
	ended   func()
}

func (*sandboxLink) variables() map[string]string { return nil }

func (l *sandboxLink) await(ctx context.Context) error { return l.sandbox.Await(ctx) } //nolint:wrapcheck // it says what it is

func (*sandboxLink) places() int { return 1 }

func (*sandboxLink) complaint() *function.Failure { return nil }

func (l *sandboxLink) close(error) { l.ended() }

// roundTrip reads the whole request before it asks for an instance, so that a
// slow client holds none.
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
		b.log.Warn("a run of the function ended by itself", "error", why, "request", exchange.Of(r).ID)
		return nil, fault.FunctionCrashed.New("", fault.Internal("%s", why))
	case errors.As(err, &invalid):
		place.Release(pool.Served)
		return nil, fault.FunctionBadResponse.New("", fault.Cause(err))
	}
	place.Release(pool.Served)
	return nil, err //nolint:wrapcheck // the client's own end
}

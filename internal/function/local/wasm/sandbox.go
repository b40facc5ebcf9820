package wasm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// Sandbox is one instance of a program. It answers one request at a time; all
// else is safe for concurrent use. One goroutine owns it from Start to its end.
type Sandbox struct {
	program *Program
	out     Output
	ctx     context.Context //nolint:containedctx // the life of the guest
	kill    context.CancelFunc
	calls   chan *call
	stop    chan struct{}
	stopped sync.Once
	started chan error
	timer   *time.Timer  // of the call under way
	memory  atomic.Int64 // the guest's, after its last call

	done chan struct{}
	exit string // why it ended; to be read after done
}

// Output takes what a guest puts out beside its responses. Line is called for each
// line of stdout (of a handler) and stderr, Log for what it logs by the ABI, at a
// level of log/slog. Neither may keep text. They are called from one goroutine.
type Output struct {
	Line func(stderr bool, text []byte, cut int)
	Log  func(level int, text []byte)
}

// The ends of a call.
var (
	// ErrLate is of one that took longer than it may. Its sandbox is being killed.
	ErrLate = errors.New("the sandbox did not answer in time")
	// ErrEnded is of one whose sandbox has ended; Exit says why.
	ErrEnded = errors.New("the sandbox has ended")
)

// InvalidError is an answer that does not fit the form of the module.
type InvalidError struct{ Why error }

func (e *InvalidError) Error() string { return e.Why.Error() }

func (e *InvalidError) Unwrap() error { return e.Why }

// New makes a sandbox and the goroutine that owns it, which begins to start it.
func (p *Program) New(out Output) *Sandbox {
	s := &Sandbox{
		program: p, out: out, calls: make(chan *call), stop: make(chan struct{}),
		started: make(chan error, 1), done: make(chan struct{}), timer: time.NewTimer(time.Hour),
	}
	s.timer.Stop()
	s.ctx, s.kill = context.WithCancel(context.Background())
	go s.own()
	return s
}

// Await returns when the sandbox takes requests, or with why it never will.
func (s *Sandbox) Await(ctx context.Context) error {
	select {
	case err := <-s.started:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the caller's own
	}
}

// Memory is how much a handler's memory had grown to after its last call, in bytes.
func (s *Sandbox) Memory() int64 { return s.memory.Load() }

// Done is closed when nothing of the sandbox is left.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// Exit says how it ended. It waits for Done.
func (s *Sandbox) Exit() string {
	<-s.done
	return s.exit
}

// Kill ends it, in the middle of a call, too; it does not wait.
func (s *Sandbox) Kill() {
	s.kill()
	s.stopped.Do(func() { close(s.stop) })
}

// Stop ends it after the call under way, or kills it when ctx ends, and returns
// once nothing is left.
func (s *Sandbox) Stop(ctx context.Context) {
	s.stopped.Do(func() { close(s.stop) })
	select {
	case <-s.done:
	case <-ctx.Done():
		s.kill()
		<-s.done
	}
}

// own is the life of the sandbox.
func (s *Sandbox) own() {
	defer close(s.done)
	defer s.kill()
	var guest *handler
	if s.program.Form == Handler {
		var err error
		if guest, err = s.instantiate(); err != nil {
			s.exit = explain(err)
			s.started <- errors.New(s.exit)
			return
		}
		defer guest.close()
	}
	s.started <- nil
	for {
		select {
		case <-s.stop:
			s.exit = "it was stopped"
			return
		case c := <-s.calls:
			var err error
			if guest != nil {
				err = guest.serve(c)
			} else {
				s.run(c)
			}
			if err != nil {
				s.exit = explain(err)
			}
			close(c.done)
			if err != nil {
				return
			}
		}
	}
}

// call is one request on its way through a guest.
type call struct {
	mu        sync.Mutex // held while r and res are looked at
	abandoned bool       // r and res belong to somebody else again
	r         *http.Request
	body      []byte // what of the request's body has not been read yet
	replaced  bool   // the guest has written another
	res       *http.Response
	out       []byte // the response's body
	err       error  // where there is no response
	ctx       context.Context
	cancel    context.CancelFunc // ends this call of a command; nil for a handler
	done      chan struct{}
}

// Call gives r, whose whole body is body, to the guest and waits for the answer: at
// most for timeout, and where the form is Command until r's context ends. Errors
// are ErrLate, ErrEnded, *CrashError (of a command, whose sandbox goes on),
// *InvalidError or the context's.
func (s *Sandbox) Call(r *http.Request, body []byte, timeout time.Duration) (*http.Response, error) {
	c := &call{r: r, body: body, done: make(chan struct{})}
	var left <-chan struct{} // nobody waits any more; a handler goes on all the same
	if s.program.Form == Command {
		c.ctx, c.cancel = context.WithCancel(s.ctx)
		defer c.cancel()
		left = r.Context().Done()
	}
	s.timer.Reset(timeout)
	defer s.timer.Stop()
	select {
	case s.calls <- c:
	case <-s.done:
		return nil, ErrEnded
	}
	select {
	case <-c.done:
		return c.answer()
	case <-left:
		c.cancel()
		c.abandon()
		return nil, context.Cause(r.Context()) //nolint:wrapcheck // the client's own end
	case <-s.timer.C:
		c.abandon()
		s.Kill()
		return nil, ErrLate
	}
}

// abandon takes r away from the guest, which may go on for a moment.
func (c *call) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
}

// errAbandoned ends a guest whose request is over.
var errAbandoned = errors.New("the request is over")

// traceLines bounds what is told of a trap: the error, and the innermost frames.
const traceLines = 24

// explain says in words for operators why a guest has ended.
func explain(err error) string {
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		switch code := exit.ExitCode(); code {
		case sys.ExitCodeContextCanceled, sys.ExitCodeDeadlineExceeded:
			return "it was killed"
		default:
			return fmt.Sprintf("exit status %d", code)
		}
	}
	all := strings.Split(strings.TrimSpace(err.Error()), "\n")
	if len(all) > traceLines {
		all = append(all[:traceLines], fmt.Sprintf("... and %d more lines", len(all)-traceLines))
	}
	return strings.Join(all, "\n")
}

// start makes an instance of the module and runs the functions of that name that it
// exports. The instance is nil where it has ended by that.
func (s *Sandbox) start(ctx context.Context, settings wazero.ModuleConfig, first ...string) (api.Module, error) {
	module, err := s.program.runtime.InstantiateModule(ctx, s.program.compiled, settings.WithNanosleep(func(ns int64) { sleep(ctx, ns) }))
	if err != nil {
		return nil, err //nolint:wrapcheck // it is explained
	}
	for _, name := range first {
		f := module.ExportedFunction(name)
		if f == nil {
			continue
		}
		if _, err := f.Call(ctx); err != nil {
			_ = module.Close(context.Background()) // it frees memory, and err is what matters
			return nil, err                        //nolint:wrapcheck // it is explained
		}
		break
	}
	return module, nil
}

// sleep is the guest's, which ends when it is killed.
func sleep(ctx context.Context, nanoseconds int64) {
	timer := time.NewTimer(time.Duration(nanoseconds))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

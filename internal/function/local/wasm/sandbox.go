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

// Sandbox is one instance of a program. It answers one request at a time; everything else is safe for concurrent use.
// One goroutine owns it from start to end.
type Sandbox struct {
	program *Program
	out     Output
	ctx     context.Context //nolint:containedctx // the life of the guest
	kill    context.CancelFunc
	calls   chan *call
	stop    chan struct{}
	stopped sync.Once
	started chan error
	timer   *time.Timer  // of the call in progress
	memory  atomic.Int64 // the guest's, after its last call

	done chan struct{}
	exit string // why it ended; to be read after done
}

// Output receives a guest's output other than its responses. Line is called for each line of stdout (of a handler) and
// stderr. Log is called for each message that the guest logs through the ABI, with a level of log/slog. Neither may
// keep text. They are called from one goroutine.
type Output struct {
	Line func(stderr bool, text []byte, cut int)
	Log  func(level int, text []byte)
}

// The errors of a call.
var (
	// ErrLate means that the call took longer than its timeout. Its sandbox is being killed.
	ErrLate = errors.New("the sandbox did not answer in time")
	// ErrEnded means that the call's sandbox has ended. Exit says why.
	ErrEnded = errors.New("the sandbox has ended")
)

// InvalidError is an answer that does not fit the module's form.
type InvalidError struct{ Why error }

func (e *InvalidError) Error() string { return e.Why.Error() }

func (e *InvalidError) Unwrap() error { return e.Why }

// New makes a sandbox and the goroutine that owns it, which then starts it.
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

// Await returns when the sandbox takes requests, or with the reason why it never will.
func (s *Sandbox) Await(ctx context.Context) error {
	select {
	case err := <-s.started:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the caller's own
	}
}

// Memory is the size of a handler's memory after its last call, in bytes.
func (s *Sandbox) Memory() int64 { return s.memory.Load() }

// Done is closed when nothing of the sandbox is left.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// Exit says how the sandbox ended. It waits for Done.
func (s *Sandbox) Exit() string {
	<-s.done
	return s.exit
}

// Kill ends the sandbox, even in the middle of a call. It does not wait.
func (s *Sandbox) Kill() {
	s.kill()
	s.stopped.Do(func() { close(s.stop) })
}

// Stop ends the sandbox after the call in progress, or kills it when ctx ends. It returns once nothing is left.
func (s *Sandbox) Stop(ctx context.Context) {
	s.stopped.Do(func() { close(s.stop) })
	select {
	case <-s.done:
	case <-ctx.Done():
		s.kill()
		<-s.done
	}
}

// own is the life of the sandbox, from its start to its end.
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
	mu        sync.Mutex // held while r and res are used
	abandoned bool       // r and res belong to another goroutine again
	r         *http.Request
	body      []byte // the unread rest of the request's body
	replaced  bool   // the guest has written another body
	res       *http.Response
	out       []byte // the response's body
	err       error  // set if there is no response
	ctx       context.Context
	cancel    context.CancelFunc // ends this call of a command; nil for a handler
	done      chan struct{}
}

// Call gives r, whose whole body is body, to the guest and waits for the answer: at most for timeout, and if the form
// is Command, until r's context ends. Errors are ErrLate, ErrEnded, *CrashError (of a command, whose sandbox goes on),
// *InvalidError or the context's.
func (s *Sandbox) Call(r *http.Request, body []byte, timeout time.Duration) (*http.Response, error) {
	c := &call{r: r, body: body, done: make(chan struct{})}
	var left <-chan struct{} // the client no longer waits; a handler goes on nevertheless
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

// traceLines bounds how much of a trap is reported: the error, and the innermost frames.
const traceLines = 24

// explain says why a guest has ended, in words for operators.
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

// start makes an instance of the module and runs the functions in first that it exports. The instance is nil if this
// has ended it.
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

// sleep is the guest's sleep. It ends when the guest is killed.
func sleep(ctx context.Context, nanoseconds int64) {
	timer := time.NewTimer(time.Duration(nanoseconds))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

package local

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/wasm"
)

// slowly makes a contract that compiles nothing until the returned function is called,
// but counts what it was asked for and what was given up.
type slowly struct {
	*sandboxed

	mu             sync.Mutex
	begun, givenUp int
	proceed        chan struct{}
}

func newSlowly(t *testing.T) *slowly {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	s := &slowly{sandboxed: newSandboxed("tea", 0), proceed: make(chan struct{})}
	s.compile = func(ctx context.Context, _ wasm.Config) (*wasm.Program, error) {
		s.count(&s.begun)
		select {
		case <-s.proceed:
			return nil, errors.New("no tea")
		case <-ctx.Done():
			s.count(&s.givenUp)
			return nil, context.Cause(ctx)
		}
	}
	return s
}

func (s *slowly) count(what *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*what++
}

func (s *slowly) counted() (begun, givenUp int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun, s.givenUp
}

// moduleVersion is a version of a file that may be anything: it is not compiled.
func moduleVersion(t *testing.T) *version {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tea.wasm")
	must(t, os.WriteFile(file, []byte("tea"), 0o600))
	return newVersion(&backend{log: slog.New(slog.DiscardHandler), program: program.Program{File: file, Contract: program.Wasm}})
}

func TestAModuleIsCompiledOnceForAllAndGivenUpWithTheLast(t *testing.T) {
	s, v := newSlowly(t), moduleVersion(t)
	first, leaveFirst := context.WithCancel(t.Context())
	second, leaveSecond := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, ctx := range []context.Context{first, second} {
		go func() { ended <- s.prepare(ctx, v, v.program.File) }()
	}
	users := func() int {
		s.sandboxed.mu.Lock()
		defer s.sandboxed.mu.Unlock()
		if m := s.modules[v]; m != nil {
			return m.users
		}
		return 0
	}
	await.That(t, "both wait", func() bool { begun, _ := s.counted(); return users() == 2 && begun == 1 })
	v.contract = s.sandboxed
	v.changes.serving.Store(v)
	if told := v.preparing(); told != "its module is being compiled" {
		t.Errorf("who waits for it is told %q", told)
	}
	leaveFirst()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one got %v", err)
	}
	if begun, givenUp := s.counted(); begun != 1 || givenUp != 0 {
		t.Errorf("it was begun %d times and given up %d times, and the second one still waits", begun, givenUp)
	}
	leaveSecond()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the second one got %v", err)
	}
	s.close() // which does not wait either
	await.That(t, "it is given up", func() bool { _, givenUp := s.counted(); return givenUp == 1 })
}

func TestAModuleThatIsCompiledHoldsUpNoOther(t *testing.T) {
	s, newer, serving := newSlowly(t), moduleVersion(t), moduleVersion(t)
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.prepare(ctx, newer, newer.program.File) }()
	await.That(t, "the newer one is compiled", func() bool { begun, _ := s.counted(); return begun == 1 })
	m := s.use(serving, serving.program.File) // a sandbox of the one that serves begins, and crashes
	s.leave(serving, m)
	leave()
	<-ended
	await.That(t, "both are given up", func() bool { _, givenUp := s.counted(); return givenUp == 2 })
}

func TestAFailedCompileIsTriedAgain(t *testing.T) {
	s, v := newSlowly(t), moduleVersion(t)
	close(s.proceed)
	for n := 1; n <= 2; n++ {
		err := s.prepare(t.Context(), v, v.program.File)
		if begun, _ := s.counted(); err == nil || err.Error() != "no tea" || begun != n {
			t.Errorf("try %d: %v after %d compiles", n, err, begun)
		}
	}
}

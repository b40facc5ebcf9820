package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// silent is content that delivers nothing until letGo, whether or not it is closed.
type silent struct{ asked, letGo chan struct{} }

func newSilent(tb testing.TB) *silent {
	tb.Helper()
	s := &silent{asked: make(chan struct{}, 1), letGo: make(chan struct{})}
	tb.Cleanup(func() { close(s.letGo) })
	return s
}

func (s *silent) Read([]byte) (int, error) {
	s.asked <- struct{}{}
	<-s.letGo
	return 0, io.EOF
}

func (*silent) Close() error { return nil }

// awaited returns the context that net/http gets for a request with content, while a Read of that content waits.
func awaited(t *testing.T, ctx context.Context) (context.Context, *attempt) {
	t.Helper()
	s := newSilent(t)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:1/", s)
	if err != nil {
		t.Fatal(err)
	}
	a := &attempt{multi: true}
	a.content = &content{ReadCloser: s, attempt: a}
	out := a.request(req)
	go func() { _, _ = a.content.Read(make([]byte, 1)) }()
	await.From(t, "a Read", s.asked)
	return out.Context(), a
}

// net/http closes the content of a failed stream whether or not the goroutine that began the stream has already
// looked at its result. On a busy machine that goroutine may be late. It then picks at random between what has
// happened, the stream's error and the end of the context. After that it waits for the end of the Read or of the
// context.
func TestWhyAStreamHasFailedIsToldHoweverLateItIsLookedAt(t *testing.T) {
	ctx, a := awaited(t, t.Context())
	failed := make(chan struct{})
	close(failed)
	_ = a.content.Close()
	for range 1000 {
		select {
		case <-failed:
		case <-ctx.Done():
			t.Fatalf("the attempt has ended before anybody saw that its stream had failed: %v", ctx.Err())
		}
		runtime.Gosched()
	}
	await.From(t, "the end of the wait for the Read", ctx.Done())
	a.cancel(nil)
	await.From(t, "the end of the attempt", ctx.Done())
}

func TestAnAttemptEndsWithItsCaller(t *testing.T) {
	gone := errors.New("the client has gone")
	caller, leave := context.WithCancelCause(t.Context())
	ctx, a := awaited(t, caller)
	defer a.cancel(nil)
	below, stop := context.WithCancel(ctx)
	defer stop()
	leave(gone)
	await.From(t, "the end of the attempt", ctx.Done())
	await.From(t, "the end of a context below", below.Done())
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), gone) || !errors.Is(context.Cause(below), gone) {
		t.Errorf("%v, %v, %v", ctx.Err(), context.Cause(ctx), context.Cause(below))
	}
	_ = a.content.Close() // as net/http does; nothing waits for the Read
}

func TestAnAttemptOfACallerWhoHasGoneHasEnded(t *testing.T) {
	caller, leave := context.WithCancel(t.Context())
	leave()
	ctx, a := awaited(t, caller)
	defer a.cancel(nil)
	select {
	case <-ctx.Done():
	default:
		t.Error("it goes on")
	}
}

// The context below belongs to net/http itself, and no stream waits on it.
func TestWhoWaitsForAReadIsWokenAlone(t *testing.T) {
	ctx, a := awaited(t, t.Context())
	below, stop := context.WithCancel(ctx)
	defer stop()
	_ = a.content.Close()
	await.From(t, "the end of the wait for the Read", ctx.Done())
	if below.Err() != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", below.Err(), ctx.Err())
	}
	a.cancel(nil)
	await.From(t, "the end of a context below", below.Done())
}

func TestWhoWaitsAlreadyIsToldOfTheEnd(t *testing.T) {
	ctx, a := awaited(t, t.Context())
	end := ctx.Done()
	a.cancel(nil)
	await.From(t, "the end of the attempt", end)
}

func TestNobodyIsWokenAnyMoreWhenTheAttemptHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	c, end := courseOf(ctx, cancel)
	given := make(chan struct{})
	go func() {
		c.wakeUntil(func() bool { return false })
		close(given)
	}()
	end(nil)
	await.From(t, "that it is given up", given)
}

func TestNobodyNeedsToBeWokenWhereThereIsAResponse(t *testing.T) {
	_, a := awaited(t, t.Context())
	defer a.cancel(nil)
	if a.content.needless() {
		t.Error("nobody is woken who waits for the Read")
	}
	a.answered.Store(true)
	if !a.content.needless() {
		t.Error("it is tried until the Read has ended")
	}
}

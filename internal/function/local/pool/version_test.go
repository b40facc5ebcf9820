package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/pool"
)

func TestANewVersionTakesOverOnceItIsReady(t *testing.T) {
	b := bounds()
	b.Queue = 10
	before, after := &factory{}, &factory{delay: time.Second}
	run(t, b, before, func(in bubble) {
		t, p := in.t, in.pool
		running, other := acquire(t, p), acquire(t, p)
		waiting := ask(t.Context(), p)
		replaced := make(chan error, 1)
		go func() {
			_, err := p.Replace(t.Context(), after.start)
			replaced <- err
		}()
		synctest.Wait()
		old := other.Instance()
		other.Release(pool.Served)
		got := <-waiting
		if got.err != nil || got.lease.Instance() != old {
			t.Errorf("before the new version was ready %v served", got)
		}
		got.lease.Release(pool.Served)
		<-time.After(3 * time.Second)
		if err := <-replaced; err != nil {
			t.Fatal(err)
		}
		if after.started() != 2 {
			t.Errorf("%d of the new version were started, want as many as were busy at once, 2", after.started())
		}
		wantStatus(t, p, 3, 0, 0) // the last one of the old version answers still
		running.Release(pool.Served)
		wantStatus(t, p, 2, 0, 0)
		lease := acquire(t, p)
		if lease.Instance() != after.all[0] && lease.Instance() != after.all[1] {
			t.Error("an instance of the old version serves")
		}
		lease.Release(pool.Served)
	})
}

func TestThoseWhoWaitGetTheNewVersion(t *testing.T) {
	b := bounds()
	b.Max = 1
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		held := acquire(t, p)
		waiting := ask(t.Context(), p)
		after := &factory{}
		if taken, err := p.Replace(t.Context(), after.start); !taken || err != nil {
			t.Fatal(taken, err)
		}
		got := <-waiting
		if got.err != nil || got.lease.Instance() != after.all[0] {
			t.Errorf("the waiter got %v, want an instance of the new version", got)
		}
		got.lease.Release(pool.Served)
		held.Release(pool.Served)
	})
}

func TestAVersionThatCannotBeStartedKeepsTheOneBefore(t *testing.T) {
	broken := &factory{err: fault.FunctionInit.New("", fault.Internal("no such module"))}
	run(t, bounds(), &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		lease := acquire(t, p)
		serves := lease.Instance()
		lease.Release(pool.Served)
		taken, err := p.Replace(t.Context(), broken.start)
		if taken || fault.From(err).Internal != "no such module" {
			t.Errorf("it was taken: %v, %v", taken, err)
		}
		if lease = acquire(t, p); lease.Instance() != serves {
			t.Error("another one serves")
		}
		lease.Release(pool.Served)
		p.Hold(true)
		<-time.After(time.Hour)
		wantStatus(t, p, 1, 0, 0)
		p.Hold(false)
		<-time.After(time.Hour)
		wantStatus(t, p, 0, 0, 0)
		if taken, _ := p.Replace(t.Context(), broken.start); taken {
			t.Error("one that has no instance just now, but could be started, was replaced by one that cannot")
		}
	})
}

// The error that is told is that of the newest version, and its pauses begin anew.
func TestAmongVersionsThatCannotBeStartedTheNewestAnswers(t *testing.T) {
	fails := func(text string) *factory {
		return &factory{err: fault.FunctionInit.New("", fault.Internal("%s", text))}
	}
	run(t, bounds(), fails("old"), func(in bubble) {
		t, p := in.t, in.pool
		for range 6 {
			wantKind(t, (<-ask(t.Context(), p)).err, fault.FunctionInit)
			<-time.After(10 * time.Second)
		}
		again := fails("new")
		if taken, err := p.Replace(t.Context(), again.start); !taken || err == nil {
			t.Errorf("taken: %v, %v", taken, err)
		}
		if f := wantKind(t, (<-ask(t.Context(), p)).err, fault.FunctionInit); f.Internal != "new" || f.RetryAfter > time.Second {
			t.Errorf("the fault is %v, to be tried after %v", f, f.RetryAfter)
		}
		if taken, err := p.Replace(t.Context(), (&factory{}).start); !taken || err != nil {
			t.Fatal(taken, err)
		}
		acquire(t, p).Release(pool.Served)
	})
}

func TestAReplacementThatIsGivenUpLeavesNothing(t *testing.T) {
	run(t, bounds(), &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		taken, err := p.Replace(ctx, (&factory{delay: time.Minute}).start)
		if taken || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("taken: %v, %v", taken, err)
		}
		after := &factory{delay: time.Second}
		go func() {
			<-time.After(time.Millisecond)
			p.Close(t.Context())
		}()
		if taken, err := p.Replace(t.Context(), after.start); taken || err == nil {
			t.Errorf("a closed pool took another version: %v, %v", taken, err)
		}
		if left := after.all[0]; !left.polite.Load() {
			t.Error("the instance that came too late was not asked to end")
		}
	})
}

// What becomes of instances of an old version says nothing about the new one.
func TestCrashesAreCountedByVersion(t *testing.T) {
	b := bounds()
	b.Max = 4
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		old := burst(t, p, 4)
		if taken, err := p.Replace(t.Context(), (&factory{}).start); !taken || err != nil {
			t.Fatal(taken, err)
		}
		for _, l := range old {
			l.Instance().crash()
		}
		synctest.Wait()
		for _, l := range old {
			l.Release(pool.Poisoned)
		}
		for _, l := range burst(t, p, 4) {
			l.Instance().crash()
			synctest.Wait()
			l.Release(pool.Poisoned)
		}
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.FunctionInit) // four of its own are too many
	})
}

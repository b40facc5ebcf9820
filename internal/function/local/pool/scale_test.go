package pool_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/pool"
)

// all gives the leases that are waited for.
func all(t *testing.T, waiting []chan answer) []*pool.Lease[*fake] {
	t.Helper()
	var leases []*pool.Lease[*fake]
	for _, c := range waiting {
		got := <-c
		if got.err != nil {
			t.Fatal(got.err)
		}
		leases = append(leases, got.lease)
	}
	return leases
}

func releaseAll(leases []*pool.Lease[*fake]) {
	for _, l := range leases {
		l.Release(pool.Served)
	}
}

// burst acquires n at once.
func burst(t *testing.T, p *pool.Pool[*fake], n int) []*pool.Lease[*fake] {
	t.Helper()
	var waiting []chan answer
	for range n {
		waiting = append(waiting, ask(t.Context(), p))
	}
	return all(t, waiting)
}

func TestWhoseTimeIsOverFirstIsServedFirst(t *testing.T) {
	b := bounds()
	b.Max, b.Queue = 1, 10
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		held := acquire(t, p)
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		patient, hasty, middle, later := ask(t.Context(), p), ask(within(time.Second), p), ask(within(5*time.Second), p), ask(t.Context(), p)
		held.Release(pool.Served)
		for i, c := range []chan answer{hasty, middle, patient, later} {
			synctest.Wait()
			select {
			case got := <-c:
				got.lease.Release(pool.Served)
			default:
				t.Fatalf("the waiter at place %d was not served in its turn", i)
			}
		}
	})
}

func TestWhoCannotBeServedInTimeIsToldAtOnce(t *testing.T) {
	b := bounds()
	b.Max, b.Queue, b.Wait = 1, 1000, 10*time.Second
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		for range 20 { // from which it learns that one takes a second
			lease := acquire(t, p)
			<-time.After(time.Second)
			lease.Release(pool.Served)
		}
		held := acquire(t, p)
		defer held.Release(pool.Served)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin, waiting := time.Now(), 0
		for ; waiting < 100; waiting++ {
			if got := ask(ctx, p); len(got) > 0 {
				f := wantKind(t, (<-got).err, fault.FunctionQueueTime)
				if f.RetryAfter <= 0 || time.Since(begin) != 0 {
					t.Errorf("it was told after %v: %v", time.Since(begin), f)
				}
				break
			}
		}
		if waiting < 10 || waiting > 30 {
			t.Errorf("%d wait for 10 s for an instance that takes 1 s for each; want 10 and what chance may do, and not the whole queue", waiting)
		}
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if got := ask(short, p); len(got) > 0 { // it would be the first to be served
			t.Errorf("one that passes all others was refused: %v", (<-got).err)
		}
	})
}

func TestOnlySoManyStartAtOnce(t *testing.T) {
	b := bounds()
	b.Max, b.Starts, b.Queue = 100, 3, 0
	f := &factory{delay: time.Second}
	run(t, b, f, func(in bubble) {
		t, p := in.t, in.pool
		var waiting []chan answer
		for range 20 {
			waiting = append(waiting, ask(t.Context(), p))
		}
		if s := p.Status(); s.Starting != 3 || s.Queued != 20 {
			t.Errorf("%d start and %d wait, want 3 and 20", s.Starting, s.Queued)
		}
		<-time.After(time.Second)
		synctest.Wait()
		if s := p.Status(); s.Busy != 3 || s.Starting != 3 {
			t.Errorf("a second later %d are busy and %d start, want 3 and 3", s.Busy, s.Starting)
		}
		for served := 0; served < len(waiting); { // each answers in no time: those that are warm serve the rest
			for _, c := range waiting {
				select {
				case got := <-c:
					got.lease.Release(pool.Served)
					served++
				default:
				}
			}
			synctest.Wait()
		}
		if f.started() > 6 {
			t.Errorf("%d instances were started for a burst that six could serve", f.started())
		}
		<-time.After(time.Second) // the rest of the starts
	})
}

func TestUnusedInstancesEndByHalves(t *testing.T) {
	b := bounds()
	b.Max, b.Idle = 8, time.Minute
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		releaseAll(burst(t, p, 8))
		<-time.After(b.Idle - time.Millisecond)
		wantStatus(t, p, 8, 0, 0)
		var seen []int
		for range 5 {
			<-time.After(2 * time.Millisecond)
			synctest.Wait()
			seen = append(seen, p.Status().Instances)
			<-time.After(10*time.Second - 2*time.Millisecond)
		}
		if want := []int{4, 2, 1, 0, 0}; !slices.Equal(seen, want) {
			t.Errorf("of 8 that nobody uses there are %v, want %v", seen, want)
		}
	})
}

func TestWhatRecentRequestsNeededIsMadeReadyAgain(t *testing.T) {
	b := bounds()
	b.Max, b.Idle = 8, time.Minute
	f := &factory{}
	run(t, b, f, func(in bubble) {
		t, p := in.t, in.pool
		leases := burst(t, p, 5)
		releaseAll(leases)
		leases[0].Instance().crash()
		leases[1].Instance().crash()
		wantStatus(t, p, 5, 0, 0)
		if s := p.Status(); f.started() != 7 || s.Wanted != 5 {
			t.Errorf("%d were started, and %d are wanted; want 7 and 5", f.started(), s.Wanted)
		}
		<-time.After(2 * b.Idle)
		wantStatus(t, p, 0, 0, 0)
		if s := p.Status(); f.started() != 7 || s.Wanted != 0 {
			t.Errorf("nobody asked for two minutes; %d were started, and %d are wanted", f.started(), s.Wanted)
		}
	})
}

func TestTheMeterIsToldWhatHappens(t *testing.T) {
	b := bounds()
	b.Max, b.Concurrency = 1, 2
	run(t, b, &factory{delay: time.Second}, func(in bubble) {
		t, p := in.t, in.pool
		one := acquire(t, p)
		two := acquire(t, p)
		<-time.After(2 * time.Second)
		one.Release(pool.Served)
		<-time.After(time.Second)
		two.Release(pool.Served)
		in.meter.mu.Lock()
		defer in.meter.mu.Unlock()
		if in.meter.cold != 1 || in.meter.warm != 1 {
			t.Errorf("%d cold and %d warm, want one of each", in.meter.cold, in.meter.warm)
		}
		if !slices.Equal(in.meter.waited, []time.Duration{time.Second}) || !slices.Equal(in.meter.worked, []time.Duration{3 * time.Second}) {
			t.Errorf("waited %v, worked %v; want 1 s, and 3 s for both together", in.meter.waited, in.meter.worked)
		}
	})
}

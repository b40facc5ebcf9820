package pool_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an instance without a process.
type fake struct {
	number int
	done   chan struct{}
	once   sync.Once
	polite atomic.Bool // it was asked before it was killed
	places int
}

var errCrash = errors.New("exit status 2")

func (f *fake) Done() <-chan struct{} { return f.done }
func (f *fake) Failure() error        { return errCrash }
func (f *fake) Places() int           { return f.places }
func (f *fake) crash()                { f.once.Do(func() { close(f.done) }) }
func (f *fake) Stop(ctx context.Context, hangs bool) {
	f.polite.Store(ctx.Err() == nil && !hangs)
	f.crash()
}

// factory starts fakes; each start takes delay, and fails while err is set.
type factory struct {
	mu     sync.Mutex
	delay  time.Duration
	err    error
	places int // of each
	starts int
	all    []*fake
}

func (f *factory) start(ctx context.Context) (*fake, error) {
	f.mu.Lock()
	f.starts++
	made := &fake{number: f.starts, done: make(chan struct{}), places: f.places}
	delay, err := f.delay, f.err
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, made)
	return made, nil
}

func (f *factory) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *factory) started() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// meter remembers what it was told.
type meter struct {
	mu                  sync.Mutex
	crashed, warm, cold int
	waited, worked      []time.Duration
}

func (m *meter) Crashed()               { m.note(func() { m.crashed++ }) }
func (m *meter) Waited(d time.Duration) { m.note(func() { m.waited = append(m.waited, d) }) }
func (m *meter) Worked(d time.Duration) { m.note(func() { m.worked = append(m.worked, d) }) }
func (m *meter) Lent(cold bool) {
	m.note(func() {
		if cold {
			m.cold++
		} else {
			m.warm++
		}
	})
}

func (m *meter) note(what func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what()
}

func bounds() pool.Bounds {
	return pool.Bounds{Max: 2, Starts: 8, Concurrency: 1, Idle: time.Minute, Queue: 2, Wait: 10 * time.Second, Grace: time.Minute}
}

// bubble is a test within synctest's fake time, with its pool.
type bubble struct {
	t     *testing.T
	pool  *pool.Pool[*fake]
	meter *meter
}

// run gives a test its pool in a bubble of fake time, and closes it.
func run(t *testing.T, b pool.Bounds, f *factory, test func(bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		told := &meter{}
		p := pool.New(f.start, nothing, told, b, slog.New(slog.DiscardHandler))
		defer p.Close(t.Context())
		test(bubble{t, p, told})
	})
}

func acquire(t *testing.T, p *pool.Pool[*fake]) *pool.Lease[*fake] {
	t.Helper()
	lease, err := p.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return lease
}

type answer struct {
	lease *pool.Lease[*fake]
	err   error
}

// ask acquires beside the test and waits until it has a result or waits for one.
func ask(ctx context.Context, p *pool.Pool[*fake]) chan answer {
	got := make(chan answer, 1)
	go func() {
		lease, err := p.Acquire(ctx)
		got <- answer{lease, err}
	}()
	synctest.Wait()
	return got
}

func wantStatus(t *testing.T, p *pool.Pool[*fake], instances, busy, queued int) {
	t.Helper()
	synctest.Wait()
	if s := p.Status(); s.Instances != instances || s.Busy != busy || s.Queued != queued {
		t.Errorf("status is %d instances, %d busy, %d queued; want %d, %d, %d", s.Instances, s.Busy, s.Queued, instances, busy, queued)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != kind.Code {
		t.Fatalf("error is %v, want %s", err, kind.Code)
	}
	return f
}

func TestTheInstanceUsedLastServesNext(t *testing.T) {
	run(t, bounds(), &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		a, b := acquire(t, p), acquire(t, p)
		first, second := a.Instance(), b.Instance()
		b.Release(pool.Served)
		a.Release(pool.Served)
		for range 3 {
			lease := acquire(t, p)
			if lease.Instance() != first {
				t.Errorf("instance %d serves, want the one used last, %d (the other is %d)", lease.Instance().number, first.number, second.number)
			}
			lease.Release(pool.Served)
		}
	})
}

func TestAFreeInstanceServesTheWaiterThatMadeAnotherStart(t *testing.T) {
	f := &factory{delay: time.Second}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		a := acquire(t, p)
		first := a.Instance()
		waiting := ask(t.Context(), p)
		if f.started() != 2 {
			t.Errorf("%d instances were started, want 2", f.started())
		}
		a.Release(pool.Served)
		synctest.Wait()
		got := <-waiting
		if got.err != nil || got.lease.Instance() != first {
			t.Errorf("the waiter got %v, want the instance that became free", got)
		}
		got.lease.Release(pool.Served)
		<-time.After(time.Second)
		wantStatus(t, p, 2, 0, 0)
	})
}

func TestMoreThanMaxWaitInOrderAndOverflowIsRefused(t *testing.T) {
	run(t, bounds(), &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		a, b := acquire(t, p), acquire(t, p)
		third, fourth := ask(t.Context(), p), ask(t.Context(), p)
		wantStatus(t, p, 2, 2, 2)
		_, err := p.Acquire(t.Context())
		if f := wantKind(t, err, fault.FunctionBusy); f.RetryAfter <= 0 {
			t.Error("a full queue does not say when to come back")
		}
		a.Release(pool.Served)
		got := <-third
		select {
		case <-fourth:
			t.Error("the later waiter was served, too")
		default:
		}
		got.lease.Release(pool.Served)
		(<-fourth).lease.Release(pool.Served)
		b.Release(pool.Served)
	})
}

func TestAColdBurstDoesNotCountAgainstTheQueue(t *testing.T) {
	b := bounds()
	b.Max, b.Queue = 8, 0
	f := &factory{delay: time.Second}
	run(t, b, f, func(in bubble) {
		t, p := in.t, in.pool
		var all []chan answer
		for range 8 {
			all = append(all, ask(t.Context(), p))
		}
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.FunctionBusy)
		for _, c := range all {
			got := <-c
			if got.err != nil {
				t.Fatal(got.err)
			}
			got.lease.Release(pool.Served)
		}
		if f.started() != 8 {
			t.Errorf("%d instances were started, want 8", f.started())
		}
	})
}

func TestWaitingEndsByItsDeadlineOrWithItsClient(t *testing.T) {
	b := bounds()
	b.Max = 1
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		held := acquire(t, p)
		begin := time.Now()
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.FunctionQueueTime)
		if took := time.Since(begin); took != b.Wait {
			t.Errorf("it waited %v, want %v", took, b.Wait)
		}
		ctx, leave := context.WithCancel(t.Context())
		waiting := ask(ctx, p)
		leave()
		if got := <-waiting; !errors.Is(got.err, context.Canceled) {
			t.Errorf("error is %v, want the client's", got.err)
		}
		wantStatus(t, p, 1, 1, 0)
		held.Release(pool.Served)
	})
}

func TestUnusedInstancesEndButTheMinimumStays(t *testing.T) {
	for _, least := range []int{0, 1} {
		b := bounds()
		b.Min = least
		run(t, b, &factory{}, func(in bubble) {
			t, p := in.t, in.pool
			wantStatus(t, p, least, 0, 0)
			x, y := acquire(t, p), acquire(t, p)
			x.Release(pool.Served)
			y.Release(pool.Served)
			<-time.After(b.Idle - time.Second)
			z := acquire(t, p)
			z.Release(pool.Served)
			wantStatus(t, p, 2, 0, 0)
			<-time.After(2 * time.Second)
			wantStatus(t, p, 1, 0, 0) // the one that was not used again
			<-time.After(b.Idle)
			wantStatus(t, p, least, 0, 0)
			if !x.Instance().polite.Load() && !y.Instance().polite.Load() {
				t.Error("an unused instance was killed without being asked")
			}
		})
	}
}

func TestAFailedStartIsTheAnswerAndPausesFurtherOnes(t *testing.T) {
	f := &factory{delay: time.Millisecond, err: fault.FunctionInit.New("", fault.Internal("no such module"))}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		first, second := ask(t.Context(), p), ask(t.Context(), p)
		for _, c := range []chan answer{first, second} {
			if got := wantKind(t, (<-c).err, fault.FunctionInit); got.Internal != "no such module" || got.RetryAfter <= 0 {
				t.Errorf("fault is %+v, want the start's own with Retry-After", got)
			}
		}
		before := f.started()
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.FunctionInit)
		if f.started() != before {
			t.Error("another instance was started during the pause")
		}
		if p.Status().Problem == nil {
			t.Error("the status tells no problem")
		}
		f.set(nil)
		<-time.After(time.Second)
		acquire(t, p).Release(pool.Served)
		if problem := p.Status().Problem; problem != nil {
			t.Errorf("the status still tells %v", problem)
		}
	})
}

func TestTheMinimumIsTriedAgainAfterThePause(t *testing.T) {
	b := bounds()
	b.Min = 1
	f := &factory{err: errCrash}
	run(t, b, f, func(in bubble) {
		t, p := in.t, in.pool
		wantStatus(t, p, 0, 0, 0)
		f.set(nil)
		<-time.After(time.Second)
		wantStatus(t, p, 1, 0, 0)
	})
}

func TestAnInstanceGetsNoMoreThanItTakes(t *testing.T) {
	b := bounds()
	b.Max, b.Concurrency = 1, 4
	for places, want := range map[int]int{0: 4, 1: 1, 3: 3, 9: 4} {
		run(t, b, &factory{places: places}, func(in bubble) {
			t, p := in.t, in.pool
			var leases []*pool.Lease[*fake]
			for range want {
				leases = append(leases, acquire(t, p))
			}
			more := ask(t.Context(), p)
			wantStatus(t, p, 1, 1, 1)
			leases[0].Release(pool.Served)
			leases[0] = (<-more).lease
			for _, lease := range leases {
				lease.Release(pool.Served)
			}
			wantStatus(t, p, 1, 0, 0)
			acquire(t, p).Release(pool.Served)
		})
	}
}

func TestACrashIsReplacedAtOnceButALoopOfCrashesIsNot(t *testing.T) {
	f := &factory{}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		for i := range 4 {
			lease := acquire(t, p)
			lease.Instance().crash()
			synctest.Wait()
			lease.Release(pool.Poisoned)
			if f.started() != i+1 {
				t.Fatalf("%d starts after %d crashes", f.started(), i+1)
			}
		}
		_, err := p.Acquire(t.Context())
		if got := wantKind(t, err, fault.FunctionInit); !errors.Is(got, errCrash) {
			t.Errorf("fault %v does not tell the crash", got)
		}
		<-time.After(time.Second)
		acquire(t, p).Release(pool.Served)
		lease := acquire(t, p)
		lease.Instance().crash()
		synctest.Wait()
		lease.Release(pool.Poisoned)
		acquire(t, p).Release(pool.Served) // a success in between forgives
	})
}

func TestAnInstanceThatEndsBeforeItServesCountsAsACrashWhoeverNoticesFirst(t *testing.T) {
	f := &factory{}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		for range 4 {
			lease := acquire(t, p)
			instance := lease.Instance()
			instance.crash()
			lease.Release(pool.Poisoned) // the request finds it dead
			synctest.Wait()
		}
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.FunctionInit)
	})
}

func TestAPoisonedInstanceIsKilledAndNeverAskedAgain(t *testing.T) {
	b := bounds()
	b.Max = 1
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		lease := acquire(t, p)
		bad := lease.Instance()
		waiting := ask(t.Context(), p)
		lease.Release(pool.Poisoned)
		got := <-waiting
		if got.err != nil || got.lease.Instance() == bad {
			t.Errorf("the waiter got %v, want a new instance", got)
		}
		synctest.Wait()
		if bad.polite.Load() {
			t.Error("the poisoned instance was asked to end, not killed")
		}
		got.lease.Release(pool.Served)
	})
}

func TestARequestRatherWaitsForAnInstanceThatIsAboutToBeFree(t *testing.T) {
	f := &factory{}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		lease := acquire(t, p)
		lease.Finishing()
		waiting := ask(t.Context(), p)
		if f.started() != 1 {
			t.Fatal("a second instance was started at once")
		}
		<-time.After(20 * time.Millisecond)
		if f.started() != 2 {
			t.Error("no second instance was started although the first is not free yet")
		}
		(<-waiting).lease.Release(pool.Served)
		lease.Release(pool.Served)
	})
}

func TestAnInstanceTakesAsManyRequestsAsItMay(t *testing.T) {
	b := bounds()
	b.Concurrency = 3
	f := &factory{}
	run(t, b, f, func(in bubble) {
		t, p := in.t, in.pool
		var leases []*pool.Lease[*fake]
		for range 3 {
			leases = append(leases, acquire(t, p))
		}
		if f.started() != 1 {
			t.Errorf("%d instances for three requests, want 1", f.started())
		}
		leases = append(leases, acquire(t, p))
		if f.started() != 2 {
			t.Errorf("%d instances for four requests, want 2", f.started())
		}
		leases[0].Release(pool.Poisoned) // the others of that instance end first
		wantStatus(t, p, 3, 1, 0)        // and one is made in its place
		leases[1].Release(pool.Served)
		leases[2].Release(pool.Served)
		wantStatus(t, p, 2, 1, 0)
		leases[3].Release(pool.Served)
	})
}

// Without an end, clients that hold streams could pile up poisoned instances
// beyond Max, one for each request that times out.
func TestTheOtherRequestsOfAPoisonedInstanceHaveOnlyItsGrace(t *testing.T) {
	b := bounds()
	b.Max, b.Concurrency, b.Grace = 1, 2, 3*time.Second
	run(t, b, &factory{}, func(in bubble) {
		t, p := in.t, in.pool
		stream, slow := acquire(t, p), acquire(t, p)
		bad := stream.Instance()
		slow.Release(pool.Poisoned)
		<-time.After(b.Grace - time.Millisecond)
		wantStatus(t, p, 2, 0, 0) // with the one in its place
		<-time.After(2 * time.Millisecond)
		wantStatus(t, p, 1, 0, 0)
		if bad.polite.Load() {
			t.Error("the poisoned instance was asked to end, not killed")
		}
		stream.Release(pool.Served)
		acquire(t, p).Release(pool.Served)
	})
}

func TestTuneKillsNothingAndLowersAsInstancesBecomeIdle(t *testing.T) {
	f := &factory{}
	run(t, bounds(), f, func(in bubble) {
		t, p := in.t, in.pool
		a, b := acquire(t, p), acquire(t, p)
		more := bounds()
		more.Max = 3
		p.Tune(more)
		c := acquire(t, p)
		wantStatus(t, p, 3, 3, 0)
		fewer := bounds()
		fewer.Max = 1
		p.Tune(fewer)
		wantStatus(t, p, 3, 3, 0)
		a.Release(pool.Served)
		b.Release(pool.Served)
		c.Release(pool.Served)
		wantStatus(t, p, 1, 0, 0)
		fewer.Idle = time.Second
		p.Tune(fewer)
		<-time.After(2 * time.Second)
		wantStatus(t, p, 0, 0, 0)
	})
}

func TestCloseServesWhatRunsAndWaitsButNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounds()
		b.Max = 1
		p := pool.New((&factory{}).start, nothing, &meter{}, b, slog.New(slog.DiscardHandler))
		running := acquire(t, p)
		waiting := ask(t.Context(), p)
		closed := make(chan struct{})
		go func() { defer close(closed); p.Close(t.Context()) }()
		synctest.Wait()
		_, err := p.Acquire(t.Context())
		wantKind(t, err, fault.ShuttingDown)
		running.Release(pool.Served)
		(<-waiting).lease.Release(pool.Served)
		<-closed
		wantStatus(t, p, 0, 0, 0)
	})
}

func TestCloseEndsEverythingWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{delay: time.Second}
		b := bounds()
		b.Max = 2
		p := pool.New(f.start, nothing, &meter{}, b, slog.New(slog.DiscardHandler))
		running := acquire(t, p)
		first, second := ask(t.Context(), p), ask(t.Context(), p)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		p.Close(ctx)
		for _, c := range []chan answer{first, second} {
			wantKind(t, (<-c).err, fault.ShuttingDown)
		}
		running.Release(pool.Served)
		wantStatus(t, p, 0, 0, 0)
	})
}

func TestWhoWaitsIsToldWhatIsPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for preparing, want := range map[string]string{
			"":                  "instances: 0 busy, 1 still starting, at most 2",
			"it is being built": "instances: 0 busy, 1 not started yet, for it is being built, at most 2",
		} {
			b := bounds()
			b.Wait = time.Second
			p := pool.New((&factory{delay: time.Minute}).start, func() string { return preparing }, &meter{}, b, slog.New(slog.DiscardHandler))
			_, err := p.Acquire(t.Context())
			if f := fault.From(err); f.Code != fault.FunctionQueueTime.Code || f.Internal != "waited 1s; "+want {
				t.Errorf("%q: %v", preparing, f.Internal)
			}
			p.Close(t.Context())
		}
	})
}

// prepared is a pool whose first instance is there a second after something was prepared, from a time on until another one.
func prepared(t *testing.T, from, until time.Duration, b pool.Bounds) *pool.Pool[*fake] {
	t.Helper()
	begun := time.Now()
	preparing := func() string {
		if now := time.Since(begun); now >= from && now < until {
			return "it is being built"
		}
		return ""
	}
	return pool.New((&factory{delay: until + time.Second}).start, preparing, &meter{}, b, slog.New(slog.DiscardHandler))
}

func TestTheTimeOfWhoWaitsDoesNotRunWhileAnythingIsPrepared(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		until, wait, preparation time.Duration
		want                     time.Duration // how long it waits
		served                   bool
	}{
		"nothing is prepared":                   {0, 500 * ms, time.Minute, 500 * ms, false},
		"an instance comes right afterwards":    {25 * time.Second, 10 * time.Second, time.Minute, 26 * time.Second, true},
		"within the time for an instance":       {9500 * ms, 10 * time.Second, time.Minute, 10500 * ms, true},
		"it is looked when it is ready":         {20 * time.Second, 10 * time.Second, time.Minute, 21 * time.Second, true},
		"the time afterwards is as long as any": {900 * ms, 1000 * ms, time.Minute, 1900 * ms, true},
		"but not longer":                        {900 * ms, 500 * ms, time.Minute, 1500 * ms, false},
		"it takes too long":                     {time.Hour, 10 * time.Second, time.Minute, 70 * time.Second, false},
		"too long for who waits for a moment":   {time.Hour, ms, time.Minute, time.Minute + ms, false},
		"and takes no whole number of looks":    {time.Hour, 10 * time.Second, 2500 * ms, 12500 * ms, false},
		"there is no time for that":             {time.Hour, 10 * time.Second, 0, 10 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bounds()
				b.Wait, b.Preparation = test.wait, test.preparation
				p := prepared(t, 0, test.until, b)
				defer end(t, p)
				begun := time.Now()
				lease, err := p.Acquire(t.Context())
				if took := time.Since(begun); took != test.want {
					t.Errorf("it waited %v, want %v", took, test.want)
				}
				if test.served != (err == nil) {
					t.Errorf("error is %v", err)
				}
				if err != nil {
					wantKind(t, err, fault.FunctionQueueTime)
				} else {
					lease.Release(pool.Served)
				}
			})
		})
	}
}

func TestAPreparationThatBeginsWhileOneWaitsCountsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounds()
		b.Preparation = time.Minute
		p := prepared(t, 3*time.Second, 20*time.Second, b)
		defer end(t, p)
		acquire(t, p).Release(pool.Served)
	})
}

// end ends a pool at once.
func end(t *testing.T, p *pool.Pool[*fake]) {
	t.Helper()
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	p.Close(ctx)
}

func TestWhoCameFirstIsServedFirstAfterAPreparation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounds()
		b.Max, b.Queue, b.Preparation = 1, 100, time.Minute
		p := prepared(t, 0, 25*time.Second, b)
		defer end(t, p)
		var mu sync.Mutex
		var served []int
		var clients sync.WaitGroup
		for i := range 30 { // one a second, also when it is over
			clients.Go(func() {
				<-time.After(time.Duration(i) * time.Second)
				lease, err := p.Acquire(t.Context())
				if err != nil {
					t.Errorf("who came after %d s: %v", i, err)
					return
				}
				mu.Lock()
				served = append(served, i)
				mu.Unlock()
				<-time.After(100 * time.Millisecond)
				lease.Release(pool.Served)
			})
		}
		clients.Wait()
		if !slices.IsSorted(served) || len(served) != 30 {
			t.Errorf("they were served in the order %v", served)
		}
	})
}

func TestAPoolThatEndsWaitsForNoPreparation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounds()
		b.Preparation = time.Hour
		p := prepared(t, 0, 2*time.Hour, b)
		begun := time.Now()
		waiting := ask(t.Context(), p)
		<-time.After(5500 * time.Millisecond) // between two looks
		ctx, giveUp := context.WithTimeout(t.Context(), time.Hour)
		defer giveUp()
		p.Close(ctx)
		wantKind(t, (<-waiting).err, fault.FunctionQueueTime)
		if took := time.Since(begun); took != 5*time.Second+b.Wait {
			t.Errorf("it waited %v", took)
		}
	})
}

func TestWhoWaitsForWhatIsPreparedMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bounds()
		b.Preparation = time.Minute
		p := prepared(t, 0, time.Hour, b)
		ctx, leave := context.WithTimeout(t.Context(), 25*time.Second)
		defer leave()
		begun := time.Now()
		if _, err := p.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 25*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		wantStatus(t, p, 1, 0, 0)
		end(t, p)
	})
}

// nothing has to be prepared.
func nothing() string { return "" }

// TestStorm lets clients, crashes, hangs, leaving clients and tuning meet; the
// pool's own checks of its states and the race detector are the judges.
func TestStorm(t *testing.T) {
	f := &factory{delay: 100 * time.Microsecond}
	b := pool.Bounds{Min: 1, Max: 8, Starts: 3, Concurrency: 2, Idle: time.Millisecond, Queue: 64, Wait: time.Second}
	p := pool.New(f.start, nothing, &meter{}, b, slog.New(slog.DiscardHandler))
	var served atomic.Int64
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			for range 200 {
				served.Add(storm(p))
			}
		})
	}
	clients.Go(func() {
		for i := range 50 {
			tuned := b
			tuned.Max = 1 + i%8
			p.Tune(tuned)
			<-time.After(200 * time.Microsecond)
		}
		p.Tune(b)
	})
	clients.Wait()
	p.Close(t.Context())
	if s := p.Status(); s.Instances+s.Busy+s.Queued != 0 {
		t.Errorf("%d instances, %d busy, %d queued are left", s.Instances, s.Busy, s.Queued)
	}
	if served.Load() == 0 {
		t.Error("no request was served")
	}
}

func storm(p *pool.Pool[*fake]) (served int64) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(3000))*time.Microsecond)
	defer cancel()
	lease, err := p.Acquire(ctx)
	if err != nil {
		return 0
	}
	switch rand.IntN(40) {
	case 0:
		lease.Instance().crash()
		lease.Release(pool.Poisoned)
	case 1:
		lease.Release(pool.Poisoned)
	case 2:
		lease.Finishing()
		<-time.After(time.Millisecond)
		lease.Release(pool.Served)
	default:
		lease.Release(pool.Served)
		lease.Release(pool.Served) // a second release must not count
	}
	return 1
}

func BenchmarkAcquireWarm(b *testing.B) {
	p := pool.New((&factory{}).start, nothing, &meter{}, bounds(), slog.New(slog.DiscardHandler))
	defer p.Close(context.Background())
	b.ReportAllocs()
	for b.Loop() {
		lease, err := p.Acquire(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		lease.Release(pool.Served)
	}
}

package registry

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// started is a world with so many instances of a service that live.
func started(t *testing.T, service string, n int) *world {
	t.Helper()
	w := newWorld()
	for i := range n {
		k := key{service, fmt.Sprintf("i%d", i)}
		if created, changed, err := w.state.put(w.now, w.instance(k, 1)); err != nil || !created || !changed {
			t.Fatal(created, changed, err)
		}
		w.alive[k] = w.now + worldTTL/3
		w.pass(100 * time.Millisecond) // they do not beat together
	}
	w.pass(worldTTL)
	return w
}

func (w *world) silence(service string, ids ...int) {
	for _, i := range ids {
		delete(w.alive, key{service, fmt.Sprintf("i%d", i)})
	}
}

func (w *world) states(service string) (live, suspect int) {
	for _, e := range w.state.living(service) {
		if e.State == Suspect {
			suspect++
		} else {
			live++
		}
	}
	return live, suspect
}

func (w *world) want(t *testing.T, when, service string, live, suspect int) {
	t.Helper()
	if l, s := w.states(service); l != live || s != suspect {
		t.Errorf("%s there are %d live and %d suspect, not %d and %d", when, l, s, live, suspect)
	}
}

func TestWhoIsSilentAloneGoesAfterItsTTL(t *testing.T) {
	for n := 1; n <= 4; n++ {
		w := started(t, "s0", n)
		w.silence("s0", 0)
		w.pass(worldTTL - worldTTL/3 - 500*time.Millisecond)
		w.want(t, "before its time", "s0", n, 0)
		w.pass(worldTTL/3 + time.Second)
		w.want(t, fmt.Sprintf("of %d, after its time", n), "s0", n-1, 0)
	}
}

func TestMostOfAServiceFallingSilentIsKeptAsSuspectAndNotForEver(t *testing.T) {
	w := started(t, "s0", 4)
	w.silence("s0", 0, 1, 2)
	w.pass(worldTTL + time.Second)
	w.want(t, "after their time", "s0", 1, 3)
	w.beat(key{"s0", "i1"})
	w.want(t, "when one is heard again", "s0", 2, 2)
	w.silence("s0", 1)
	w.pass(DefaultAfter * worldTTL)
	w.want(t, "in the end", "s0", 1, 0)
}

func TestASuspicionEndsWhenMostAreHeardAgain(t *testing.T) {
	w := started(t, "s0", 4)
	w.silence("s0", 0, 1, 2)
	w.pass(worldTTL + time.Second)
	w.beat(key{"s0", "i1"})
	w.beat(key{"s0", "i2"})
	w.pass(worldTTL)
	w.want(t, "one of four is silent alone, and", "s0", 3, 0)
}

func TestManyServicesOfOneInstanceFallingSilentAreKeptToo(t *testing.T) {
	w := newWorld()
	for _, name := range []string{"s0", "s1", "s2"} {
		if _, _, err := w.state.put(w.now, w.instance(key{name, "i0"}, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(worldTTL + time.Second)
	for _, name := range []string{"s0", "s1", "s2"} {
		w.want(t, "together", name, 0, 1)
	}
	w.pass(DefaultAfter * worldTTL)
	w.want(t, "in the end", "", 0, 0)
}

func TestAStopOfTheProcessGivesEverybodyAFullTimeOnce(t *testing.T) {
	for _, pause := range []time.Duration{2 * time.Second, worldTTL, time.Hour} {
		w := started(t, "s0", 4)
		w.silence("s0", 0)
		w.pass(worldTTL - worldTTL/3 - time.Second) // its time is nearly over
		w.now += pause
		w.state.expire(w.now)
		w.want(t, "afterwards", "s0", 4, 0)
		for k := range w.alive {
			w.beat(k)
		}
		w.pass(worldTTL - time.Second)
		w.want(t, "within a full time", "s0", 4, 0)
		w.pass(2 * time.Second)
		w.want(t, "then", "s0", 3, 0)
		if w.state.tally.Frozen != 1 {
			t.Errorf("leases began anew %d times", w.state.tally.Frozen)
		}
	}
}

// A registry that is stopped again and again keeps nobody for ever by it.
func TestStopsAreBounded(t *testing.T) {
	w := started(t, "s0", 3)
	w.silence("s0", 0, 1, 2)
	for range 30 {
		w.pass(worldTTL - time.Second)
		w.now += time.Minute
		w.state.expire(w.now)
	}
	w.want(t, "after 30 stops", "s0", 0, 0)
}

func TestRegisteringIsIdempotent(t *testing.T) {
	w := newWorld()
	k := key{"s0", "i0"}
	put := func(i *Instance) (created, changed bool) {
		t.Helper()
		created, changed, err := w.state.put(w.now, i)
		if err != nil {
			t.Fatal(err)
		}
		return created, changed
	}
	if created, changed := put(w.instance(k, 1)); !created || !changed {
		t.Error("the first one is new")
	}
	revision := w.state.revision
	if created, changed := put(w.instance(k, 1)); created || changed || w.state.revision != revision {
		t.Error("the same again changes nothing")
	}
	if created, changed := put(w.instance(k, 2)); created || !changed || w.state.revision != revision+1 {
		t.Error("another weight is one change")
	}
	w.pass(worldTTL - time.Second)
	put(w.instance(k, 2))
	w.pass(worldTTL - time.Second)
	w.want(t, "the same again is a heartbeat, and", "s0", 1, 0)
	if err := w.state.remove(w.now, "s0", "i0"); err != nil {
		t.Error(err)
	}
	if err := w.state.remove(w.now, "s0", "i0"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if err := w.state.heartbeat(w.now, "s0", "i0"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	if created, _ := put(w.instance(k, 1)); !created {
		t.Error("it comes back")
	}
}

func TestThereAreLimits(t *testing.T) {
	w := newWorld()
	put := func(service, id string) error {
		_, _, err := w.state.put(w.now, w.instance(key{service, id}, 1))
		return err
	}
	limit := func(err error, want string) {
		t.Helper()
		if l, ok := errors.AsType[*LimitError](err); !ok || l.What != want {
			t.Errorf("%v, not the limit of %s", err, want)
		}
	}
	for i := range 8 {
		if err := put("s0", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	limit(put("s0", "8"), "instances of one service")
	if err := put("s0", "7"); err != nil {
		t.Errorf("who is there may say so: %v", err)
	}
	for s := 1; s <= 3; s++ {
		if err := put(fmt.Sprint("s", s), "0"); err != nil {
			t.Fatal(err)
		}
	}
	limit(put("s4", "0"), "services")
	for i := range 8 {
		_ = put("s1", fmt.Sprint(i))
		_ = put("s2", fmt.Sprint(i))
	}
	limit(put("s3", "1"), "instances")
	w.state.limits.Bytes = w.state.bytes
	longer := w.instance(key{"s0", "0"}, 1)
	longer.Zone = "a-zone"
	_, _, err := w.state.put(w.now, longer)
	limit(err, "bytes")
	if w.state.tally.Refused < 4 {
		t.Errorf("%d refusals are counted", w.state.tally.Refused)
	}
	if err := w.state.remove(w.now, "s3", "0"); err != nil {
		t.Fatal(err)
	}
	if err := put("s4", "0"); err != nil {
		t.Errorf("there is room for another service: %v", err)
	}
}

// TestAHeartbeatAllocatesNothing holds what doc.go says of its cost.
func TestAHeartbeatAllocatesNothing(t *testing.T) {
	w := started(t, "s0", 4)
	if n := testing.AllocsPerRun(100, func() {
		w.now += time.Millisecond
		if err := w.state.heartbeat(w.now, "s0", "i0"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
}

// BenchmarkHeartbeat is one heartbeat among 50,000 instances of 1,000 services.
func BenchmarkHeartbeat(b *testing.B) {
	s := newState(Limits{}, func(*entry) {})
	var keys []key
	w := newWorld()
	for n := range 50_000 {
		k := key{fmt.Sprintf("service-%d", n%1000), fmt.Sprintf("instance-%d", n)}
		keys = append(keys, k)
		if _, _, err := s.put(0, w.instance(k, 1)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	now, n := time.Duration(0), 0
	for b.Loop() {
		now += worldTTL / 3 / 50_000
		k := keys[n%len(keys)]
		n++
		if err := s.heartbeat(now, k.service, k.id); err != nil {
			b.Fatal(err)
		}
		s.expire(now)
	}
}

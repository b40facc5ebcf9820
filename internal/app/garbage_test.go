package app

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

func TestHowMuchGarbageMayGather(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 4 << 20: 200, 8 << 20: 100, 64 << 20: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d bytes live: %d %%, not %d", live, got, want)
		}
	}
}

// told is what the runtime was told last. It is read without being set, which would take back what
// follow tells meanwhile.
func told() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

func TestGarbageFollowsWhatIsAlive(t *testing.T) {
	t.Setenv("GOGC", "") // which would win
	before := told()
	var live atomic.Uint64
	g := garbage{alive: live.Load}
	g.begin()
	if got := told(); got != mostPercent {
		t.Errorf("it begins with %d %%", got)
	}
	for _, c := range []struct{ live, percent int }{{8 << 20, 100}, {7 << 20, 100}, {4 << 20, 200}, {64 << 20, 100}} {
		live.Store(uint64(c.live))
		await.That(t, "the runtime is told", func() bool { runtime.GC(); return told() == c.percent })
	}
	g.end()
	if got := told(); got != before {
		t.Errorf("it leaves %d %%, and found %d", got, before)
	}
	live.Store(1 << 20)
	g.follow() // of a collection before the end
	if got := told(); got != before {
		t.Errorf("it goes on, with %d %%", got)
	}
	t.Setenv("GOGC", "70")
	g.begin()
	if g.begun {
		t.Error("the environment has said how much")
	}
}

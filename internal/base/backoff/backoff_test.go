package backoff_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

func TestPausesDoubleUpToTheMost(t *testing.T) {
	for _, c := range []struct {
		d    backoff.Doubling
		n    int
		want time.Duration
	}{
		{backoff.Doubling{First: 100, Most: 1000}, 0, 100},
		{backoff.Doubling{First: 100, Most: 1000}, 1, 100},
		{backoff.Doubling{First: 100, Most: 1000}, 2, 200},
		{backoff.Doubling{First: 100, Most: 1000}, 4, 800},
		{backoff.Doubling{First: 100, Most: 1000}, 5, 1000},
		{backoff.Doubling{First: 100, Most: 800}, 4, 800},
		{backoff.Doubling{First: 100, Most: 1000}, math.MaxInt, 1000},
		{backoff.Doubling{First: 1, Most: math.MaxInt64}, 1000, math.MaxInt64},
		{backoff.Doubling{First: 100, Most: 50}, 1, 50},
	} {
		if got := c.d.After(c.n); got != c.want {
			t.Errorf("%+v after %d: %d, want %d", c.d, c.n, got, c.want)
		}
	}
}

func TestWhatWentWellBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := backoff.New(time.Second, 4*time.Second)
		if p.Failing() {
			t.Error("it fails before anything has")
		}
		began := time.Now()
		for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			if got := p.Next(); got != want || !p.Failing() {
				t.Errorf("pause %d is %v", n, got)
			}
		}
		if got := p.Ended(began); got != 4*time.Second {
			t.Errorf("after a moment: %v", got)
		}
		<-time.After(5 * time.Second)
		if got := p.Ended(began); got != time.Second {
			t.Errorf("after what has lasted: %v", got)
		}
		p.Reset()
		if p.Failing() || p.Next() != time.Second {
			t.Error("it does not begin anew")
		}
	})
}

func TestChanceShortensByHalfAtTheMost(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := backoff.Spread(time.Second)
		if d < time.Second/2 || d > time.Second {
			t.Fatalf("a second becomes %v", d)
		}
		seen[d] = true
	}
	if len(seen) < 100 {
		t.Errorf("chance knows %d pauses", len(seen))
	}
	if backoff.Spread(0) != 0 || backoff.Spread(1) != 1 {
		t.Error("nothing becomes something")
	}
}

func TestWhoLeavesWaitsNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !backoff.Wait(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("it waited for %v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if backoff.Wait(ctx, time.Hour) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("it waited for %v in all", time.Since(began))
		}
	})
}

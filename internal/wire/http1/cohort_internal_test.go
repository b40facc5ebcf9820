package http1

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRequestsWaitForEachOtherWhereManyAreReadyAndNoneWorksForLong(t *testing.T) {
	for _, test := range []struct {
		name       string
		ready      int
		took       time.Duration
		processors int
		waits      bool
	}{
		{"nobody is ready", 0, time.Microsecond, 1, false},
		{"two on two processors", 2, 10 * time.Microsecond, 2, false},
		{"many who do little", 40, 400 * time.Microsecond, 1, true},
		{"many on few processors, which they share", 40, 900 * time.Microsecond, 2, true},
		{"as many on more processors than that", 40, 400 * time.Microsecond, 32, false},
		{"some of them work for long", 40, 30 * time.Millisecond, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c cohort
			for range 20 { // what was before is forgotten
				c.judge(test.ready, test.took, test.processors)
			}
			if c.forms.Load() != test.waits {
				t.Errorf("they wait: %t", !test.waits)
			}
		})
	}
}

func TestWhetherRequestsWaitDoesNotChangeWithEachLook(t *testing.T) {
	var c cohort
	for range 20 {
		c.judge(40, 400*time.Microsecond, 2)
	}
	c.judge(0, time.Microsecond, 2)
	if !c.forms.Load() {
		t.Error("one look at a moment when nobody was ready has ended it")
	}
	for range 20 {
		c.judge(3, 10*time.Microsecond, 2)
	}
	if !c.forms.Load() {
		t.Error("a few are enough to go on")
	}
	for range 20 {
		c.judge(1, 10*time.Microsecond, 2)
	}
	if c.forms.Load() {
		t.Error("it goes on for one")
	}
}

// The queue is that of the runtime: goroutines that give way to each other stand in it.
func TestGoroutinesThatAreReadyAreSeen(t *testing.T) {
	var ended atomic.Bool
	var busy sync.WaitGroup
	defer busy.Wait()
	defer ended.Store(true)
	for range 16 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for !ended.Load() {
				runtime.Gosched()
			}
		})
	}
	var c cohort
	deadline := time.Now().Add(10 * time.Second)
	for !c.forms.Load() {
		if time.Now().After(deadline) {
			t.Fatalf("of %d goroutines there are %.1f ready", 16*runtime.GOMAXPROCS(0), c.ready)
		}
		c.asked = time.Time{}
		c.look()
	}
}

func TestTheQueueIsNotLookedAtMoreOftenThanNeedBe(t *testing.T) {
	var c cohort
	c.look()
	at := c.asked
	c.look()
	if at.IsZero() || c.asked != at {
		t.Errorf("looked at %v, and then at %v", at, c.asked)
	}
}

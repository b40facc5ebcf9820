package cancel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/cancel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errCause = errors.New("the reason")
	errLimit = errors.New("the limit")
)

// under makes a context below another.
func under(parent context.Context) *cancel.Context {
	c := new(cancel.Context)
	c.Under(parent)
	return c
}

// Whoever waits before the end, looks after it, or asks for its cause, is told the same as of a
// context of the usual kind.
func TestItEndsAsTheUsualOneDoes(t *testing.T) {
	type key struct{}
	for name, end := range map[string]func(own func(error), parent context.CancelCauseFunc){
		"by itself":               func(own func(error), _ context.CancelCauseFunc) { own(nil) },
		"by itself, with a cause": func(own func(error), _ context.CancelCauseFunc) { own(errCause) },
		"twice":                   func(own func(error), _ context.CancelCauseFunc) { own(errCause); own(nil) },
		"by its parent":           func(_ func(error), parent context.CancelCauseFunc) { parent(nil) },
		"by its parent's cause":   func(_ func(error), parent context.CancelCauseFunc) { parent(errCause) },
		"by both":                 func(own func(error), parent context.CancelCauseFunc) { own(errCause); parent(nil) },
	} {
		for _, waits := range []bool{false, true} {
			parent, endParent := context.WithCancelCause(context.WithValue(t.Context(), key{}, "v"))
			c := under(parent)
			usual, endUsual := context.WithCancelCause(parent)
			if waits {
				c.Done()
			}
			if c.Err() != nil || c.Value(key{}) != "v" {
				t.Errorf("%s: it begins with %v", name, c.Err())
			}
			end(func(err error) { c.Cancel(err); endUsual(err) }, endParent)
			if !errors.Is(c.Err(), usual.Err()) {
				t.Errorf("%s, awaited %t: %v, not %v", name, waits, c.Err(), usual.Err())
			}
			if got, want := context.Cause(c), context.Cause(usual); !errors.Is(got, want) {
				t.Errorf("%s, awaited %t: its cause is %v, not %v", name, waits, got, want)
			}
			select {
			case <-c.Done():
			case <-time.After(10 * time.Second):
				t.Errorf("%s, awaited %t: who waits is not told", name, waits)
			}
			endParent(nil)
			endUsual(nil)
		}
	}
}

// Contexts below it, of either kind, end with it without a goroutine (goleak sees to that).
func TestContextsBelowEndWithIt(t *testing.T) {
	type key struct{}
	top := under(t.Context())
	middle := under(context.WithValue(top, key{}, "v"))
	below, cancelBelow := context.WithCancel(middle)
	defer cancelBelow()
	silent := under(middle) // nobody waits for it
	top.Cancel(errCause)
	<-below.Done()
	for _, ctx := range []context.Context{middle, below, silent} {
		if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), errCause) {
			t.Errorf("%v, %v", ctx.Err(), context.Cause(ctx))
		}
	}
}

// With a limit it ends as the context of the usual kind does that has one.
func TestItEndsAtItsLimit(t *testing.T) {
	for name, end := range map[string]func(own func(error), parent context.CancelCauseFunc){
		"by the clock":           func(func(error), context.CancelCauseFunc) {},
		"by itself before":       func(own func(error), _ context.CancelCauseFunc) { own(nil) },
		"by its parent before":   func(_ func(error), parent context.CancelCauseFunc) { parent(errCause) },
		"by the clock and later": func(own func(error), _ context.CancelCauseFunc) { <-time.After(2 * time.Second); own(errCause) },
	} {
		for _, waits := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				parent, endParent := context.WithCancelCause(t.Context())
				limit := cancel.Limit{Until: time.Now().Add(time.Second), Cause: errLimit}
				c := under(parent)
				c.Within(&limit)
				timed, endTimed := context.WithDeadlineCause(parent, limit.Until, limit.Cause)
				defer endTimed()
				usual, endUsual := context.WithCancelCause(timed)
				if waits {
					c.Done()
				}
				if at, ok := c.Deadline(); c.Err() != nil || !ok || !at.Equal(limit.Until) {
					t.Errorf("%s: it begins with %v, until %v", name, c.Err(), at)
				}
				end(func(err error) { c.Cancel(err); endUsual(err) }, endParent)
				<-time.After(2 * time.Second)
				if !errors.Is(c.Err(), usual.Err()) {
					t.Errorf("%s, awaited %t: %v, not %v", name, waits, c.Err(), usual.Err())
				}
				if got, want := context.Cause(c), context.Cause(usual); !errors.Is(got, want) {
					t.Errorf("%s, awaited %t: its cause is %v, not %v", name, waits, got, want)
				}
				<-c.Done()
				c.Cancel(nil)
				endUsual(nil)
				endParent(nil)
			})
		}
	}
}

func TestTheEarlierLimitIsTheDeadline(t *testing.T) {
	now := time.Now()
	parent, end := context.WithDeadline(t.Context(), now.Add(time.Hour))
	defer end()
	for until, want := range map[time.Time]time.Time{now.Add(time.Minute): now.Add(time.Minute), now.Add(2 * time.Hour): now.Add(time.Hour)} {
		c := under(parent)
		c.Within(&cancel.Limit{Until: until, Cause: errLimit})
		if got, ok := c.Deadline(); !ok || !got.Equal(want) {
			t.Errorf("%v, not %v", got, want)
		}
	}
}

// One that has ended may be used again where nobody has waited for its end. Until then it tells that it has ended, and nothing
// of its parent.
func TestItIsUsedAgainWhereNobodyHasWaited(t *testing.T) {
	type key struct{}
	c := under(context.WithValue(t.Context(), key{}, "before"))
	if c.Leave() {
		t.Error("it has not ended")
	}
	c.Cancel(nil)
	if !c.Leave() {
		t.Fatal("nobody has waited")
	}
	if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), context.Canceled) || c.Value(key{}) != nil {
		t.Errorf("it has left: %v, %v", c.Err(), c.Value(key{}))
	}
	parent, end := context.WithCancelCause(context.WithValue(t.Context(), key{}, "after"))
	c.Again(parent)
	if c.Err() != nil || c.Value(key{}) != "after" {
		t.Errorf("used again it begins with %v, %v", c.Err(), c.Value(key{}))
	}
	end(errCause)
	<-c.Done()
	if !errors.Is(context.Cause(c), errCause) {
		t.Errorf("its cause is %v", context.Cause(c))
	}
	c.Cancel(nil)
	if c.Leave() {
		t.Error("somebody has waited")
	}
}

func TestWhoAsksWhileItEndsIsTold(t *testing.T) {
	for range 200 {
		c := under(t.Context())
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() { <-c.Done() })
		}
		asking.Go(func() { c.Cancel(nil) })
		asking.Wait()
		if !errors.Is(c.Err(), context.Canceled) {
			t.Fatal(c.Err())
		}
	}
}

func TestItCostsNoMoreThanItselfWhileNobodyWaits(t *testing.T) {
	parent, end := context.WithCancel(t.Context())
	defer end()
	limit := cancel.Limit{Until: time.Now().Add(time.Hour)}
	if n := testing.AllocsPerRun(100, func() {
		var c cancel.Context
		c.Under(parent)
		c.Within(&limit)
		_ = c.Err()
		c.Cancel(nil)
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

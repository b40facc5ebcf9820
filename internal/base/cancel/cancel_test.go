package cancel_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/cancel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errCause = errors.New("the reason")

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
	if n := testing.AllocsPerRun(100, func() {
		var c cancel.Context
		c.Under(parent)
		_ = c.Err()
		c.Cancel(nil)
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

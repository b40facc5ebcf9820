package discovery

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

func TestItRunsWhileItIsUsed(t *testing.T) {
	var running, starts atomic.Int64
	u := &Used{Run: func(ctx context.Context) {
		if running.Add(1) != 1 {
			t.Error("it runs twice")
		}
		starts.Add(1)
		<-ctx.Done()
		running.Add(-1)
	}}
	one := u.Use()
	other := u.Use()
	one()
	third := u.Use()
	other()
	third()
	if running.Load() != 0 || starts.Load() != 1 {
		t.Errorf("%d run after the last user, of %d starts", running.Load(), starts.Load())
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				u.Use()()
			}
		})
	}
	all.Wait()
	if running.Load() != 0 {
		t.Error("it runs for nobody")
	}
}

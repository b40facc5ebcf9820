package reconcile_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
)

// A client whose connection was made before an address is given up is answered:
// it may be sure that nobody looked at its request only where it was refused.
func TestConnectionsThatWereMadeBeforeTheEndAreServed(t *testing.T) {
	w := newWorld(t)
	kept := freeport.Address(t)
	for range 2 {
		gone := freeport.Address(t)
		w.apply("listen: [" + kept + ", " + gone + "]\n" + route + "respond:ok\n")
		var clients sync.WaitGroup
		var answers atomic.Int64
		for range 4 {
			client := newConnections(t)
			clients.Go(func() {
				for {
					got, err := get(client, "http://"+gone)
					if err == nil && got == "ok" {
						answers.Add(1)
						continue
					}
					if !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("after %d answers: %q, %v", answers.Load(), got, err)
					}
					return
				}
			})
		}
		await.That(t, "requests are answered", func() bool { return answers.Load() > 100 })
		w.apply("listen: " + kept + "\n" + route + "respond:ok\n")
		clients.Wait()
	}
}

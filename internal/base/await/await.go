// Package await is for tests: it waits for conditions and values, and collects text that a test reads while other
// goroutines write it.
package await

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for something that is going to happen: far longer than a busy machine needs,
// because a test is not there to measure its speed.
const Patience = 30 * time.Second

// That polls until condition holds, and ends the test if it does not within Patience; what describes the condition. It
// must be called on the test's goroutine.
func That(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline, tick := time.After(Patience), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Text collects what is written, by any number of goroutines. The zero value is empty.
type Text struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer and never fails.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buffer.Write(p)
}

// String returns what was written so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buffer.String()
}

// From returns the next value from c, and ends the test if there is none within Patience. A closed channel yields the
// zero value.
func From[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Patience):
		tb.Fatalf("not within %v: %s", Patience, what)
		panic("unreachable")
	}
}

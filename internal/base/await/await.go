// Package await is for tests: what they wait for, and text that they read while
// something else writes it.
package await

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what will come about: far longer than a
// busy machine needs, for a test is not there to judge how fast one is.
const Patience = 30 * time.Second

// That polls until condition holds, and ends the test where it does not within
// Patience; what names the condition. The goroutine of the test calls it.
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

// String is what was written so far.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buffer.String()
}

// From gives what comes from c, and ends the test where nothing does within Patience.
// A closed channel gives the zero value.
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

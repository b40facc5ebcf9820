// Package backoff determines how long to wait before a failed operation is tried again. The wait grows each time up to
// a bound, and is randomised where many callers may have failed together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Doubling is a pause that is First after the first failure in a row, and doubles with each further failure up to Most.
// It is a value without state, for callers that count failures themselves.
type Doubling struct{ First, Most time.Duration }

// After returns the pause after n failures in a row. It is First for n less than 1.
func (d Doubling) After(n int) time.Duration {
	pause := d.First
	for ; n > 1; n-- {
		if pause > d.Most/2 {
			return d.Most
		}
		pause *= 2
	}
	return min(pause, d.Most)
}

// Pauses are the pauses between the tries of one operation. They count the failures in a row, and begin with none. They
// are for one goroutine.
type Pauses struct {
	Doubling

	failures int
}

// New makes Pauses from first to most.
func New(first, most time.Duration) *Pauses {
	return &Pauses{Doubling: Doubling{First: first, Most: most}}
}

// Next records a failure, and returns the pause after it.
func (p *Pauses) Next() time.Duration {
	p.failures++
	return p.After(p.failures)
}

// Ended is Next for an operation that first worked for a while, such as a connection. If it worked for longer than the
// longest pause, earlier failures no longer count.
func (p *Pauses) Ended(began time.Time) time.Duration {
	if time.Since(began) > p.Most {
		p.Reset()
	}
	return p.Next()
}

// Reset records a success.
func (p *Pauses) Reset() { p.failures = 0 }

// Failing reports whether there was a failure since the last success.
func (p *Pauses) Failing() bool { return p.failures > 0 }

// Spread shortens a pause randomly, by at most half, so that callers that failed together do not try again together.
func Spread(d time.Duration) time.Duration {
	if d < 2 {
		return d
	}
	return d - rand.N(d/2+1) //nolint:gosec // chance decides, not a secret
}

// Wait waits for d. It returns false if ctx ends first.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

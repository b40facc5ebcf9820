// Package backoff is how long to wait before something that has failed is tried again: longer
// each time up to a bound, and spread by chance where many may have failed together.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Doubling is a pause that is First after the first failure in a row, and doubles with each further
// one up to Most. It is a value, and has no state: who counts failures elsewhere asks it.
type Doubling struct{ First, Most time.Duration }

// After gives the pause after n failures in a row; it is First for n less than 1.
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

// Pauses are those between the tries of one thing, with the failures in a row that led to them. They
// are for one goroutine, and begin with none.
type Pauses struct {
	Doubling

	failures int
}

// New makes pauses from first to most.
func New(first, most time.Duration) *Pauses {
	return &Pauses{Doubling: Doubling{First: first, Most: most}}
}

// Next notes a failure, and gives the pause after it.
func (p *Pauses) Next() time.Duration {
	p.failures++
	return p.After(p.failures)
}

// Ended is Next of something that went well for a while first, as a connection does: where that was
// longer than the longest pause, the failures of before count no more.
func (p *Pauses) Ended(began time.Time) time.Duration {
	if time.Since(began) > p.Most {
		p.Reset()
	}
	return p.Next()
}

// Reset notes that it went well.
func (p *Pauses) Reset() { p.failures = 0 }

// Failing tells whether there was a failure since it went well.
func (p *Pauses) Failing() bool { return p.failures > 0 }

// Spread makes a pause shorter by chance, by half of it at the most, so that those who have failed together
// do not try again together.
func Spread(d time.Duration) time.Duration {
	if d < 2 {
		return d
	}
	return d - rand.N(d/2+1) //nolint:gosec // chance decides, not a secret
}

// Wait waits for d, and tells whether ctx has let it.
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

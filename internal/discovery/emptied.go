package discovery

import (
	"cmp"
	"time"
)

// Emptied decides when it is believed that a source knows of no endpoints any more. Stores lose
// everything at once when it is they that are ill: leases that nobody could renew end together, a
// cluster is restored from a backup of yesterday, an agent starts before it has heard of anybody.
// Whoever asks endpoints that are really gone loses nothing by it, for without any there would
// be no answer either. The zero value has seen nothing yet, and is for one goroutine.
type Emptied struct {
	Doubt time.Duration // 0: EmptiedDoubt
	since time.Time
}

// EmptiedDoubt is how long a source must go on saying that there are none.
const EmptiedDoubt = 30 * time.Second

// Filled notes that there are endpoints.
func (e *Emptied) Filled() { e.since = time.Time{} }

// Doubted notes that there are none, and gives how much longer that is doubted; 0: it is so.
func (e *Emptied) Doubted(now time.Time) time.Duration {
	if e.since.IsZero() {
		e.since = now
	}
	return max(0, cmp.Or(e.Doubt, EmptiedDoubt)-now.Sub(e.since))
}

// Left is how much longer it is doubted, where it is, else 0.
func (e *Emptied) Left(now time.Time) time.Duration {
	if e.since.IsZero() {
		return 0
	}
	return e.Doubted(now)
}

package discovery

import (
	"cmp"
	"time"
)

// Emptied decides when to believe that a source no longer knows any endpoints. Stores lose everything at once when they
// themselves fail: leases that could not be renewed end together, a cluster is restored from yesterday's backup, an
// agent starts before it has received any instances. Asking endpoints that are really gone costs nothing, because
// without any endpoint there would be no answer either. The zero value has seen nothing yet, and is for one goroutine.
type Emptied struct {
	Doubt time.Duration // 0: EmptiedDoubt
	since time.Time
}

// EmptiedDoubt is how long a source must keep reporting that there are none.
const EmptiedDoubt = 30 * time.Second

// Filled notes that there are endpoints.
func (e *Emptied) Filled() { e.since = time.Time{} }

// Doubted notes that there are none, and returns how much longer that is doubted; 0: it is believed.
func (e *Emptied) Doubted(now time.Time) time.Duration {
	if e.since.IsZero() {
		e.since = now
	}
	return max(0, cmp.Or(e.Doubt, EmptiedDoubt)-now.Sub(e.since))
}

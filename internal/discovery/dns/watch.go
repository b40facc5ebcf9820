package dns

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/discovery"
)

// An absence is believed when it was reported this often, over this long a time, and when caches may no longer repeat
// it. Servers that restart, and zones that are being reloaded, report it of names that exist.
const (
	enoughAbsences = 3
	shortestDoubt  = 10 * time.Second
	longestDoubt   = time.Minute
)

// While lookups fail, or there is nothing, the name is looked up again after growing pauses.
const (
	firstPause    = time.Second
	longestPause  = 10 * time.Second // while lookups fail
	absencePauses = 5 * time.Second  // while the name is absent
)

// watch is one name, with what is believed about it.
type watch struct {
	name string

	known bool  // something is believed
	last  sight // what is believed; absent: certainly nothing
	due   time.Time
	// trouble is why the last lookup found nothing.
	trouble error

	failures, absences int
	certain            time.Time // until then an absence is not believed
}

// told records the result of a lookup.
func (w *watch) told(now time.Time, got sight, err error) {
	switch {
	case err != nil:
		w.failures++
		w.trouble = fmt.Errorf("%s: %w", w.name, err)
		w.due = now.Add(pauseAfter(w.failures, longestPause))
	case got.absent:
		w.failures = 0
		w.isAbsent(now, got)
	default:
		w.failures, w.absences, w.trouble = 0, 0, nil
		w.last, w.known = w.completed(got), true
		w.due = got.until.Add(spread(got.until.Sub(now)))
	}
}

func (w *watch) isAbsent(now time.Time, got sight) {
	if w.absences++; w.absences == 1 {
		w.certain = now.Add(min(max(got.doubt, shortestDoubt), longestDoubt))
	}
	if w.absences >= enoughAbsences && !now.Before(w.certain) {
		w.last, w.known = sight{absent: true}, true
	}
	w.trouble = fmt.Errorf("%s: %w", w.name, discovery.ErrAbsent)
	w.due = now.Add(pauseAfter(w.absences, absencePauses))
}

// completed adds the previous addresses of a family that could not be resolved.
func (w *watch) completed(got sight) sight {
	for _, a := range w.last.addrs {
		if slices.Contains(got.unseen, familyOf(a)) {
			got.addrs = append(got.addrs, a)
		}
	}
	return got
}

// pauseAfter returns the pause after n unsuccessful lookups.
func pauseAfter(n int, most time.Duration) time.Duration {
	pause := backoff.Doubling{First: firstPause, Most: most}.After(n)
	return pause + spread(pause)
}

// spread returns up to a tenth of d, so that names do not all come due at once.
func spread(d time.Duration) time.Duration {
	if d < 10 {
		return 0
	}
	return rand.N(d / 10) //nolint:gosec // chance decides, not a secret
}

package dns

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/discovery"
)

// That a name is absent is believed when it was said so often, over so long a time, and when
// what caches may repeat is over. Servers that restart, and zones that are loaded
// anew, say it of names that are well there.
const (
	enoughAbsences = 3
	shortestDoubt  = 10 * time.Second
	longestDoubt   = time.Minute
)

// While nobody can tell, or there is nothing, it is looked again after a pause that grows.
const (
	firstPause    = time.Second
	longestPause  = 10 * time.Second // while nobody can tell
	absencePauses = 5 * time.Second  // while it is absent
)

// watch is one name, with what is believed of it.
type watch struct {
	name string

	known bool  // there is something to believe
	last  sight // what is believed; absent: surely nothing
	due   time.Time
	// trouble is why the last look found nothing.
	trouble error

	failures, absences int
	certain            time.Time // until then an absence is not believed
}

// told takes what a look came to.
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

// completed adds to what was found the addresses of a family that nobody could be asked
// for: those it had before.
func (w *watch) completed(got sight) sight {
	for _, a := range w.last.addrs {
		if slices.Contains(got.unseen, familyOf(a)) {
			got.addrs = append(got.addrs, a)
		}
	}
	return got
}

// pauseAfter is the pause after n looks in vain.
func pauseAfter(n int, most time.Duration) time.Duration {
	pause := backoff.Doubling{First: firstPause, Most: most}.After(n)
	return pause + spread(pause)
}

// spread is up to a tenth more, so that names do not all come due at once.
func spread(d time.Duration) time.Duration {
	if d < 10 {
		return 0
	}
	return rand.N(d / 10) //nolint:gosec // chance decides, not a secret
}

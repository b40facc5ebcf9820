package health

import "time"

// State is the state of an endpoint according to its checks.
type State uint8

// The states.
const (
	// Starting: too few answers yet. One good answer makes it Healthy, and config.Health.Fall bad ones make it
	// Unhealthy.
	Starting State = iota
	Healthy
	Unhealthy
)

func (s State) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	default:
		return "starting"
	}
}

// The times of a judge that are not configurable.
const (
	fast = 500 * time.Millisecond // between two checks while the state is in doubt
	// startup is how long an endpoint that has never served is checked at the fast pace, because it may be about to
	// start.
	startup = time.Minute
	// longestProof bounds how long an endpoint that fails again and again must give good answers before it counts as
	// healthy. An endpoint that has stayed healthy for that long has its earlier failures forgotten.
	longestProof = 5 * time.Minute
)

// judge derives a state from answers. A judge of which only the first three fields are set has heard nothing.
type judge struct {
	rise, fall int
	every      time.Duration

	state  State
	served bool // it was healthy at some time
	streak int  // answers in a row that contradict the state
	falls  int  // consecutive falls to unhealthy, each soon after it was healthy again
	since  time.Time
	good   time.Time // when the streak of good answers began, while unhealthy

	doubts  int       // good answers in a row that are still needed to end a doubt
	assured time.Time // when the last doubt ended
}

// hear takes an answer that came at now, and reports whether the state changed or a doubt ended.
func (j *judge) hear(good bool, now time.Time) bool {
	if j.since.IsZero() {
		j.since = now
	}
	before := j.state
	switch {
	case j.state == Unhealthy && good:
		j.rises(now)
	case j.state == Starting && good:
		j.become(Healthy, now)
	case j.state == Unhealthy || good:
		j.streak = 0
	default:
		j.sinks(now)
	}
	over := j.doubts > 0 && j.reassures(good)
	if over {
		j.assured = now
	}
	return j.state != before || over
}

// doubt asks for checks at the fast pace until there are as many good answers in a row as make it healthy.
func (j *judge) doubt() { j.doubts = max(j.rise, 1) }

// reassures reports whether an answer ends the doubt.
func (j *judge) reassures(good bool) bool {
	if !good {
		j.doubt()
		return false
	}
	j.doubts--
	return j.doubts == 0
}

// rises counts a good answer of an unhealthy endpoint. An endpoint that has never served needs only one.
func (j *judge) rises(now time.Time) {
	if j.streak == 0 {
		j.good = now
	}
	j.streak++
	if !j.served || j.streak >= j.rise && now.Sub(j.good) >= j.proof() {
		j.become(Healthy, now)
	}
}

// sinks counts a bad answer of an endpoint that is not unhealthy yet.
func (j *judge) sinks(now time.Time) {
	if j.streak++; j.streak < j.fall {
		return
	}
	if j.served {
		if now.Sub(j.since) >= longestProof {
			j.falls = 0
		}
		j.falls++
	}
	j.become(Unhealthy, now)
}

func (j *judge) become(s State, now time.Time) {
	j.state, j.streak, j.since = s, 0, now
	j.served = j.served || s == Healthy
}

// proof returns for how long answers must have been good: the more often the endpoint has fallen recently, the longer.
// After a first fall, no time is required beyond the answers themselves.
func (j *judge) proof() time.Duration {
	if j.falls < 2 {
		return 0
	}
	const mostDoublings = 20 // far beyond the longest, without overflow
	return min(j.every<<min(j.falls-2, mostDoublings), longestProof)
}

// pause returns how long to wait until the next check; the caller adds the random spread.
func (j *judge) pause(now time.Time) time.Duration {
	inDoubt := j.state == Starting || j.doubts > 0 || j.streak > 0 && (j.state == Healthy || j.streak < j.rise) ||
		j.state == Unhealthy && !j.served && now.Sub(j.since) < startup
	if inDoubt {
		return min(fast, j.every)
	}
	return j.every
}

package health

import "time"

// State is what checks say of an endpoint.
type State uint8

// The states.
const (
	// Starting: too little was heard yet. One good answer makes it Healthy, and as many
	// bad ones as config.Health.Fall make it Unhealthy.
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

// The times of a judge that no config says.
const (
	fast = 500 * time.Millisecond // between two checks while it is in doubt how it stands
	// startup is how long what never served is asked fast, for it may be about to.
	startup = time.Minute
	// longestProof is how long what falls again and again must have been good before it
	// counts as healthy, and how long it must stay so until that is forgotten.
	longestProof = 5 * time.Minute
)

// judge makes a state of answers. The zero value but for its first three fields has heard nothing.
type judge struct {
	rise, fall int
	every      time.Duration

	state  State
	served bool // it was healthy once
	streak int  // answers in a row that speak against the state
	falls  int  // one after the other, each soon after it was healthy again
	since  time.Time
	good   time.Time // when the streak of good answers began, while unhealthy

	doubts  int       // good answers in a row that are wanted yet by whoever has a doubt
	assured time.Time // when the last doubt was over
}

// hear takes an answer of now, and tells whether the state changed or a doubt is over.
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

// doubt has it asked fast until it was good as often in a row as makes it healthy.
func (j *judge) doubt() { j.doubts = max(j.rise, 1) }

// reassures tells whether an answer ends the doubt.
func (j *judge) reassures(good bool) bool {
	if !good {
		j.doubt()
		return false
	}
	j.doubts--
	return j.doubts == 0
}

// rises counts a good answer of what is unhealthy. What never served needs one.
func (j *judge) rises(now time.Time) {
	if j.streak == 0 {
		j.good = now
	}
	j.streak++
	if !j.served || j.streak >= j.rise && now.Sub(j.good) >= j.proof() {
		j.become(Healthy, now)
	}
}

// sinks counts a bad answer of what is not unhealthy yet.
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

// proof is how long good answers must have come in: the more often it fell lately, the
// longer. A first fall costs nothing but the answers themselves.
func (j *judge) proof() time.Duration {
	if j.falls < 2 {
		return 0
	}
	const mostDoublings = 20 // far beyond the longest, and no overflow
	return min(j.every<<min(j.falls-2, mostDoublings), longestProof)
}

// pause is how long until the next question; the caller spreads it.
func (j *judge) pause(now time.Time) time.Duration {
	inDoubt := j.state == Starting || j.doubts > 0 || j.streak > 0 && (j.state == Healthy || j.streak < j.rise) ||
		j.state == Unhealthy && !j.served && now.Sub(j.since) < startup
	if inDoubt {
		return min(fast, j.every)
	}
	return j.every
}

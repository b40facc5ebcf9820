package pool

import "time"

// steps are the parts of the window in which demand is remembered.
const steps = 6

// demand remembers how many instances were needed at once within a window, which
// is as long as an unused instance lives. So what it says is needed has not ended
// unless something was wrong with it, and nothing that has ended unused is started
// again.
type demand struct {
	window time.Duration
	begin  time.Time
	peaks  [steps]int // of the latest steps, by their number modulo steps
	latest int64      // the number of the latest step
	ends   int        // instances that may still end unused in the latest step
}

func newDemand(window time.Duration, now time.Time) demand {
	return demand{window: window, begin: now}
}

// turn goes on to the step of now; alive is how many instances there are at its begin.
func (d *demand) turn(now time.Time, alive int) {
	step := int64(now.Sub(d.begin) / d.step())
	if step == d.latest {
		return
	}
	for passed := max(d.latest+1, step-steps+1); passed <= step; passed++ {
		d.peaks[passed%steps] = 0
	}
	d.latest, d.ends = step, (alive+1)/2
}

func (d *demand) step() time.Duration { return max(d.window/steps, time.Millisecond) }

// note says that n instances are needed now.
func (d *demand) note(n int) {
	at := d.latest % steps
	d.peaks[at] = max(d.peaks[at], n)
}

// peak is how many were needed at once.
func (d *demand) peak() int {
	most := 0
	for _, n := range d.peaks {
		most = max(most, n)
	}
	return most
}

// next is when another step begins.
func (d *demand) next(now time.Time) time.Duration {
	return d.begin.Add(time.Duration(d.latest+1) * d.step()).Sub(now)
}

package pool

import "time"

// steps is the number of parts of the window in which demand is remembered.
const steps = 6

// demand remembers how many instances were needed at once within a window, which is as long as an unused instance
// lives. So an instance that demand says is needed has not ended, unless something was wrong with it, and no instance
// that ended unused is started again.
type demand struct {
	window time.Duration
	begin  time.Time
	peaks  [steps]int // of the latest steps, by their number modulo steps
	latest int64      // the number of the latest step
	ends   int        // instances that may still end as unused in the latest step
}

func newDemand(window time.Duration, now time.Time) demand {
	return demand{window: window, begin: now}
}

// turn advances to the step of now; alive is how many instances there are at its beginning.
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

// note records that n instances are needed now.
func (d *demand) note(n int) {
	at := d.latest % steps
	d.peaks[at] = max(d.peaks[at], n)
}

// peak is the largest number of instances that were needed at once.
func (d *demand) peak() int {
	most := 0
	for _, n := range d.peaks {
		most = max(most, n)
	}
	return most
}

// next returns how long it is until the next step begins.
func (d *demand) next(now time.Time) time.Duration {
	return d.begin.Add(time.Duration(d.latest+1) * d.step()).Sub(now)
}

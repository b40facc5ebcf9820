package balance

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// decay is after how long what was seen of an endpoint counts for 1/e. It is Finagle's.
	decay = 10 * time.Second
	// failed is what a failure counts for at least. It need only be much longer than an
	// answer takes; where answers take long themselves, three times what the endpoint was
	// believed to take, which after a few failures is more than any other takes.
	failed = 500 * time.Millisecond
	grows  = 3
	// longest is the most that anything counts for, so that nobody is forgotten for ever.
	longest = time.Minute
	// least is what nothing takes less than: below that the machine's own unrest is measured,
	// and requests in flight tell more.
	least = float32(time.Millisecond)
)

// tick is the unit in which latency keeps time, about a millisecond: 32 bits of it are 52 days.
const tick = 20 // bits of a nanosecond count

// latency is a duration that was seen and when, in one word, so that both are read and
// changed together: nanoseconds as a float32 above ticks. 0: nothing was seen.
type latency struct{ word atomic.Uint64 }

func pack(v float32, at uint32) uint64 { return uint64(math.Float32bits(v))<<32 | uint64(at) }

func unpack(word uint64) (v float32, at uint32) {
	return math.Float32frombits(uint32(word >> 32)), uint32(word)
}

func ticks(now int64) uint32 { return uint32(now >> tick) }

// fades are the powers of two below 1, by 32nds.
var fades = func() (list [32]float32) {
	for i := range list {
		list[i] = float32(math.Exp2(-float64(i) / 32))
	}
	return list
}()

// halfLife is that of decay, in ticks.
const halfLife = uint64(decay) * 693 / 1000 >> tick

// fade gives what is left of 1 from one moment to another: exp(-time/decay), by table, for
// it stands in the innermost loop.
func fade(from, to uint32) float32 {
	apart := to - from
	if apart == 0 || apart > math.MaxInt32 { // the same tick, or another core's clock was a little ahead
		return 1
	}
	steps := uint64(apart) * 32 / halfLife
	if steps >= 64*32 {
		return 0
	}
	return fades[steps%32] / float32(uint64(1)<<(steps/32))
}

// at gives the latency to reckon with now: what was seen, going over into what is usual the
// longer nobody looks. An endpoint that was slow is asked again, and one that was not asked
// gets no better by that.
func (l *latency) at(now int64, usual float32) float32 {
	word := l.word.Load()
	if word == 0 {
		return max(usual, least)
	}
	v, at := unpack(word)
	return max(usual+(v-usual)*fade(at, ticks(now)), least)
}

// saw takes an answer in at a tick: at once where it is longer than what was believed (the peak of
// peak-EWMA), else bit by bit.
func (l *latency) saw(at uint32, took, usual float32) {
	for {
		word, v := l.word.Load(), took
		if word != 0 {
			believed, seen := unpack(word)
			if left := fade(seen, at); took < usual+(believed-usual)*left {
				v = believed*left + took*(1-left)
			}
		}
		if l.replace(word, v, at) {
			return
		}
	}
}

// failed takes a failure in.
func (l *latency) failed(at uint32, took float32) {
	for {
		word, v := l.word.Load(), max(took, float32(failed))
		if word != 0 {
			believed, seen := unpack(word)
			v = max(v, grows*believed*fade(seen, at))
		}
		if l.replace(word, v, at) {
			return
		}
	}
}

// lasted takes in what went on for at least as long.
func (l *latency) lasted(now int64, took, usual float32) {
	if took > l.at(now, usual) {
		l.saw(ticks(now), took, usual)
	}
}

// replace puts v in the place of what was believed, unless somebody else was faster.
func (l *latency) replace(word uint64, v float32, at uint32) bool {
	switch {
	case v < least:
		v = least
	case v > float32(longest):
		v = float32(longest)
	}
	return l.word.CompareAndSwap(word, pack(v, at))
}

// average takes an answer of anybody in, at most one a tick: all cores would else meet here.
func (l *latency) average(at uint32, took float32) {
	word := l.word.Load()
	v, seen := unpack(word)
	if word != 0 {
		if seen == at {
			return
		}
		left := fade(seen, at)
		took = v*left + took*(1-left)
	}
	l.word.CompareAndSwap(word, pack(max(took, least), at)) // where another was first, one answer is not missed
}

// seen gives the last value that was taken in, 0 for none.
func (l *latency) seen() float32 {
	v, _ := unpack(l.word.Load())
	return v
}

package balance

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// decay is the time after which an observation counts for 1/e. The value is Finagle's.
	decay = 10 * time.Second
	// failed is the least that a failure counts for. It need only be much longer than an answer takes. If answers take
	// long themselves, a failure counts for `grows` times what the endpoint was believed to take, which after a few
	// failures exceeds any other endpoint.
	failed = 500 * time.Millisecond
	grows  = 3
	// longest is the most that anything counts for, so that no endpoint is avoided for ever.
	longest = time.Minute
	// least is the lower bound of every latency. Below it, the measurements are noise of the machine, and requests in
	// flight say more.
	least = float32(time.Millisecond)
)

// tick is the unit in which latency keeps time, about a millisecond: 32 bits of it are 52 days.
const tick = 20 // a nanosecond count is shifted right by this many bits

// latency is a duration and when it was observed, in one word, so that both are read and changed together: nanoseconds
// as a float32 in the upper half, ticks in the lower. 0: nothing was observed.
type latency struct{ word atomic.Uint64 }

func pack(v float32, at uint32) uint64 { return uint64(math.Float32bits(v))<<32 | uint64(at) }

func unpack(word uint64) (v float32, at uint32) {
	return math.Float32frombits(uint32(word >> 32)), uint32(word)
}

func ticks(now int64) uint32 { return uint32(now >> tick) }

// fades holds 2^(-i/32) at each index i.
var fades = func() (list [32]float32) {
	for i := range list {
		list[i] = float32(math.Exp2(-float64(i) / 32))
	}
	return list
}()

// halfLife is the half-life that corresponds to decay, in ticks.
const halfLife = uint64(decay) * 693 / 1000 >> tick

// fade returns what is left of 1 from one moment to another: exp(-time/decay). It uses a table because it runs in the
// innermost loop.
func fade(from, to uint32) float32 {
	apart := to - from
	if apart == 0 || apart > math.MaxInt32 { // the same tick, or the clock of another core was slightly ahead
		return 1
	}
	steps := uint64(apart) * 32 / halfLife
	if steps >= 64*32 {
		return 0
	}
	return fades[steps%32] / float32(uint64(1)<<(steps/32))
}

// at returns the latency to use now: what was observed, moving towards what is usual the longer the endpoint is not
// asked. So an endpoint that was slow is asked again, and no endpoint looks faster merely because it was not asked.
func (l *latency) at(now int64, usual float32) float32 {
	word := l.word.Load()
	if word == 0 {
		return max(usual, least)
	}
	v, at := unpack(word)
	return max(usual+(v-usual)*fade(at, ticks(now)), least)
}

// saw takes in an answer at a tick: at once if it took longer than was believed (the peak in peak-EWMA), otherwise
// gradually.
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

// failed takes in a failure.
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

// lasted takes in a request that went on for at least `took`.
func (l *latency) lasted(now int64, took, usual float32) {
	if took > l.at(now, usual) {
		l.saw(ticks(now), took, usual)
	}
}

// replace stores v in place of what was believed, unless another goroutine was faster.
func (l *latency) replace(word uint64, v float32, at uint32) bool {
	switch {
	case v < least:
		v = least
	case v > float32(longest):
		v = float32(longest)
	}
	return l.word.CompareAndSwap(word, pack(v, at))
}

// average takes in an answer of any endpoint, at most one per tick: otherwise all cores would contend for this word.
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
	l.word.CompareAndSwap(word, pack(max(took, least), at)) // if another was first, this one is lost, which is harmless
}

// seen returns the last stored value, or 0 if there is none.
func (l *latency) seen() float32 {
	v, _ := unpack(l.word.Load())
	return v
}

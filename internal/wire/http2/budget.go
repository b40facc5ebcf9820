package http2

import (
	"slices"
	"sync/atomic"
	"time"
)

// Every frame that may cause useless work has a price; useful work pays. If a client owes more than the allowance, its
// connection ends.
//
// The prices are such that no client that sends requests and accepts the responses stays in debt for long. A request
// that reaches a handler pays most of its price. A request that is served pays for itself, for a CONTINUATION or two,
// and for three requests that were cancelled. Each further piece of a response pays for the two small WINDOW_UPDATEs
// that some clients send for it; content in either direction pays by its size. What the server answers by itself,
// without a handler, pays nothing. A surplus is saved for later, up to one more allowance, because WINDOW_UPDATEs
// arrive after the content that they are for. Time pays too, so that an occasional ping never adds up.
const (
	allowance = 1000
	perSecond = 20

	forBeginning = 3 // a request that reached a handler
	forServing   = 8 // a request that was served
	forPiece     = 2 // each piece of a response after the first, as its handler wrote it
	leastPiece   = 5 // minimum size of a piece in bytes: an empty gRPC message
	forContent   = 1 // each contentBytes of content, in either direction
	contentBytes = 1 << 10
)

// prices of frames. Frames without a price are free.
var prices = [reasons]int64{
	Resets:         1, // in addition to the price of the request
	ForcedResets:   2,
	Continuations:  1,
	Pings:          1,
	SettingsFrames: 4, // each must be acknowledged, and may affect every stream
	EmptyData:      1,
	Priorities:     1,
	WindowUpdates:  1, // that grant little, or more than was sent
	OtherFrames:    1,
	Requests:       4,
	AfterGoAway:    1,
}

// budget is what one client owes. It belongs to the goroutine that reads, except for pay and force, which any goroutine
// may call.
type budget struct {
	debt    int64 // below 0: paid in advance
	content uint32
	counts  [reasons]uint32 // recent
	last    time.Time       // of the last reckoning

	paid   atomic.Int64
	forced atomic.Int64 // resets that the server had to send and that have not been charged yet
}

// charge records n frames and reports whether the budget is spent.
func (b *budget) charge(r Reason, n int64) (spent bool) {
	b.counts[r] += uint32(n)
	b.debt += n * prices[r]
	return b.debt >= allowance && b.reckon()
}

// chargeForced charges the resets that force has recorded.
func (b *budget) chargeForced() (spent bool) {
	return b.forced.Load() > 0 && b.charge(ForcedResets, b.forced.Swap(0))
}

// received pays for n bytes of content from the client.
func (b *budget) received(n uint32) {
	if b.content += n; b.content >= contentBytes {
		b.credit(int64(b.content/contentBytes) * forContent)
		b.content %= contentBytes
	}
}

// pay records useful work. It takes effect at the next reckoning.
func (b *budget) pay(n int64) { b.paid.Add(n) }

// force records that the server had to reset a stream.
func (b *budget) force() { b.forced.Add(1) }

func (b *budget) credit(n int64) { b.debt = max(b.debt-n, -allowance) }

// reckon subtracts the payments from the debt, and reports whether the debt is still too large. Only here is the clock
// read.
func (b *budget) reckon() (spent bool) {
	now := time.Now()
	b.credit(b.paid.Swap(0) + int64(now.Sub(b.last)*perSecond/time.Second))
	b.last = now
	if b.debt >= allowance {
		return true
	}
	for r := range b.counts {
		b.counts[r] /= 2 // what was long ago says little
	}
	return false
}

// reason returns the first kind of frame that occurred at least half as often as the most frequent one, because some
// kinds occur together, such as requests and their resets.
func (b *budget) reason() Reason {
	most := slices.Max(b.counts[:])
	for r, n := range b.counts {
		if 2*n >= most {
			return Reason(r)
		}
	}
	return None
}

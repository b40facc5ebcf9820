package http2

import (
	"slices"
	"sync/atomic"
	"time"
)

// Every frame that may be work for nothing has a price; useful work pays. What a
// client owes beyond the allowance ends its connection.
//
// The prices are such that no client that asks for something and takes it owes
// anything for long. A request that comes as far as a handler pays most of its
// price, and one that was served pays for itself, for a CONTINUATION or two, and for
// three that were taken back. Each further piece of a response pays for the two
// small WINDOW_UPDATEs that some clients send for it; content in either direction by
// its size. What the server answers by itself, without a handler, pays nothing. What is
// left over pays for later, up to one more allowance, for WINDOW_UPDATEs come after
// what they are for. Time pays too, so that a ping now and then never adds up.
const (
	allowance = 1000
	perSecond = 20

	forBeginning = 3 // a request that came as far as a handler
	forServing   = 8 // a request that was served
	forPiece     = 2 // a piece of a response but the first, as its handler wrote it
	leastPiece   = 5 // bytes that make one: an empty gRPC message
	forContent   = 1 // each contentBytes of content, either way
	contentBytes = 1 << 10
)

// prices of frames. What has none here is free.
var prices = [reasons]int64{
	Resets:         1, // beside that of the request
	ForcedResets:   2,
	Continuations:  1,
	Pings:          1,
	SettingsFrames: 4, // each is acknowledged, and may change every stream
	EmptyData:      1,
	Priorities:     1,
	WindowUpdates:  1, // that grant little, or more than was taken
	OtherFrames:    1,
	Requests:       4,
	AfterGoAway:    1,
}

// budget is what one client owes. It belongs to the goroutine that reads, but for
// pay and force, which may be called by any.
type budget struct {
	debt    int64 // less than 0: paid in advance
	content uint32
	counts  [reasons]uint32 // of late
	last    time.Time       // when that was

	paid   atomic.Int64
	forced atomic.Int64 // resets that the server had to send and that are not charged yet
}

// charge notes n frames and tells whether the budget is spent.
func (b *budget) charge(r Reason, n int64) (spent bool) {
	b.counts[r] += uint32(n)
	b.debt += n * prices[r]
	return b.debt >= allowance && b.reckon()
}

// chargeForced charges what force has noted.
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

// pay notes useful work. It counts at the next reckoning.
func (b *budget) pay(n int64) { b.paid.Add(n) }

// force notes that the server had to reset a stream.
func (b *budget) force() { b.forced.Add(1) }

func (b *budget) credit(n int64) { b.debt = max(b.debt-n, -allowance) }

// reckon takes off the debt what was paid, and tells whether it is still too large.
// The clock is only looked at here.
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

// reason is what there was most of: of kinds that come together, as requests and
// their resets do, the first.
func (b *budget) reason() Reason {
	most := slices.Max(b.counts[:])
	for r, n := range b.counts {
		if 2*n >= most {
			return Reason(r)
		}
	}
	return None
}

package limit

import (
	"sync/atomic"
	"time"
)

// Store decides whether what was counted leaves room for a request. It is safe for
// concurrent use.
type Store interface {
	// Take asks for all of takes at once and writes into each what came of it. Where
	// none of those that bind is refused, those that have room are charged, else
	// nothing is. A store that cannot do this in one step charges those before the
	// one that refused. With charge false nothing is charged in any case.
	// An error means that nothing could be decided.
	Take(takes []Take, charge bool) error
}

// Take is what one limit is asked for.
type Take struct {
	Counter *Counter
	Key     []byte // the store keeps no reference to it
	Rate    Rate
	Cost    int64 // not negative
	// Advisory marks a limit that refuses nothing: it is charged for itself.
	Advisory bool

	// What came of it:
	Room bool          // there was room for Cost
	Left int64         // how much more is there now, at most Rate.Burst
	Wait time.Duration // until there is room for Cost; 0 where there was, Never where there never is
	Full time.Duration // until all of Rate.Burst is there

	hash  uint64
	shard *shard
	place *slot
	known bool
}

// Never is a Wait without an end: the cost is more than the burst.
const Never time.Duration = -1

// Counter is what a limit has counted, by key. It lives on across reloads, and
// several limits may share it.
type Counter struct {
	ID    string // says which; another process that counts with this one knows it by it
	table *table

	told, toldAt atomic.Int64 // how many forgotten keys the log was told of, and when
}

// toTell gives how many keys were forgotten since the log was told of some, at most
// once a minute.
func (c *Counter) toTell(now time.Time) (int64, bool) {
	const every = int64(time.Minute)
	n := c.table.forgotten.Load()
	if n == c.told.Load() {
		return 0, false
	}
	last := c.toldAt.Load()
	if now.UnixNano()-last < every || !c.toldAt.CompareAndSwap(last, now.UnixNano()) {
		return 0, false
	}
	return n - c.told.Swap(n), true
}

// newCounter makes one that has counted nothing.
func newCounter(id string, keys int) *Counter {
	return &Counter{ID: id, table: newTable(tables.Add(1), keys)}
}

// tables numbers the tables of this process, so that several are locked in one order.
var tables atomic.Uint64

// local is the store of this process.
type local struct{ now func() int64 }

// newLocal makes a store over the process's steady clock.
func newLocal() *local {
	begin := time.Now()
	return &local{now: func() int64 { return int64(time.Since(begin)) + 1 }} // 0 is what an empty slot has
}

// Take implements Store, in one step for all of takes. No two of them may have the
// same counter.
func (l *local) Take(takes []Take, charge bool) error {
	for i := range takes {
		t := &takes[i]
		t.hash = t.Counter.table.hash(t.Key)
		t.shard = t.Counter.table.shardOf(t.hash)
	}
	lock(takes)
	now := l.now() // after the locks: a clock that was read before could be behind what was written since
	room := true
	for i := range takes {
		takes[i].look(now)
		room = room && (takes[i].Room || takes[i].Advisory)
	}
	for i := range takes {
		if t := &takes[i]; charge && room && t.Room {
			t.charge(now)
		}
	}
	for i := range takes {
		takes[i].shard.mu.Unlock()
		takes[i].shard, takes[i].place = nil, nil
	}
	return nil
}

// lock locks the shards of takes in the order of their tables, which is the same
// for everybody, so that no two wait for each other.
func lock(takes []Take) {
	for done := uint64(0); ; {
		var next *Take
		for i := range takes {
			number := takes[i].Counter.table.number
			if number > done && (next == nil || number < next.Counter.table.number) {
				next = &takes[i]
			}
		}
		if next == nil {
			return
		}
		next.shard.mu.Lock()
		done = next.Counter.table.number
	}
}

// look decides by the generic cell rate algorithm (ITU-T I.371, as virtual
// scheduling): a bucket that is full again at a time is short of one request for
// each interval until then.
func (t *Take) look(now int64) {
	t.place, t.known = t.shard.find(t.hash, now)
	interval, full := t.Rate.interval(), t.Rate.full()
	short := int64(0)
	if t.known {
		short = min(t.place.full-now, full) // less than before where the rate was changed
	}
	t.Left, t.Full, t.Wait = (full-short)/interval, time.Duration(short), 0
	switch {
	case t.Cost > t.Rate.Burst:
		t.Room, t.Wait = false, Never
	default:
		t.Wait = time.Duration(max(0, short+t.Cost*interval-full))
		t.Room = t.Wait == 0
	}
}

// charge writes that the cost was taken.
func (t *Take) charge(now int64) {
	interval, full := t.Rate.interval(), t.Rate.full()
	short := int64(t.Full) + t.Cost*interval
	t.Left, t.Full = (full-short)/interval, time.Duration(short)
	if t.Cost > 0 {
		t.Counter.table.write(t.shard, t.place, t.known, slot{t.hash, now + short}, now)
	}
}

package limit

import (
	"sync/atomic"
	"time"
)

// Store decides whether the counts leave room for a request. It is safe for concurrent use.
type Store interface {
	// Take decides all takes at once and writes the result into each of them. If no binding take is refused, those that
	// have room are charged; otherwise none is. A store that cannot do this in one step charges the takes before the
	// one that was refused. If charge is false, nothing is charged in any case. An error means that nothing could be
	// decided.
	Take(takes []Take, charge bool) error
}

// Take is what one limit is asked for.
type Take struct {
	Counter *Counter
	Key     []byte // the store keeps no reference to it
	Rate    Rate
	Cost    int64 // not negative
	// Advisory marks a limit that refuses nothing: its own room alone decides whether it is charged.
	Advisory bool

	// The results:
	Room bool          // there was room for Cost
	Left int64         // how much more there is room for now, at most Rate.Burst
	Wait time.Duration // until there is room for Cost; 0 if there was, Never if there never is
	Full time.Duration // until all of Rate.Burst is available

	hash  uint64
	shard *shard
	place *slot
	known bool
}

// Never is an infinite Wait: the cost is more than the burst.
const Never time.Duration = -1

// Counter is what a limit has counted, by key. It survives reloads, and several limits may share it.
type Counter struct {
	ID    string // identifies it, also to another process that counts with this one
	table *table

	told, toldAt atomic.Int64 // how many forgotten keys were logged, and when
}

// toTell returns how many keys were forgotten since they were last logged, at most once a minute.
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

// newCounter makes a counter that has counted nothing.
func newCounter(id string, keys int) *Counter {
	return &Counter{ID: id, table: newTable(tables.Add(1), keys)}
}

// tables numbers the tables of this process, to define the order in which they are locked.
var tables atomic.Uint64

// local is the store of this process.
type local struct{ now func() int64 }

// newLocal makes a store that uses the process's monotonic clock.
func newLocal() *local {
	begin := time.Now()
	return &local{now: func() int64 { return int64(time.Since(begin)) + 1 }} // 0 is the value of an empty slot
}

// Take implements Store, in one step for all takes. No two of them may have the same counter.
func (l *local) Take(takes []Take, charge bool) error {
	for i := range takes {
		t := &takes[i]
		t.hash = t.Counter.table.hash(t.Key)
		t.shard = t.Counter.table.shardOf(t.hash)
	}
	lock(takes)
	now := l.now() // read after locking: an earlier reading could be older than what was written since
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

// lock locks the shards of takes in the order of their tables. The order is the same for all callers, so no two wait
// for each other.
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

// look decides by the generic cell rate algorithm (ITU-T I.371, as virtual scheduling): a bucket lacks one request for
// each interval until the time when it is full again.
func (t *Take) look(now int64) {
	t.place, t.known = t.shard.find(t.hash, now)
	interval, full := t.Rate.interval(), t.Rate.full()
	short := int64(0)
	if t.known {
		short = min(t.place.full-now, full) // less than before if the rate was changed
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

// charge records that the cost was taken.
func (t *Take) charge(now int64) {
	interval, full := t.Rate.interval(), t.Rate.full()
	short := int64(t.Full) + t.Cost*interval
	t.Left, t.Full = (full-short)/interval, time.Duration(short)
	if t.Cost > 0 {
		t.Counter.table.write(t.shard, t.place, t.known, slot{t.hash, now + short}, now)
	}
}

package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A table remembers for each key when its bucket is full again, in sixteen bytes per key and never for more than a
// fixed number of keys. A key whose bucket is full again need not be remembered: it is equivalent to a key that was
// never used, and its slot is free.
//
// Each key can be stored in two buckets of eight slots (Azar et al., "Balanced Allocations": choosing the emptier of
// two keeps them all evenly filled), so that a look-up reads at most four cache lines. While both buckets of a key are
// full of keys that still count, the shard grows, up to its maximum size. From then on, a new key replaces the one that
// is nearest to full. A client that floods a table with new keys therefore replaces its own keys, each of which was
// used once, and never keys that are at their limit. If all slots of both buckets are at their limit, the one that
// would be free first is forgotten: a table that is too small errs on the side of letting requests pass.

const (
	shardBits = 5
	shards    = 1 << shardBits
	ways      = 8 // slots of a bucket: two cache lines
	slotBytes = 16

	// defaultKeys is how many keys a limit tracks separately by default: 16 MiB.
	defaultKeys = 1 << 20
	// leastKeys fills every shard with its two smallest buckets.
	leastKeys = shards * ways * 2
	mostKeys  = 1 << 26
)

// slot is one key, by its hash. It is free if full is not after now.
type slot struct {
	hash uint64
	full int64 // when the key's bucket is full again, by the store's clock
}

// bucket is a set of slots that are searched together.
type bucket [ways]slot

// shard is a part of a table, with a lock of its own.
type shard struct {
	mu      sync.Mutex
	buckets []bucket // a power of two in number, nil until the first key
	news    int      // keys written since tidy last looked at what is free
	most    int      // the maximum number of buckets

	_ [16]byte // padding to the end of the cache line
}

// table is safe for concurrent use: its user holds the lock of each shard.
type table struct {
	seed   maphash.Seed
	number uint64 // defines the order in which tables are locked
	shards [shards]shard
	// forgotten counts the keys that were replaced although they still counted.
	forgotten atomic.Int64
}

// newTable makes an empty table for about that many keys.
func newTable(number uint64, keys int) *table {
	t := &table{seed: maphash.MakeSeed(), number: number}
	most := 2
	for most*ways*shards < min(max(keys, leastKeys), mostKeys) {
		most *= 2
	}
	for i := range t.shards {
		t.shards[i].most = most
	}
	return t
}

// hash returns a key's hash. Clients cannot predict it, because the seed is specific to this process.
func (t *table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

// shardOf returns the shard of a hash.
func (t *table) shardOf(hash uint64) *shard { return &t.shards[shardOf(hash)] }

// shardOf returns the shard number of a hash: its topmost bits, which are not used to choose a bucket.
func shardOf(hash uint64) uint64 { return hash >> (64 - shardBits) }

// bytes is the memory of the slots.
func (t *table) bytes() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.buckets) * ways * slotBytes
		s.mu.Unlock()
	}
	return n
}

// find returns the slot for a hash, and whether it already belongs to that key. Otherwise the slot is free, or holds
// the key to replace. The pointer is valid until the lock is released. The shard's lock must be held.
func (s *shard) find(hash uint64, now int64) (place *slot, known bool) {
	if s.buckets == nil {
		s.buckets = make([]bucket, 2)
	}
	s.tidy(now)
	for {
		place, known = s.look(hash, now)
		if known || place.full <= now || len(s.buckets) >= s.most {
			return place, known
		}
		s.resize(len(s.buckets)*2, now)
	}
}

// pair returns the two buckets of a hash.
func (s *shard) pair(hash uint64) (first, second *bucket) {
	mask := uint64(len(s.buckets) - 1)
	return &s.buckets[hash&mask], &s.buckets[(hash>>28)&mask]
}

// look searches both buckets of a hash. If the key is not there, it returns the best place for it: a free slot of the
// bucket that has more of them, else the slot that will be free first.
func (s *shard) look(hash uint64, now int64) (place *slot, known bool) {
	first, second := s.pair(hash)
	var soonest *slot
	var free [2]*slot
	var count [2]int
	for i, b := range [2]*bucket{first, second} {
		for j := range b {
			switch e := &b[j]; {
			case e.hash == hash && e.full > now:
				return e, true
			case e.full <= now:
				free[i], count[i] = e, count[i]+1
			case soonest == nil || e.full < soonest.full:
				soonest = e
			}
		}
	}
	switch {
	case count[0] == 0 && count[1] == 0:
		return soonest, false
	case count[0] >= count[1]:
		return free[0], false
	default:
		return free[1], false
	}
}

// tidy shrinks the shard if most of it is free. It runs only after as many new keys as the shard has slots, so that its
// cost per key is small.
func (s *shard) tidy(now int64) {
	if s.news < len(s.buckets)*ways {
		return
	}
	s.news = 0
	size := len(s.buckets)
	for live := s.live(now); size > 2 && live*8 < size*ways; {
		size /= 2
	}
	if size < len(s.buckets) {
		s.resize(size, now)
	}
}

// live counts the slots that are not free.
func (s *shard) live(now int64) int {
	n := 0
	for i := range s.buckets {
		for j := range s.buckets[i] {
			if s.buckets[i][j].full > now {
				n++
			}
		}
	}
	return n
}

// resize moves the keys that still count into a new array of size buckets.
func (s *shard) resize(size int, now int64) {
	old := s.buckets
	s.buckets = make([]bucket, size)
	for i := range old {
		for _, e := range old[i] {
			if e.full <= now {
				continue
			}
			if place, _ := s.look(e.hash, now); place.full < e.full { // free, or full again sooner
				*place = e
			}
		}
	}
}

// write puts a key into the slot that find returned for it.
func (t *table) write(s *shard, place *slot, known bool, e slot, now int64) {
	if !known {
		s.news++
		if place.full > now {
			t.forgotten.Add(1)
		}
	}
	*place = e
}

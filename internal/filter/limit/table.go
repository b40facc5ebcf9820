package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A table remembers for each key when its bucket is full again, in sixteen bytes a
// key and never more than a fixed number of keys. A key whose bucket is full again
// needs no remembering: it is as good as one that never came, and its slot is free.
//
// Each key has two buckets of eight slots to stand in (Azar et al., "Balanced
// Allocations": the emptier of two keeps them all evenly filled), so that a look-up
// reads at most four cache lines. A shard grows while both buckets of a key are
// taken by keys that still count, up to its size; from then on the key is replaced
// that is nearest to full. Whoever floods a table with new keys so replaces its own
// ones, each of which has asked once, and never those that are at their limit.
// Where all slots of both buckets are at their limit, the one that would be free
// first is forgotten: a table that is too small errs to the side of letting pass.

const (
	shardBits = 5
	shards    = 1 << shardBits
	ways      = 8 // slots of a bucket: two cache lines
	slotBytes = 16

	// defaultKeys is how many keys a limit keeps apart unless told: 16 MiB.
	defaultKeys = 1 << 20
	// leastKeys fills every shard with its two smallest buckets.
	leastKeys = shards * ways * 2
	mostKeys  = 1 << 26
)

// slot is one key by its hash. It is free where full is not after now.
type slot struct {
	hash uint64
	full int64 // when the key's bucket is full again, by the store's clock
}

// bucket is a set of slots that are looked through together.
type bucket [ways]slot

// shard is a part of a table with a lock of its own.
type shard struct {
	mu      sync.Mutex
	buckets []bucket // a power of two of them, nil until the first key
	news    int      // keys that were written since the last look at what is free
	most    int      // buckets at most

	_ [16]byte // to the end of the cache line
}

// table is safe for concurrent use: each shard by its lock, which its user holds.
type table struct {
	seed   maphash.Seed
	number uint64 // orders the locks of several tables
	shards [shards]shard
	// forgotten counts the keys that were replaced although they still counted.
	forgotten atomic.Int64
}

// newTable makes an empty table for about so many keys.
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

// hash gives a key's hash, which no client can foresee: the seed is of this process.
func (t *table) hash(key []byte) uint64 { return maphash.Bytes(t.seed, key) }

// shardOf gives the shard of a hash.
func (t *table) shardOf(hash uint64) *shard { return &t.shards[shardOf(hash)] }

// shardOf numbers the shard of a hash: by its topmost bits, which choose no bucket.
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

// find gives the slot of a hash and whether it is that key's already. One that is
// not is free to be written, or holds the key to replace. The pointer is good until
// the lock is given up. The shard's lock must be held.
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

// pair gives the two buckets of a hash.
func (s *shard) pair(hash uint64) (first, second *bucket) {
	mask := uint64(len(s.buckets) - 1)
	return &s.buckets[hash&mask], &s.buckets[(hash>>28)&mask]
}

// look searches both buckets of a hash, and otherwise gives the best place for it:
// a free slot of the bucket with more of them, else the slot that is free first.
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

// tidy makes the shard smaller where most of it is free. It looks only after as
// many new keys as the shard has slots, so that the look costs each of them little.
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

// resize moves the keys that still count into so many buckets.
func (s *shard) resize(size int, now int64) {
	old := s.buckets
	s.buckets = make([]bucket, size)
	for i := range old {
		for _, e := range old[i] {
			if e.full <= now {
				continue
			}
			if place, _ := s.look(e.hash, now); place.full < e.full { // free, or nearer to full
				*place = e
			}
		}
	}
}

// write puts a key into the slot that find gave for it.
func (t *table) write(s *shard, place *slot, known bool, e slot, now int64) {
	if !known {
		s.news++
		if place.full > now {
			t.forgotten.Add(1)
		}
	}
	*place = e
}

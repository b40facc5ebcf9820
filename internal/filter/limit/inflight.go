package limit

import (
	"hash/maphash"
	"sync"
)

// inFlight counts the requests under way by key, for limits on how many there may be at once. A key is remembered only
// while it has requests, so memory is bounded by the number of requests that the gateway accepts at all. It is safe for
// concurrent use.
type inFlight struct {
	seed   maphash.Seed
	shards [shards]flights
}

// flights are the keys of one shard, by their hash.
type flights struct {
	mu     sync.Mutex
	counts map[uint64]int64

	_ [48]byte // padding to the end of the cache line
}

func newInFlight() *inFlight {
	f := &inFlight{seed: maphash.MakeSeed()}
	for i := range f.shards {
		f.shards[i].counts = map[uint64]int64{}
	}
	return f
}

// of returns the shard of a key, and its hash.
func (f *inFlight) of(key []byte) (*flights, uint64) {
	hash := maphash.Bytes(f.seed, key)
	return &f.shards[shardOf(hash)], hash
}

// lease is one counted request. It must be ended exactly once.
type lease struct {
	flights *flights
	hash    uint64
}

// enter counts one more request of key if fewer than most are under way, or in any case if the limit is advisory. It
// returns how many there were before.
func (f *inFlight) enter(key []byte, most int64, advisory bool) (before int64, l lease, ok bool) {
	s, hash := f.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if before = s.counts[hash]; before >= most && !advisory {
		return before, lease{}, false
	}
	s.counts[hash] = before + 1
	return before, lease{s, hash}, true
}

// count tells how many requests of key are under way.
func (f *inFlight) count(key []byte) int64 {
	s, hash := f.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[hash]
}

// end counts the request out.
func (l lease) end() {
	l.flights.mu.Lock()
	defer l.flights.mu.Unlock()
	if left := l.flights.counts[l.hash] - 1; left > 0 {
		l.flights.counts[l.hash] = left
	} else {
		delete(l.flights.counts, l.hash)
	}
}

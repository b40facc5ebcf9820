package auth

import (
	"crypto/sha256"
	"sync"
)

// Digest stands for a credential in memory.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a credential. It does not allocate for credentials of the usual size.
func DigestOf(credential string) Digest {
	const usual = 2 << 10
	if len(credential) > usual {
		return sha256.Sum256([]byte(credential))
	}
	var room [usual]byte
	return sha256.Sum256(room[:copy(room[:], credential)])
}

// Memory caches the results of costly checks, for example of credentials by their digests, so that they are not
// repeated for every request. It holds a bounded number of entries in two generations. When the younger generation is
// full, the older one is dropped; an entry that is still used moves to the younger one and survives. It is safe for
// concurrent use.
type Memory[K comparable, V any] struct {
	half int // of the bound

	mu         sync.RWMutex
	young, old map[K]V
}

// NewMemory makes a Memory of at most the given number of entries; with 0 it remembers nothing.
func NewMemory[K comparable, V any](entries int) *Memory[K, V] {
	half := (entries + 1) / 2 //nolint:mnd // two generations
	return &Memory[K, V]{half: half, young: map[K]V{}, old: map[K]V{}}
}

// Get returns the value that is remembered for d.
func (m *Memory[K, V]) Get(d K) (V, bool) {
	m.mu.RLock()
	v, ok := m.young[d]
	if ok {
		m.mu.RUnlock()
		return v, true
	}
	v, ok = m.old[d]
	m.mu.RUnlock()
	if ok {
		m.Put(d, v)
	}
	return v, ok
}

// Put remembers v for d.
func (m *Memory[K, V]) Put(d K, v V) {
	if m.half == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= m.half {
		m.old, m.young = m.young, m.old
		clear(m.young) // reuses the map: with many tokens a new one would be allocated every few
	}
	m.young[d] = v
}

// Forget drops what is remembered for d.
func (m *Memory[K, V]) Forget(d K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, d)
	delete(m.old, d)
}

// Len returns the number of entries.
func (m *Memory[K, V]) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.young) + len(m.old)
}

package auth

import (
	"crypto/sha256"
	"sync"
)

// Digest is what a credential is remembered by.
type Digest [sha256.Size]byte

// DigestOf gives the digest of a credential. It allocates nothing for those of usual size.
func DigestOf(credential string) Digest {
	const usual = 2 << 10
	if len(credential) > usual {
		return sha256.Sum256([]byte(credential))
	}
	var room [usual]byte
	return sha256.Sum256(room[:copy(room[:], credential)])
}

// Memory remembers what was found out, about credentials by their digests, so that
// costly checks are not made for every request. It holds a bounded number: two
// generations, of which the older one is forgotten when the younger one is full, so
// that what is used lives on. It is safe for concurrent use.
type Memory[K comparable, V any] struct {
	half int // of the bound

	mu         sync.RWMutex
	young, old map[K]V
}

// NewMemory makes a Memory of at most entries; 0 remembers nothing.
func NewMemory[K comparable, V any](entries int) *Memory[K, V] {
	half := (entries + 1) / 2 //nolint:mnd // two generations
	return &Memory[K, V]{half: half, young: map[K]V{}, old: map[K]V{}}
}

// Get gives what is remembered.
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

// Put remembers v.
func (m *Memory[K, V]) Put(d K, v V) {
	if m.half == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= m.half {
		m.old, m.young = m.young, m.old
		clear(m.young) // and not a new one: there would be one for each few tokens where they are many
	}
	m.young[d] = v
}

// Forget drops what is remembered of d.
func (m *Memory[K, V]) Forget(d K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, d)
	delete(m.old, d)
}

// Len is how many are remembered.
func (m *Memory[K, V]) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.young) + len(m.old)
}

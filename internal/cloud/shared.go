package cloud

import "sync"

// Shared is what several have in common for as long as any of them needs it, by what
// makes it another one. It is safe for concurrent use; the zero value is empty.
type Shared[K comparable, V any] struct {
	mu  sync.Mutex
	all map[K]*common[V]
}

type common[V any] struct {
	value V
	end   func()
	users int
}

// Use gives what there is for key, or what begin begins; its end, which may be nil, runs
// when Leave was called as often as Use.
func (s *Shared[K, V]) Use(key K, begin func() (value V, end func())) V {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[key]
	if c == nil {
		c = &common[V]{}
		c.value, c.end = begin()
		if s.all == nil {
			s.all = map[K]*common[V]{}
		}
		s.all[key] = c
	}
	c.users++
	return c.value
}

// Leave tells that one user less has need of it.
func (s *Shared[K, V]) Leave(key K) {
	s.mu.Lock()
	c := s.all[key]
	if c.users--; c.users > 0 {
		s.mu.Unlock()
		return
	}
	delete(s.all, key)
	s.mu.Unlock()
	if c.end != nil {
		c.end()
	}
}

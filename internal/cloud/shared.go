package cloud

import "sync"

// Shared holds values that several users share for as long as any of them needs them, by key. It is safe for concurrent
// use; the zero value is empty.
type Shared[K comparable, V any] struct {
	mu  sync.Mutex
	all map[K]*common[V]
}

type common[V any] struct {
	value V
	end   func()
	users int
}

// Use returns the value for key, which begin makes if there is none. The end that begin returns may be nil; it runs
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

// Leave says that one user no longer needs the value for key.
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

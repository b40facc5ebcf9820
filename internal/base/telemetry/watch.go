package telemetry

import "sync"

// watchers are functions that return a current state and are called at each scrape. The zero value has none.
type watchers[T any] struct {
	mu   sync.Mutex
	next int
	look map[int]func() T
}

// add has look called until stop is called.
func (w *watchers[T]) add(look func() T) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.look == nil {
		w.look = map[int]func() T{}
	}
	key := w.next
	w.next++
	w.look[key] = look
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.look, key)
	}
}

// ask returns what all of them return.
func (w *watchers[T]) ask() []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]T, 0, len(w.look))
	for _, look := range w.look {
		list = append(list, look())
	}
	return list
}

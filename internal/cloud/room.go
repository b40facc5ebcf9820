package cloud

import (
	"container/list"
	"context"
	"sync"
)

// Room is how many bytes all that has some of it may hold together. It is safe for
// concurrent use.
type Room struct {
	mu      sync.Mutex
	most    int64
	taken   int64
	waiting list.List // of *need
}

type need struct {
	bytes int64
	given chan struct{}
}

// NewRoom makes room for so many bytes.
func NewRoom(most int64) *Room { return &Room{most: most} }

// Tune changes how many there may be.
func (r *Room) Tune(most int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.let()
}

// TryTake takes bytes where they are free now and nobody waits for them.
func (r *Room) TryTake(bytes int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting.Len() > 0 || !r.fits(bytes) {
		return false
	}
	r.taken += bytes
	return true
}

// fits lets what is larger than all of it in alone.
func (r *Room) fits(bytes int64) bool { return r.taken == 0 || r.taken+bytes <= r.most }

// Take waits until bytes are free. Who holds some already must not wait for more of them, for
// those who hold the rest may do the same. The error is the cause with which ctx has ended.
func (r *Room) Take(ctx context.Context, bytes int64) error {
	if r.TryTake(bytes) {
		return nil
	}
	r.mu.Lock()
	n := &need{bytes, make(chan struct{})}
	place := r.waiting.PushBack(n)
	r.let()
	r.mu.Unlock()
	select {
	case <-n.given:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-n.given: // at the same moment
		return nil
	default:
		r.waiting.Remove(place)
		r.let()
		return context.Cause(ctx)
	}
}

// Give gives bytes back.
func (r *Room) Give(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken -= bytes
	r.let()
}

func (r *Room) let() {
	for r.waiting.Len() > 0 {
		front := r.waiting.Front()
		n, _ := front.Value.(*need)
		if !r.fits(n.bytes) {
			return
		}
		r.taken += n.bytes
		r.waiting.Remove(front)
		close(n.given)
	}
}

// Taken is how many bytes are held now.
func (r *Room) Taken() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

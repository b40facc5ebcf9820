package cloud

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Room is how many bytes of payloads may be in memory together. Requests hold a Part of it,
// which grows as their bytes come: nobody gets room by announcing much and sending little.
// Where all of it is held by requests that need more to go on, one of them at a time goes on
// beyond the bound, so that together they hold one payload more than that at most. It is safe for
// concurrent use.
type Room struct {
	mu      sync.Mutex
	most    int64
	taken   int64     // by all parts but beyond
	beyond  *Part     // the part that is not counted, nil for none
	growing list.List // of *need: parts that hold some already
	coming  list.List // of *need: the others, who wait behind these
}

// Part is what one request holds of a Room. It belongs to one goroutine at a time.
type Part struct {
	room  *Room
	bytes int64
}

type need struct {
	part  *Part
	bytes int64 // more than it has
	given chan struct{}
}

// small is what gets room before larger ones that wait: an event without a body.
const small = 64 << 10

// ErrFull tells that no room has become free in the time to wait for it.
var ErrFull = errors.New("others hold all the room that there is")

// NewRoom makes room for so many bytes.
func NewRoom(most int64) *Room { return &Room{most: most} }

// Tune changes how many there may be.
func (r *Room) Tune(most int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.let()
}

// Part gives a part that holds nothing yet.
func (r *Room) Part() Part { return Part{room: r} }

// Taken is how many bytes are held now.
func (r *Room) Taken() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beyond != nil {
		return r.taken + r.beyond.bytes
	}
	return r.taken
}

// Bytes is how many it holds.
func (p *Part) Bytes() int64 { return p.bytes }

// Grow makes it hold so many bytes at least, and waits for them where they are not free. The
// error is ErrFull after wait, or the cause with which ctx has ended; then it holds what it did.
func (p *Part) Grow(ctx context.Context, to int64, wait time.Duration) error {
	r := p.room
	if to <= p.bytes {
		return nil
	}
	r.mu.Lock()
	n := need{part: p, bytes: to - p.bytes}
	if r.free(&n) {
		r.give(&n)
		r.mu.Unlock()
		return nil
	}
	n.given = make(chan struct{})
	queue := &r.coming
	if p.bytes > 0 {
		queue = &r.growing
	}
	place := queue.PushBack(&n)
	r.let()
	r.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	err := ErrFull
	select {
	case <-n.given:
		return nil
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-n.given: // at the same moment
		return nil
	default:
		queue.Remove(place)
		r.let()
		return err
	}
}

// free tells whether a need that does not wait yet may have its bytes at once.
func (r *Room) free(n *need) bool {
	idle := r.growing.Len() == 0 && (r.coming.Len() == 0 || n.part.bytes > 0)
	return n.part == r.beyond || r.fits(n.bytes) && (idle || n.bytes <= small)
}

// fits lets what is larger than all of it in alone.
func (r *Room) fits(bytes int64) bool { return r.taken == 0 || r.taken+bytes <= r.most }

func (r *Room) give(n *need) {
	if n.part != r.beyond {
		r.taken += n.bytes
	}
	n.part.bytes += n.bytes
}

// Shrink gives back what is more than so many.
func (p *Part) Shrink(to int64) {
	extra := p.bytes - to
	if extra <= 0 {
		return
	}
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	p.bytes = to
	switch {
	case p != r.beyond:
		r.taken -= extra
	case to == 0:
		r.beyond = nil
	}
	r.let()
}

// let gives what is free to those who wait: to parts that grow, one of which may go beyond the
// bound, then to those that come, small ones first.
func (r *Room) let() {
	if r.beyond != nil && r.fits(r.beyond.bytes) {
		r.taken += r.beyond.bytes
		r.beyond = nil
	}
	for at := r.growing.Front(); at != nil; at = r.growing.Front() {
		n := needOf(at)
		if !r.fits(n.bytes) && r.beyond == nil {
			r.beyond = n.part
			r.taken -= n.part.bytes
		}
		if n.part != r.beyond && !r.fits(n.bytes) {
			break
		}
		r.pass(&r.growing, at)
	}
	blocked := r.growing.Len() > 0
	for at := r.coming.Front(); at != nil; {
		next := at.Next()
		if n := needOf(at); r.fits(n.bytes) && (!blocked || n.bytes <= small) {
			r.pass(&r.coming, at)
		} else {
			blocked = true
		}
		at = next
	}
}

// pass gives a need that waits what it needs.
func (r *Room) pass(queue *list.List, at *list.Element) {
	n := needOf(at)
	queue.Remove(at)
	r.give(n)
	close(n.given)
}

func needOf(at *list.Element) *need {
	n, _ := at.Value.(*need) // there is nothing else
	return n
}

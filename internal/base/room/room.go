package room

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Room is how many bytes of payloads may be in memory together. Code that needs some of it holds a Part, which grows as
// the bytes arrive: no client gets room by announcing much and sending little. No owner of parts can have all of it:
// each may hold a share of what the others leave (see large). If all of a room is held by parts that need more to
// continue, one of them at a time may exceed the bound, so that together they hold at most one payload more than that.
// A Room is safe for concurrent use.
type Room struct {
	mu      sync.Mutex
	most    int64
	taken   int64     // by all parts except beyond
	beyond  *Part     // the part that is not counted, nil if there is none
	growing list.List // of *need: parts that already hold some bytes
	coming  list.List // of *need: the others, which wait behind them
	shares  map[Owner]*share
}

// Owner is what a part belongs to, such as a client or a function: any comparable value.
type Owner any

// Part is what one holder, such as a request or a message, has of a Room. It belongs to one goroutine at a time.
type Part struct {
	room   *Room
	owners []Owner
	bytes  int64
}

// share is what all parts of one owner hold.
type share struct {
	bytes   int64
	waiting int
	// over is the part that may exceed its owner's share; the share leaves room for that. If parts that hold the whole
	// share need more to continue, one of them is chosen.
	over *Part
}

type need struct {
	part  *Part
	bytes int64 // in addition to what it has
	given chan struct{}
}

// small is the size up to which a need gets room before larger ones that wait: that of an event without a body.
const small = 64 << 10

// An owner may hold at most large times what it leaves free: three quarters of a room where no other owner holds any of
// it, less where others do, and never all of it. With small needs, its bytes may come to little times what is free, so
// that an owner that sends much still gets the small amounts that everything else needs.
const (
	large  = 3
	little = 7
)

// The maximum numbers of parts that wait, of one owner and of all owners: each part that gives bytes back goes through
// the waiting ones.
const (
	mostOfOne = 1 << 9
	mostOfAll = 1 << 11
)

// ErrFull means that no room has become free within the time to wait for it.
var ErrFull = errors.New("others hold all the room that there is")

// New returns a room for that many bytes.
func New(most int64) *Room { return &Room{most: most, shares: map[Owner]*share{}} }

// Tune changes the number of bytes.
func (r *Room) Tune(most int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.let()
}

// Part returns a part that holds nothing yet.
func (r *Room) Part(owners ...Owner) Part { return Part{room: r, owners: owners} }

// Taken is how many bytes are held now.
func (r *Room) Taken() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beyond != nil {
		return r.taken + r.beyond.bytes
	}
	return r.taken
}

// Bytes is how many bytes the part holds.
func (p *Part) Bytes() int64 { return p.bytes }

// Grow makes the part hold at least that many bytes, and waits if they are not free. The error is ErrFull after wait,
// or at once if too many parts wait already, or the cause with which ctx has ended. After an error the part holds what
// it held before.
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
	if !r.mayWait(p) {
		r.mu.Unlock()
		return ErrFull
	}
	n.given = make(chan struct{})
	queue := &r.coming
	if p.bytes > 0 {
		queue = &r.growing
	}
	place := queue.PushBack(&n)
	r.waits(p, 1)
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
		r.waits(p, -1)
		r.let()
		return err
	}
}

// Try makes the part hold at least that many bytes if they are free, and reports whether it does.
func (p *Part) Try(to int64) bool {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	n := need{part: p, bytes: to - p.bytes}
	if n.bytes > 0 && !r.free(&n) {
		return false
	}
	r.give(&n)
	return true
}

// Insist makes the part hold at least that many bytes in any case. It is for small amounts that cannot be refused.
func (p *Part) Insist(to int64) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.give(&need{part: p, bytes: to - p.bytes})
}

// free reports whether a need that is not waiting yet may have its bytes at once.
func (r *Room) free(n *need) bool {
	idle := r.growing.Len() == 0 && (r.coming.Len() == 0 || n.part.bytes > 0)
	return n.part == r.beyond || r.fits(n.bytes) && r.fair(n) && (idle || n.bytes <= small)
}

// fits reports whether the room has that many bytes free. A need that is larger than the whole room fits if nothing
// else is counted.
func (r *Room) fits(bytes int64) bool { return r.taken == 0 || r.taken+bytes <= r.most }

// fair reports whether the shares of all owners of the part allow what it needs.
func (r *Room) fair(n *need) bool {
	for _, owner := range n.part.owners {
		if s := r.shares[owner]; s != nil && !r.within(s, n) {
			return false
		}
	}
	return true
}

func (r *Room) within(s *share, n *need) bool {
	times := int64(large)
	if n.bytes <= small {
		times = little
	}
	return s.bytes == 0 || s.over == n.part || s.bytes+n.bytes <= times*(r.most-r.taken-n.bytes)
}

// favour lets a part exceed the shares of its owners, unless another part of theirs does already.
func (r *Room) favour(p *Part) bool {
	for _, owner := range p.owners {
		if s := r.shares[owner]; s != nil && s.over != nil && s.over != p {
			return false
		}
	}
	for _, owner := range p.owners {
		r.share(owner).over = p
	}
	return true
}

// share returns the share of an owner, which is created for its first part.
func (r *Room) share(owner Owner) *share {
	s := r.shares[owner]
	if s == nil {
		s = &share{}
		r.shares[owner] = s
	}
	return s
}

func (r *Room) mayWait(p *Part) bool {
	for _, owner := range p.owners {
		if s := r.shares[owner]; s != nil && s.waiting >= mostOfOne {
			return false
		}
	}
	return r.growing.Len()+r.coming.Len() < mostOfAll
}

func (r *Room) waits(p *Part, more int) {
	for _, owner := range p.owners {
		s := r.share(owner)
		s.waiting += more
		r.drop(owner, s)
	}
}

// drop deletes a share that has nothing left.
func (r *Room) drop(owner Owner, s *share) {
	if s.bytes == 0 && s.waiting == 0 {
		delete(r.shares, owner)
	}
}

func (r *Room) give(n *need) {
	if n.bytes <= 0 {
		return
	}
	if n.part != r.beyond {
		r.taken += n.bytes
	}
	n.part.bytes += n.bytes
	for _, owner := range n.part.owners {
		r.share(owner).bytes += n.bytes
	}
}

// Shrink gives back what exceeds that many bytes.
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
	for _, owner := range p.owners {
		s := r.shares[owner]
		s.bytes -= extra
		if to == 0 && s.over == p {
			s.over = nil
		}
		r.drop(owner, s)
	}
	r.let()
}

// let gives free bytes to waiting needs: first to parts that grow, one of which may exceed the bound, then to new
// parts, where small needs may pass blocked larger ones. A need that waits only for the share of its owners holds up no
// other need.
func (r *Room) let() {
	if r.beyond != nil && r.fits(r.beyond.bytes) {
		r.taken += r.beyond.bytes
		r.beyond = nil
	}
	blocked := false // a need waits for more than the room has
	for at := r.growing.Front(); at != nil; {
		next, n := at.Next(), needOf(at)
		switch {
		case n.part == r.beyond:
			r.pass(&r.growing, at)
		case blocked || !r.fair(n) && !r.favour(n.part):
		case r.fits(n.bytes):
			r.pass(&r.growing, at)
		case r.beyond == nil:
			r.beyond = n.part
			r.taken -= n.part.bytes
			r.pass(&r.growing, at)
		default:
			blocked = true
		}
		at = next
	}
	for at := r.coming.Front(); at != nil; {
		next, n := at.Next(), needOf(at)
		switch fits := r.fits(n.bytes); {
		case fits && r.fair(n) && (!blocked || n.bytes <= small):
			r.pass(&r.coming, at)
		case !fits:
			blocked = true
		}
		at = next
	}
}

// pass gives a waiting need its bytes.
func (r *Room) pass(queue *list.List, at *list.Element) {
	n := needOf(at)
	queue.Remove(at)
	r.give(n)
	r.waits(n.part, -1)
	close(n.given)
}

func needOf(at *list.Element) *need {
	n, _ := at.Value.(*need) // there is nothing else
	return n
}

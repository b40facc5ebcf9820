package room

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// Room is how many bytes of payloads may be in memory together. Whoever needs some holds a Part
// of it, which grows as their bytes come: nobody gets room by announcing much and sending
// little. None of the owners of parts can have all of it: each may hold a share of what the
// others leave (see large). Where all of a room is held by parts that need more to go on, one of
// them at a time goes on beyond the bound, so that together they hold one payload more than that
// at most. It is safe for concurrent use.
type Room struct {
	mu      sync.Mutex
	most    int64
	taken   int64     // by all parts but beyond
	beyond  *Part     // the part that is not counted, nil for none
	growing list.List // of *need: parts that hold some already
	coming  list.List // of *need: the others, who wait behind these
	shares  map[Owner]*share
}

// Owner is whose a part is, as a client or a function: any comparable value.
type Owner any

// Part is what somebody holds of a Room. It belongs to one goroutine at a time.
type Part struct {
	room   *Room
	owners []Owner
	bytes  int64
}

// share is what all parts of one owner hold.
type share struct {
	bytes   int64
	waiting int
	// over may hold more than its owner's share, which leaves room for it: of parts that hold
	// the share and need more to go on, one does.
	over *Part
}

type need struct {
	part  *Part
	bytes int64 // more than it has
	given chan struct{}
}

// small is what gets room before larger ones that wait: an event without a body.
const small = 64 << 10

// An owner may hold that many times what it leaves free: three quarters of a room where nobody
// else holds any, less where others do, and never all of it. What is small may come to more, so
// that who sends much is not without the little that everything else takes.
const (
	large  = 3
	little = 7
)

// How many parts may wait, of one owner and of all: each that gives back looks through them.
const (
	mostOfOne = 1 << 9
	mostOfAll = 1 << 11
)

// ErrFull tells that no room has become free in the time to wait for it.
var ErrFull = errors.New("others hold all the room that there is")

// New makes room for so many bytes.
func New(most int64) *Room { return &Room{most: most, shares: map[Owner]*share{}} }

// Tune changes how many there may be.
func (r *Room) Tune(most int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most = most
	r.let()
}

// Part gives a part that holds nothing yet.
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

// Bytes is how many it holds.
func (p *Part) Bytes() int64 { return p.bytes }

// Grow makes it hold so many bytes at least, and waits for them where they are not free. The
// error is ErrFull after wait, at once where too many wait already, or the cause with which ctx
// has ended; then it holds what it did.
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

// Try makes it hold so many bytes at least where these are free.
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

// Insist makes it hold so many bytes at least in any case. It is for little that must be.
func (p *Part) Insist(to int64) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.give(&need{part: p, bytes: to - p.bytes})
}

// free tells whether a need that does not wait yet may have its bytes at once.
func (r *Room) free(n *need) bool {
	idle := r.growing.Len() == 0 && (r.coming.Len() == 0 || n.part.bytes > 0)
	return n.part == r.beyond || r.fits(n.bytes) && r.fair(n) && (idle || n.bytes <= small)
}

// fits lets what is larger than all of it in alone.
func (r *Room) fits(bytes int64) bool { return r.taken == 0 || r.taken+bytes <= r.most }

// fair tells whether all owners of the part have a share for what it needs.
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

// favour lets a part hold more than the shares of its owners, where none else of theirs does.
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

// share is that of an owner, which begins with its first part.
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

// drop forgets a share of which nothing is left.
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

// let gives what is free to those who wait: to parts that grow, one of which may go beyond the
// bound, then to those that come, small ones first. Who waits for its owners' share alone holds
// up nobody else.
func (r *Room) let() {
	if r.beyond != nil && r.fits(r.beyond.bytes) {
		r.taken += r.beyond.bytes
		r.beyond = nil
	}
	blocked := false // somebody waits for more than the room has
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

// pass gives a need that waits what it needs.
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

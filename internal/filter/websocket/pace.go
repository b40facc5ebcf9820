package websocket

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/sockets"
)

// pace holds a client back to what functions take: so many messages are with these at once, and one more is
// read ahead where there is room for it, so that pings and a close behind it are heard meanwhile. What is not
// said otherwise is used by the goroutine that reads.
type pace struct {
	room  *sockets.Room
	slots chan struct{}  // of messages that are with functions, or will be
	ahead chan struct{}  // of the one that is being read, or was and waits for a slot
	told  sync.WaitGroup // of functions

	reading bool // a message has begun
	slot    bool // it has one
	held    int  // of the room, where it has none
}

func newPace(room *sockets.Room, atOnce int) *pace {
	return &pace{room: room, slots: make(chan struct{}, atOnce), ahead: make(chan struct{}, 1)}
}

// data waits until the payload of a frame may be read. It is called with each frame of a message.
func (p *pace) data(begins bool, bytes int64) {
	needed := int(bytes)
	if begins {
		p.ahead <- struct{}{} // until the message before it has a slot
		p.reading, p.slot, p.held = true, false, 0
		needed += overhead
		select {
		case p.slots <- struct{}{}:
			p.slot = true
		default:
		}
	}
	if p.slot {
		return
	}
	if p.room.Take(needed, false) {
		p.held += needed
		return
	}
	p.slots <- struct{}{} // then it needs no room
	p.slot = true
	p.room.Free(p.held)
	p.held = 0
}

// message has a message told that was read, once it has a slot.
func (p *pace) message(tell func()) {
	slot, held := p.slot, p.held
	p.reading = false
	p.told.Go(func() {
		if !slot {
			p.slots <- struct{}{}
			p.room.Free(held)
		}
		<-p.ahead
		defer func() { <-p.slots }()
		tell()
	})
}

// end forgets a message that has not come whole, and waits until the others are told.
func (p *pace) end() {
	if p.reading {
		if p.slot {
			<-p.slots
		}
		p.room.Free(p.held)
		<-p.ahead
	}
	p.told.Wait()
}

package websocket

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// pace holds a client back to what functions take: so many messages are with these at once, and one more is
// read ahead where there is room for it, so that pings and a close behind it are heard meanwhile. What is not
// said otherwise is used by the goroutine that reads.
type pace struct {
	room  *room.Room
	owner room.Owner
	wait  time.Duration  // for room, where functions may still be told
	slots chan struct{}  // of messages that are with functions, or will be
	ahead chan struct{}  // of the one that is being read, or was and waits for a slot
	told  sync.WaitGroup // of functions

	at *saying // the message that has begun, nil between messages
}

// saying is a message from its first frame until a function was told of it.
type saying struct {
	room.Part

	slot bool // it has one
}

// copies of a message are in memory together: its own bytes, and the event that tells of it.
const copies = 2

func newPace(of *room.Room, owner room.Owner, atOnce int, wait time.Duration) *pace {
	return &pace{room: of, owner: owner, wait: wait, slots: make(chan struct{}, atOnce), ahead: make(chan struct{}, 1)}
}

// data waits until the payload of a frame may be read. It is called with each frame of a message. Its
// error ends the connection: that of ctx, or one that tells the client that there is no room.
func (p *pace) data(ctx context.Context, begins bool, bytes int64) error {
	if begins {
		p.ahead <- struct{}{} // until the message before it has a slot
		p.at = &saying{Part: p.room.Part(p.owner)}
		select {
		case p.slots <- struct{}{}:
			p.at.slot = true
		default:
		}
	}
	to := p.at.Bytes() + copies*bytes
	if begins {
		to += overhead
	}
	if !p.at.slot {
		if p.at.Try(to) {
			return nil
		}
		p.slots <- struct{}{} // what is told next may wait for room
		p.at.slot = true
	}
	err := p.at.Grow(ctx, to, p.wait)
	if errors.Is(err, room.ErrFull) {
		err = &websocket.Error{Status: websocket.StatusTryAgain, Reason: "no room for further messages"}
	}
	return err //nolint:wrapcheck // why the connection has ended
}

// message has a message told that was read, once it has a slot.
func (p *pace) message(tell func()) {
	at := p.at
	p.at = nil
	p.told.Go(func() {
		if !at.slot {
			p.slots <- struct{}{}
		}
		<-p.ahead
		defer func() { <-p.slots }()
		defer at.Shrink(0)
		tell()
	})
}

// end forgets a message that has not come whole, and waits until the others are told.
func (p *pace) end() {
	if p.at != nil {
		if p.at.slot {
			<-p.slots
		}
		p.at.Shrink(0)
		<-p.ahead
	}
	p.told.Wait()
}

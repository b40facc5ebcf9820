package websocket

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// pace limits a client to the speed of the functions. A fixed number of messages is with functions at once, and one
// more is read ahead if there is room for it, so that pings and a close frame behind it are handled meanwhile. Fields
// are used by the reading goroutine, unless noted otherwise.
type pace struct {
	room  *room.Room
	owner room.Owner
	wait  time.Duration  // for room, while functions may still be notified
	slots chan struct{}  // taken by messages that are with functions, or will be
	ahead chan struct{}  // taken by the message being read, or read and waiting for a slot
	told  sync.WaitGroup // messages being handled by functions

	at *saying // the current message, nil between messages
}

// saying is a message from its first frame until a function has handled it.
type saying struct {
	room.Part

	slot bool // it has a slot
}

// copies is how many copies of a message are in memory together: its own bytes, and the event with it.
const copies = 2

func newPace(of *room.Room, owner room.Owner, atOnce int, wait time.Duration) *pace {
	return &pace{room: of, owner: owner, wait: wait, slots: make(chan struct{}, atOnce), ahead: make(chan struct{}, 1)}
}

// data waits until the payload of a frame may be read. It is called for each frame of a message. Its error ends the
// connection: the error of ctx, or one that tells the client that there is no room.
func (p *pace) data(ctx context.Context, begins bool, bytes int64) error {
	if begins {
		p.ahead <- struct{}{} // until the previous message has a slot
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
		p.slots <- struct{}{} // the message that is handled next may wait for room
		p.at.slot = true
	}
	err := p.at.Grow(ctx, to, p.wait)
	if errors.Is(err, room.ErrFull) {
		err = &websocket.Error{Status: websocket.StatusTryAgain, Reason: "no room for further messages"}
	}
	return err //nolint:wrapcheck // why the connection has ended
}

// message passes a complete message to tell, once it has a slot.
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

// end drops an incomplete message, and waits until the others are handled.
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

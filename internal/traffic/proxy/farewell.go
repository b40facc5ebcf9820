package proxy

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// farewellWait is how long a client may take to answer a close frame. The answer only gives
// the backend a tidy end, which is not worth a longer wait.
const farewellWait = 5 * time.Second

// goingAway is a server's close frame with the status 1001 and 25 bytes of
// reason (RFC 6455 sections 5.5.1 and 7.4.1).
const goingAway = "\x88\x1b\x03\xe9the gateway is going away"

// farewell is the client's side of a WebSocket. It can tell the client, at the end of a
// message, that the gateway is going away. From then on it passes on nothing from the
// backend, because a close frame must be the last frame. What the client sends still goes
// to the backend.
type farewell struct {
	duplex

	mu     sync.Mutex
	frames frames
	due    bool // the close frame has to be sent
	said   bool
}

// saysFarewell returns the client's side of a tunnel for protocol. If the protocol has a
// message for it, the client is told when its server ends; saysFarewell calls cut when the
// client's time to answer is over. The caller must call stop when the tunnel is over.
func saysFarewell(client duplex, protocol string, server exchange.Server, cut func()) (side duplex, stop func()) {
	if server == nil || !strings.EqualFold(protocol, "websocket") {
		return client, func() {}
	}
	f := &farewell{duplex: client}
	var waiting *time.Timer
	begun := make(chan struct{})
	unhook := context.AfterFunc(server.Ending(), func() {
		defer close(begun)
		f.leave()
		waiting = time.AfterFunc(farewellWait, func() {
			if f.over() {
				cut()
			}
		})
	})
	return f, func() {
		if unhook() {
			return
		}
		<-begun
		waiting.Stop()
	}
}

// leave sends the close frame, or lets Write send it at the end of the message.
func (f *farewell) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = true
	_ = f.sayWhereDue() // the next Write reports the error
}

// over reports whether the close frame was sent.
func (f *farewell) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// sayWhereDue sends the close frame if it is due and may be sent now. The caller holds the
// lock.
func (f *farewell) sayWhereDue() error {
	if !f.due || f.said || !f.frames.between() {
		return nil
	}
	f.said = true
	_, err := f.duplex.Write([]byte(goingAway))
	return err
}

// Write passes on what the backend sends.
func (f *farewell) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for done := 0; done < len(p); {
		if f.said {
			return len(p), nil
		}
		n := f.frames.next(p[done:])
		for !f.due && done+n < len(p) { // all frames at once
			n += f.frames.next(p[done+n:])
		}
		if _, err := f.duplex.Write(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
		if err := f.sayWhereDue(); err != nil {
			return done, err
		}
	}
	return len(p), nil
}

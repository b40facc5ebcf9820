package proxy

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// farewellWait is how long a client may take to answer a close frame. What comes
// of it is a tidy end for the backend, which is nothing to wait for longer.
const farewellWait = 5 * time.Second

// goingAway is a close frame of a server with the status 1001 and 25 bytes of
// reason (RFC 6455 sections 5.5.1 and 7.4.1).
const goingAway = "\x88\x1b\x03\xe9the gateway is going away"

// farewell is the client's side of a WebSocket that can be told that the gateway
// is going away, at the end of a message. From then on nothing of the backend's
// is passed on: a close frame is the last one. The client's own goes to the backend.
type farewell struct {
	duplex

	mu     sync.Mutex
	frames frames
	due    bool // it is to be said
	said   bool
}

// saysFarewell gives the client's side of a tunnel to protocol. Where that has a
// word for it, the client is told when its server ends; cut is called when it has
// had its time to answer. The caller calls stop when the tunnel is over.
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

// leave says it, or lets the writer say it at the end of the message.
func (f *farewell) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due = true
	_ = f.sayWhereDue() // whoever writes next is told of it
}

// over tells whether it was said.
func (f *farewell) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.said
}

// sayWhereDue is called with the lock held.
func (f *farewell) sayWhereDue() error {
	if !f.due || f.said || !f.frames.between() {
		return nil
	}
	f.said = true
	_, err := f.duplex.Write([]byte(goingAway))
	return err
}

// Write passes on what the backend says.
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

package snapshot

import (
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
)

// use counts the requests that hold a snapshot, so that what only it uses can
// be ended when the last of them has gone. Without what they need at their end it is ready too.
type use struct {
	gateway *Gateway
	log     *accesslog.Log
	tracer  *tracing.Tracer

	requests atomic.Int64
	retired  atomic.Bool
	made     sync.Once
	closed   sync.Once
	gone     chan struct{}
}

// Unused gives a channel that is closed once the snapshot, which has served, no
// longer serves and no request that began with it is under way. Who waits for it
// needs to hold nothing else.
func (s *Snapshot) Unused() <-chan struct{} { return s.use.channel() }

func (u *use) channel() chan struct{} {
	u.made.Do(func() { u.gone = make(chan struct{}) })
	return u.gone
}

// retire notes that no request begins with the snapshot any more. One that
// looked it up a moment ago finds out in Gateway.enter and looks again.
func (u *use) retire() {
	u.retired.Store(true)
	if u.requests.Load() == 0 {
		u.end()
	}
}

func (u *use) leave() {
	if u.requests.Add(-1) == 0 && u.retired.Load() {
		u.end()
	}
}

func (u *use) end() { u.closed.Do(func() { close(u.channel()) }) }

// enter gives the snapshot that serves now and counts the caller in, which must
// leave it. It is nil before the first.
func (g *Gateway) enter() *Snapshot {
	for {
		s := g.current.Load()
		if s == nil {
			return nil
		}
		s.use.requests.Add(1)
		if g.current.Load() == s {
			return s
		}
		s.use.leave() // swapped in between: what s uses may have ended already
	}
}

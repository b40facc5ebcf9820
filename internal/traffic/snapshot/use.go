package snapshot

import (
	"sync"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
)

// use counts the requests that hold a snapshot, so that what only the snapshot uses can be ended when the last request
// has gone. It also holds the log and the tracer that requests need at their end; both may be nil.
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

// Unused returns a channel that is closed once the snapshot, which has served, no longer serves and no request that
// began with it is under way. A goroutine that waits for it needs to hold nothing else of the snapshot.
func (s *Snapshot) Unused() <-chan struct{} { return s.use.channel() }

func (u *use) channel() chan struct{} {
	u.made.Do(func() { u.gone = make(chan struct{}) })
	return u.gone
}

// retire notes that no request begins with the snapshot any more. A request that looked it up a moment ago notices in
// Gateway.enter, and looks again.
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

// enter returns the snapshot that serves now, and counts the caller in; the caller must leave it. It returns nil before
// the first Swap.
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
		s.use.leave() // swapped meanwhile: what s uses may have ended already
	}
}

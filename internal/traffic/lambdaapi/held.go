package lambdaapi

import (
	"context"
	"sync"

	"github.com/weir-gateway/weir/internal/function"
)

// Held is what is kept in memory, and bounds it: bodies of calls until they are
// answered, and, where there is no queue, events until they are processed (memory.go). It
// outlives the API of one snapshot. It is safe for concurrent use.
type Held struct {
	life     context.Context //nolint:containedctx // of events that wait, ended by stop
	attempts context.Context //nolint:containedctx // of events that are being processed, ended by cut
	stop     context.CancelFunc
	cut      context.CancelFunc

	processing sync.WaitGroup // the events

	mu         sync.Mutex
	bodies     int // bytes
	events     int
	eventBytes int
	invokers   map[string]function.Invoker // by the names of functions
	places     map[string]chan struct{}    // likewise
}

// NewHeld makes one that holds nothing; Close ends it.
func NewHeld() *Held {
	h := &Held{places: map[string]chan struct{}{}}
	h.life, h.stop = context.WithCancel(context.Background())
	h.attempts, h.cut = context.WithCancel(context.Background())
	return h
}

// The bounds.
const (
	mostBodies     = 64 << 20
	mostEvents     = 1000
	mostEventBytes = 64 << 20
)

// add takes n more bytes of a body of which size are held; ok is false where there is no
// room for them.
func (h *Held) add(size *int, n int) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies += n
	*size += n
	return h.bodies <= mostBodies
}

// leave lets a body of that size go.
func (h *Held) leave(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies -= size
}

// enter takes an event of that size; ok is false where there is no room for it.
func (h *Held) enter(size int) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.events >= mostEvents || h.eventBytes+size > mostEventBytes {
		return false
	}
	h.events++
	h.eventBytes += size
	return true
}

// done lets an event of that size go.
func (h *Held) done(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events--
	h.eventBytes -= size
}

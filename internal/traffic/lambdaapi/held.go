package lambdaapi

import (
	"context"
	"sync"

	"github.com/weir-gateway/weir/internal/function"
)

// Held counts and bounds what is kept in memory: bodies of calls until they are answered and, if there is no queue,
// events until they are processed (memory.go). It outlives the API of one snapshot. It is safe for concurrent use.
type Held struct {
	life     context.Context //nolint:containedctx // of events that wait, ended by stop
	attempts context.Context //nolint:containedctx // of events that are being processed, ended by cut
	stop     context.CancelFunc
	cut      context.CancelFunc

	processing sync.WaitGroup // the goroutines of events, waiting or being processed

	mu         sync.Mutex
	bodies     int // bytes
	events     int
	eventBytes int
	invokers   map[string]function.Invoker // by the names of functions
	places     map[string]chan struct{}    // likewise
}

// NewHeld returns a Held that holds nothing; Close ends it.
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

// add counts n more bytes of a body of which size bytes are held; ok is false if there is no room for them. They count
// in either case, until leave.
func (h *Held) add(size *int, n int) (ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies += n
	*size += n
	return h.bodies <= mostBodies
}

// leave releases a body of that size.
func (h *Held) leave(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies -= size
}

// enter counts an event of that size; ok is false if there is no room for it.
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

// done releases an event of that size.
func (h *Held) done(size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events--
	h.eventBytes -= size
}

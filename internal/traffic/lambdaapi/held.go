package lambdaapi

import "sync"

// Held counts what is kept in memory, and bounds it: bodies of calls until they are
// answered, and, where there is no queue, events until they are processed. It outlives
// the API of one snapshot. The zero value is ready; it is safe for concurrent use.
type Held struct {
	mu         sync.Mutex
	bodies     int // bytes
	events     int
	eventBytes int
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

// Package sockets knows the WebSocket connections that end in this process, by the ids under which
// functions are told of them, so that whoever runs a function may send to them.
package sockets

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Peer is a connection. It is safe for concurrent use.
type Peer interface {
	// Send has a message sent, and does not wait for the client: ErrSlow tells that it has not
	// taken what was sent before, ErrTooLarge that no message may be so large.
	Send(message []byte) error
	// End closes it.
	End()
	// Facts tell of it.
	Facts() Facts
}

// Facts are what is told of a connection.
type Facts struct {
	Connected, Active   time.Time
	SourceIP, UserAgent string
}

// The errors of Send.
var (
	ErrSlow     = errors.New("the client takes what is sent too slowly")
	ErrTooLarge = errors.New("the message is too large")
	ErrGone     = errors.New("the connection has ended")
)

// Hub holds the connections. It is safe for concurrent use; the zero value holds none.
type Hub struct {
	mu   sync.RWMutex
	all  map[string]Peer
	held atomic.Int64
}

// idBytes makes ids that nobody can guess.
const idBytes = 16

// NewID makes the id of a connection. It needs no escaping in a URL.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Add lets a connection be found.
func (h *Hub) Add(id string, p Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]Peer{}
	}
	h.all[id] = p
}

// Remove lets it be found no more.
func (h *Hub) Remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, id)
}

// Find gives the connection of that id, nil for none.
func (h *Hub) Find(id string) Peer {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all[id]
}

// Len is how many there are.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.all)
}

// mostHeld bounds what all clients together have not taken yet.
const mostHeld = 64 << 20

// Hold takes room for bytes that a client has not taken yet, where there is some; in any case where
// they are needed.
func (h *Hub) Hold(bytes int, needed bool) bool {
	if h.held.Add(int64(bytes)) <= mostHeld || needed {
		return true
	}
	h.held.Add(-int64(bytes))
	return false
}

// Release gives it back.
func (h *Hub) Release(bytes int) { h.held.Add(-int64(bytes)) }

// Held is how much is taken.
func (h *Hub) Held() int64 { return h.held.Load() }

// Package sockets knows the WebSocket connections that end in this process, by the ids under which
// functions are told of them, so that whoever runs a function may send to them.
package sockets

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/room"
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
	// Follow has functions told of it in the way of its route that serves now. Where there is none
	// any more, the connection ends, which is told in the way before.
	Follow(ways Ways)
}

// Way is how functions are told of the connections of a route, by one config. Only the filter
// that has made it looks into it.
type Way any

// Ways give the way of a route by the config that serves now, nil where it has none. What
// functions there are behind it lives until release is called, at least for as long as shutdown lets it.
type Ways func(route string) (w Way, release func())

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

// Hub holds the connections. It is safe for concurrent use.
type Hub struct {
	Unsent *room.Room // for what clients have not taken yet
	Said   *room.Room // for what clients say until functions were told of it

	ways Ways // nil: none are followed

	mu  sync.RWMutex
	all map[string]Peer
}

// mostHeld is how much all clients together make this process keep in one direction.
const mostHeld = 64 << 20

// New makes a hub whose connections follow the ways that serve; nil: each tells functions as it
// began to.
func New(ways Ways) *Hub {
	return &Hub{Unsent: room.New(mostHeld), Said: room.New(mostHeld), ways: ways, all: map[string]Peer{}}
}

// idBytes makes ids that nobody can guess.
const idBytes = 16

// NewID makes the id of a connection. It needs no escaping in a URL.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Add lets a connection be found, and has it follow what serves: another config may do so since
// it was asked for.
func (h *Hub) Add(id string, p Peer) {
	h.mu.Lock()
	h.all[id] = p
	h.mu.Unlock()
	if h.ways != nil {
		p.Follow(h.ways)
	}
}

// Follow has all connections follow a config that serves from now on.
func (h *Hub) Follow() {
	h.mu.RLock()
	all := slices.Collect(maps.Values(h.all))
	h.mu.RUnlock()
	for _, p := range all {
		p.Follow(h.ways)
	}
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

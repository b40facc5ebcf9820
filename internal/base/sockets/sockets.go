// Package sockets knows the WebSocket connections that end in this process by the ids that functions are told. With an
// id, whatever runs a function can send to the connection.
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
	// Send sends a message without waiting for the client. The error is ErrSlow if the client has not taken earlier
	// messages, or ErrTooLarge if the message is too large.
	Send(message []byte) error
	// End closes the connection.
	End()
	// Facts returns information about the connection.
	Facts() Facts
	// Follow switches to the way that the connection's route has in the config that serves now: functions are told of
	// the connection in that way. If there is none any more, the connection ends, and functions are told of that in the
	// old way.
	Follow(ways Ways)
}

// Way is how functions are told of the connections of a route, according to one config. Only the filter that has made
// it looks into it.
type Way any

// Ways returns the way of a route in the config that serves now, or nil if it has none. The functions behind it live
// until release is called, or at least for as long as shutdown allows.
type Ways func(route string) (w Way, release func())

// Facts is the information about a connection that is reported.
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
	Unsent *room.Room // for messages that clients have not taken yet
	Said   *room.Room // for messages from clients until functions were told of them

	ways Ways // nil: connections keep their way

	mu  sync.RWMutex
	all map[string]Peer
}

// mostHeld bounds how much memory all clients together may use in one direction.
const mostHeld = 64 << 20

// New makes a hub whose connections follow the ways that serve. If ways is nil, each connection keeps the way that it
// began with.
func New(ways Ways) *Hub {
	return &Hub{Unsent: room.New(mostHeld), Said: room.New(mostHeld), ways: ways, all: map[string]Peer{}}
}

// idBytes is the length of an id, which nobody can guess.
const idBytes = 16

// NewID makes the id of a connection. It needs no escaping in a URL.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Add makes a connection available by its id, and makes it follow the config that serves now, which may have changed
// since the connection was requested.
func (h *Hub) Add(id string, p Peer) {
	h.mu.Lock()
	h.all[id] = p
	h.mu.Unlock()
	if h.ways != nil {
		p.Follow(h.ways)
	}
}

// Follow makes all connections follow a config that serves from now on.
func (h *Hub) Follow() {
	h.mu.RLock()
	all := slices.Collect(maps.Values(h.all))
	h.mu.RUnlock()
	for _, p := range all {
		p.Follow(h.ways)
	}
}

// Remove makes a connection unavailable.
func (h *Hub) Remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, id)
}

// Find returns the connection with that id, or nil if there is none.
func (h *Hub) Find(id string) Peer {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all[id]
}

// Len returns the number of connections.
func (h *Hub) Len() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.all)
}

package secure

import (
	"crypto/rand"
	"crypto/tls"
	"slices"
	"sync"
	"time"
)

const (
	ticketPeriod = 8 * time.Hour    // after which new tickets get another key
	ticketLife   = 3 * ticketPeriod // of a key, so that a ticket is valid for 16 to 24 hours
)

// Tickets are the keys of one listener's session tickets. No two listeners share keys: with a ticket from one listener,
// a client would be let in by another, regardless of what that one asks of its clients. The keys are kept as long as
// what the listener asks of its clients stays the same, so that a reload does not force clients into a full handshake.
// They are safe for concurrent use.
type Tickets struct {
	mu     sync.Mutex
	keys   []ticketKey // newest first
	serial uint64      // changes with the keys
}

type ticketKey struct {
	key  [32]byte
	made time.Time
}

// NewTickets makes keys that are shared with no other listener.
func NewTickets() *Tickets { return &Tickets{} }

// give makes config use the current keys; had is the serial of the keys that it has.
func (t *Tickets) give(config *tls.Config, had *uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replace(time.Now())
	if *had == t.serial {
		return
	}
	keys := make([][32]byte, len(t.keys))
	for i, k := range t.keys {
		keys[i] = k.key
	}
	config.SetSessionTicketKeys(keys)
	*had = t.serial
}

// replace makes a new key if the newest one has been used for its period, and drops old keys.
func (t *Tickets) replace(now time.Time) {
	if len(t.keys) > 0 && now.Sub(t.keys[0].made) < ticketPeriod {
		return
	}
	made := ticketKey{made: now}
	_, _ = rand.Read(made.key[:]) // never fails (crypto/rand)
	t.keys = slices.DeleteFunc(append([]ticketKey{made}, t.keys...), func(k ticketKey) bool {
		return now.Sub(k.made) >= ticketLife
	})
	t.serial++
}

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
	ticketLife   = 3 * ticketPeriod // of a key, so that a ticket is good for 16 to 24 hours
)

// Tickets are the keys of one listener's session tickets. No two listeners share
// any: with a ticket of one a client would be let in by the other, whatever that
// asks of its clients. They are kept while what the listener asks stays the same,
// so that a reload costs nobody a full handshake. They are safe for concurrent use.
type Tickets struct {
	mu     sync.Mutex
	keys   []ticketKey // the newest first
	serial uint64      // changes with them
}

type ticketKey struct {
	key  [32]byte
	made time.Time
}

// NewTickets makes keys that nobody else has.
func NewTickets() *Tickets { return &Tickets{} }

// give makes config use the keys of now; had is the serial of those that it had.
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

// replace makes a new key where the newest has had its time, and drops the old ones.
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

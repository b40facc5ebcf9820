package cloud

import (
	"errors"
	"strconv"
	"sync"
	"time"
)

// Retries is how often may be tried again: as a share of what was served, so that
// a platform which is short of room is not asked more the less it has. It is safe for
// concurrent use.
type Retries struct {
	mu    sync.Mutex
	saved float64
}

const (
	mostSaved  = 10  // retries at once, after a time in which all was well
	perServed  = 0.1 // of a retry
	firstSaved = mostSaved
)

// NewRetries makes one that is full.
func NewRetries() *Retries { return &Retries{saved: firstSaved} }

// Spend tells whether one more try may be made, and takes it.
func (r *Retries) Spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saved < 1 {
		return false
	}
	r.saved--
	return true
}

// Served saves a part of a try.
func (r *Retries) Served() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saved = min(r.saved+perServed, mostSaved)
}

// mostSeconds is the longest time that a platform is believed when it says when to come again.
const mostSeconds = 3600

// Seconds is the time of a Retry-After in seconds (RFC 9110 section 10.2.3), an hour at most; 0 for
// what is no number.
func Seconds(text string) time.Duration {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of its range it is the largest
		return 0
	}
	return time.Duration(min(n, mostSeconds)) * time.Second
}

package cloud

import "sync"

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
